//! The programs that go into a machine: pmap and its integration tests, linked statically.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{command, workspace};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The programs as files of the host.
pub(super) struct Programs {
    /// The command itself.
    pub(super) pmap: PathBuf,
    /// Each integration test's name and program.
    pub(super) tests: Vec<(String, PathBuf)>,
}

/// Builds the programs below `folder`.
pub(super) fn build(root: &Path, folder: &Path) -> Result<Programs> {
    let target = folder.join("build");
    let names = test_names(root)?;
    let mut build = cargo(root);
    build.args(["build", "--bin", "pmap"]);
    command::run(with_common(&mut build, &target))?;
    let mut tests = Vec::new();
    if !names.is_empty() {
        let mut build = cargo(root);
        build.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
        build.args(names.iter().map(|name| format!("--test={name}")));
        build.stderr(std::process::Stdio::inherit());
        tests = executables(&command::output(with_common(&mut build, &target))?)?;
    }
    Ok(Programs { pmap: target.join(TARGET).join("release/pmap"), tests })
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(workspace::cargo());
    cargo
        .current_dir(root)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        // Emulation makes speed worth an optimised build, and size a stripped one.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    cargo
}

fn with_common<'a>(cargo: &'a mut Command, target: &Path) -> &'a mut Command {
    cargo
        .args(["--quiet", "--locked", "--release", "--package", "pmap-user"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(target)
}

/// The integration tests of `pmap-user`.
fn test_names(root: &Path) -> Result<Vec<String>> {
    let metadata = command::output(Command::new(workspace::cargo()).current_dir(root).args([
        "metadata",
        "--no-deps",
        "--locked",
        "--format-version=1",
    ]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).context("cannot read cargo's metadata")?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(packages
        .iter()
        .filter(|package| package["name"] == "pmap-user")
        .flat_map(|package| package["targets"].as_array().map_or(&[][..], Vec::as_slice))
        .filter(|target| target["kind"][0] == "test")
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect())
}

/// The test programs that cargo says it has made.
fn executables(messages: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("cannot read cargo's messages")?;
        if let (Some(name), Some(file), true) = (
            message["target"]["name"].as_str(),
            message["executable"].as_str(),
            message["target"]["kind"][0] == "test",
        ) {
            found.push((name.to_owned(), PathBuf::from(file)));
        }
    }
    Ok(found)
}
