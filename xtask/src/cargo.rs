//! Asking the stock cargo to build, and where it put what it built.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{command, workspace};

/// A program that cargo has built.
pub(crate) struct Program {
    /// What it is: `bin`, `test`, ….
    pub(crate) kind: String,
    /// The target's name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) file: PathBuf,
}

/// Runs a `cargo build` or `cargo test --no-run` and returns the programs that it made.
pub(crate) fn programs(cargo: &mut Command) -> Result<Vec<Program>> {
    cargo.args(["--quiet", "--locked", "--message-format=json-render-diagnostics"]);
    let messages = command::output(cargo)?;
    let mut found = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("cannot read cargo's messages")?;
        let target = &message["target"];
        if let (Some(kind), Some(name), Some(file)) =
            (target["kind"][0].as_str(), target["name"].as_str(), message["executable"].as_str())
        {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            found.push(Program { kind, name, file: PathBuf::from(file) });
        }
    }
    Ok(found)
}

/// The optimised `pmap` of this checkout, built where it is not up to date. In a machine without a
/// checkout, the one that lies beside this program.
pub(crate) fn release_pmap() -> Result<PathBuf> {
    let Ok(root) = workspace::root() else {
        let program = env::current_exe().context("cannot find this program")?;
        return Ok(program.with_file_name("pmap"));
    };
    let mut cargo = Command::new(workspace::cargo());
    cargo.current_dir(root).args(["build", "--release", "--package", "pmap-user", "--bin", "pmap"]);
    let programs = programs(&mut cargo)?;
    let pmap = programs.into_iter().find(|program| program.name == "pmap");
    Ok(pmap.context("cargo built no program named pmap")?.file)
}
