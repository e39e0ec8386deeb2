//! One build of the eBPF object: the same bytes from any folder of any user.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use super::toolchain::{self, Toolchain};
use crate::{command, workspace};

const TARGET: &str = "bpfel-unknown-none";

/// Builds the programs and returns the object, with its BTF and without DWARF.
pub(super) fn object(root: &Path, toolchain: &Toolchain) -> Result<Vec<u8>> {
    let target = root.join("target/ebpf");
    // The folders of the registries are in the flags, so they must exist before the build.
    let mut fetch = cargo(root, toolchain);
    command::run(fetch.args(["fetch", "--quiet", "--locked"]))?;

    let mut build = cargo(root, toolchain);
    build
        .args(["build", "--locked", "--release", "--package", "pmap-ebpf", "--bin", "pmap-ebpf"])
        .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root, toolchain)?)
        .env("PATH", command::path_starting_with(&toolchain.linker_folder));
    command::run(&mut build)?;

    let linked = target.join(TARGET).join("release/pmap-ebpf");
    let stripped = target.join("pmap.bpf.o");
    let mut strip = Command::new(toolchain::llvm_strip());
    command::run(strip.arg("--strip-debug").arg("-o").arg(&stripped).arg(linked))?;
    fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))
}

/// The toolchain's cargo, freed of settings that would change the bytes.
fn cargo(root: &Path, toolchain: &Toolchain) -> Command {
    let mut cargo = Command::new(&toolchain.cargo);
    cargo.current_dir(root).env("RUSTC", &toolchain.rustc).env("RUSTC_BOOTSTRAP", "1");
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_INCREMENTAL", "CARGO"] {
        cargo.env_remove(name);
    }
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PROFILE_") || text.starts_with("CARGO_TARGET_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

/// The compiler's flags, in cargo's encoding, which keeps spaces in paths apart.
fn flags(root: &Path, toolchain: &Toolchain) -> Result<OsString> {
    let mut flags =
        OsString::from(["-Clinker=bpf-linker", "-Clink-arg=--btf", "-Cdebuginfo=2"].join("\u{1f}"));
    // BTF's line table holds the paths of the sources.
    let mut remap = |from: &Path, to: &str| {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    };
    remap(root, "/pmap");
    remap(&toolchain.core_source, "/rust");
    for registry in registries()? {
        remap(&registry, "/cargo");
    }
    Ok(flags)
}

/// The folders of unpacked dependencies; one for each registry or mirror that was ever used.
fn registries() -> Result<Vec<PathBuf>> {
    let folder = workspace::cargo_home()?.join("registry/src");
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut registries = Vec::new();
    for entry in entries {
        registries.push(entry.with_context(|| format!("cannot list {}", folder.display()))?.path());
    }
    Ok(registries)
}
