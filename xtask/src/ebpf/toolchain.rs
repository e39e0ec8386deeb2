//! The compiler and the linker of the eBPF object: installing them, and finding them.
//!
//! The object is committed, so whoever rebuilds it must get the same bytes: the versions here are
//! part of its source. Stock stable Rust has no source of `core` for the target to be built from;
//! Debian's second compiler, `rustc-web`, ships it as a package.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{command, debian, workspace};

/// The compiler that made the committed object.
const RUSTC: &str = "1.96.0";
/// The linker that made the committed object.
const BPF_LINKER: &str = "0.13.0";
/// The LLVM that the compiler above is built with, and that the linker and the strip must share.
const LLVM: &str = "/usr/lib/llvm-22";
const PACKAGES: [&str; 6] =
    ["rustc-web", "cargo-web", "rust-web-src", "llvm-22-dev", "g++", "zlib1g-dev"];
/// Where the linker is installed, from the root of the checkout.
const PREFIX: &str = "target/ebpf-toolchain";

/// A compiler with the source of `core`, and a linker.
pub(super) struct Toolchain {
    /// The compiler itself, not a rustup proxy.
    pub(super) rustc: PathBuf,
    /// The cargo that belongs to it.
    pub(super) cargo: PathBuf,
    /// Where the compiler keeps the source of `core`.
    pub(super) core_source: PathBuf,
    /// The folder of `bpf-linker`.
    pub(super) linker_folder: PathBuf,
    release: String,
    linker: String,
}

impl Toolchain {
    /// The pinned compiler where it is installed, else a rustup nightly that has the source.
    pub(super) fn find(root: &Path) -> Result<Self> {
        let Some((rustc, cargo)) = pinned_compiler().or_else(nightly_compiler) else {
            bail!(
                "no compiler with the source of `core` was found: run `cargo xtask ebpf-toolchain`"
            );
        };
        let Some((linker_folder, linker)) = linker(root) else {
            bail!("bpf-linker was not found: run `cargo xtask ebpf-toolchain`");
        };
        let core_source = core_source(&rustc).unwrap_or_default();
        let release = release(&rustc).unwrap_or_default();
        Ok(Self { rustc, cargo, core_source, linker_folder, release, linker })
    }

    /// What the user must know where these tools are not those of the committed object.
    pub(super) fn caveat(&self) -> Option<String> {
        (self.release != RUSTC || self.linker != BPF_LINKER).then(|| {
            format!(
                "the committed object was made by rustc {RUSTC} and bpf-linker {BPF_LINKER}, and \
                 others may give other bytes; where the pinned ones cannot be had any more, change \
                 the pins in xtask/src/ebpf/toolchain.rs together with the object"
            )
        })
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "rustc {} and bpf-linker {}", self.release, self.linker)
    }
}

/// Installs what is missing.
pub(super) fn install(root: &Path) -> Result<()> {
    let has_linker = linker(root).is_some_and(|(_, version)| version == BPF_LINKER);
    if has_linker && pinned_compiler().or_else(nightly_compiler).is_some() {
        return Ok(());
    }
    if !Path::new("/etc/debian_version").exists() {
        bail!(
            "this installs Debian packages: elsewhere, have a rustup nightly with rust-src \
             (`rustup toolchain install nightly --component rust-src`) and bpf-linker {BPF_LINKER} \
             (`cargo install bpf-linker`) in PATH"
        );
    }
    debian::install(&PACKAGES)?;
    if has_linker { Ok(()) } else { install_linker(root) }
}

fn install_linker(root: &Path) -> Result<()> {
    println!("building bpf-linker {BPF_LINKER}");
    command::run(
        Command::new(workspace::cargo())
            .args(["install", "--quiet", "--locked", "--no-default-features"])
            .args(["--features", "llvm-22", "--version", BPF_LINKER, "bpf-linker"])
            .arg("--root")
            .arg(root.join(PREFIX))
            .env("LLVM_PREFIX", LLVM)
            .env("LLVM_SYS_221_PREFIX", LLVM)
            .env("PATH", command::path_starting_with(&Path::new(LLVM).join("bin"))),
    )
}

/// Debian's compiler and its cargo, where the source of `core` is there too.
fn pinned_compiler() -> Option<(PathBuf, PathBuf)> {
    let (rustc, cargo) = (PathBuf::from("/usr/bin/rustc"), PathBuf::from("/usr/bin/cargo"));
    (cargo.exists() && llvm_strip().exists() && core_source(&rustc).is_some())
        .then_some((rustc, cargo))
}

/// The compiler of rustup's nightly, where the source of `core` is there too.
fn nightly_compiler() -> Option<(PathBuf, PathBuf)> {
    let output = Command::new("rustup")
        .args(["which", "--toolchain", "nightly", "rustc"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let rustc = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let cargo = rustc.with_file_name("cargo");
    (cargo.exists() && core_source(&rustc).is_some()).then_some((rustc, cargo))
}

/// The folder with the source of the compiler's own `core`.
fn core_source(rustc: &Path) -> Option<PathBuf> {
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(sysroot.stdout).ok()?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    source.join("library/core/Cargo.toml").exists().then_some(source)
}

fn release(rustc: &Path) -> Option<String> {
    let version = command::version(rustc, "-vV")?;
    version.lines().find_map(|line| line.strip_prefix("release: ")).map(str::to_owned)
}

/// The folder and the version of the linker: ours first, then one in PATH.
fn linker(root: &Path) -> Option<(PathBuf, String)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(root.join(PREFIX).join("bin")).chain(std::env::split_paths(&path)).find_map(
        |folder| {
            let version = command::version(&folder.join("bpf-linker"), "--version")?;
            Some((folder, version.trim().strip_prefix("bpf-linker ")?.to_owned()))
        },
    )
}

/// The strip of the same LLVM, or the one in PATH.
pub(super) fn llvm_strip() -> PathBuf {
    let pinned = Path::new(LLVM).join("bin/llvm-strip");
    if pinned.exists() { pinned } else { PathBuf::from("llvm-strip") }
}
