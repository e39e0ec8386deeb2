//! The programs that go into a machine, linked statically: pmap, its live tests and what they follow,
//! and the torture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cargo::{self, Program};
use crate::{command, workspace};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What the live tests compile on a host: a source of `tests/fixtures`, and flags.
const FIXTURES: [(&str, &[&str]); 2] = [("live", &[]), ("live", &["-m32"])];

/// The programs as files of the host.
pub(super) struct Programs {
    /// The command itself.
    pub(super) pmap: PathBuf,
    /// This program, with the tracer in it.
    pub(super) xtask: PathBuf,
    /// The live tests.
    pub(super) tests: Vec<Program>,
    /// What they follow.
    pub(super) fixtures: Vec<PathBuf>,
    /// The folder that cargo has told them is theirs.
    pub(super) scratch: PathBuf,
}

/// Builds the programs below `folder`.
pub(super) fn build(root: &Path, folder: &Path) -> Result<Programs> {
    let target = folder.join("build");
    let mut build = static_cargo(root, &target, "build");
    build.args(["--package=xtask", "--features=xtask/torture", "--bin=pmap", "--bin=xtask"]);
    let programs = cargo::programs(&mut build)?;
    let program = |name: &str| {
        let found = programs.iter().find(|program| program.name == name);
        let file = found.map(|program| program.file.clone());
        file.with_context(|| format!("cargo built no program named {name}"))
    };
    let mut build = static_cargo(root, &target, "test");
    build.arg("--no-run");
    build.args(live_tests(root)?.iter().map(|name| format!("--test={name}")));
    let mut tests = cargo::programs(&mut build)?;
    tests.retain(|program| program.kind == "test");
    Ok(Programs {
        pmap: program("pmap")?,
        xtask: program("xtask")?,
        tests,
        fixtures: build_fixtures(root, &folder.join("fixtures"))?,
        scratch: target.join("tmp"),
    })
}

fn static_cargo(root: &Path, target: &Path, verb: &str) -> Command {
    let mut cargo = Command::new(workspace::cargo());
    cargo
        .current_dir(root)
        .args([verb, "--release", "--package=pmap-user", "--target", TARGET, "--target-dir"])
        .arg(target)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        // Emulation makes speed worth an optimised build, and size a stripped one.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    cargo
}

/// Compiles the fixtures, each under the name that the tests look for.
fn build_fixtures(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    FIXTURES
        .iter()
        .map(|(name, flags)| {
            let program = folder.join(format!("{name}{}", flags.concat()));
            let source = root.join(format!("tests/fixtures/{name}.c"));
            let mut compiler = Command::new("cc");
            compiler.args(["-O1", "-Wall", "-pthread", "-static"]).args(*flags);
            command::run(compiler.arg("-o").arg(&program).arg(source))?;
            Ok(program)
        })
        .collect()
}

/// The names of the tests of `pmap-user` that follow: the others compare with programs of the host.
fn live_tests(root: &Path) -> Result<Vec<String>> {
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
        .filter_map(|target| target["name"].as_str())
        .filter(|name| name.starts_with("live_"))
        .map(str::to_owned)
        .collect())
}
