//! The programs that go into a machine: pmap and its integration tests, linked statically.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo::{self, Program};
use crate::workspace;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The programs as files of the host.
pub(super) struct Programs {
    /// The command itself.
    pub(super) pmap: PathBuf,
    /// The integration tests.
    pub(super) tests: Vec<Program>,
}

/// Builds the programs below `folder`.
pub(super) fn build(root: &Path, folder: &Path) -> Result<Programs> {
    let target = folder.join("build");
    let mut build = command(root, &target, &["build", "--bin", "pmap"]);
    let pmap = cargo::programs(&mut build)?.pop().context("cargo built no program named pmap")?;
    let names = test_names(root)?;
    let mut tests = Vec::new();
    if !names.is_empty() {
        let mut build = command(root, &target, &["test", "--no-run"]);
        build.args(names.iter().map(|name| format!("--test={name}")));
        tests = cargo::programs(&mut build)?;
        tests.retain(|program| program.kind == "test");
    }
    Ok(Programs { pmap: pmap.file, tests })
}

fn command(root: &Path, target: &Path, verb: &[&str]) -> Command {
    let mut cargo = Command::new(workspace::cargo());
    cargo
        .current_dir(root)
        .args(verb)
        .args(["--release", "--package", "pmap-user", "--target", TARGET, "--target-dir"])
        .arg(target)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        // Emulation makes speed worth an optimised build, and size a stripped one.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    cargo
}

/// The integration tests of `pmap-user`.
fn test_names(root: &Path) -> Result<Vec<String>> {
    let metadata =
        crate::command::output(Command::new(workspace::cargo()).current_dir(root).args([
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
