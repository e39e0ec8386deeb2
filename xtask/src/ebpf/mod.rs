//! The eBPF object: what makes it, and whether the committed one is what its source gives.

mod build;
mod toolchain;

use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace;
use toolchain::Toolchain;

/// The committed object, from the root of the checkout.
const OBJECT: &str = "pmap-ebpf/pmap.bpf.o";

/// What to do with the object.
#[derive(Args)]
pub(crate) struct Options {
    /// Write nothing: fail where the committed object is not what its source gives.
    #[arg(long)]
    check: bool,
}

/// `cargo xtask ebpf-toolchain`.
pub(crate) fn install_toolchain() -> Result<()> {
    let root = workspace::root()?;
    toolchain::install(&root)?;
    println!("{}", Toolchain::find(&root)?);
    Ok(())
}

/// `cargo xtask ebpf`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = workspace::root()?;
    let toolchain = Toolchain::find(&root)?;
    println!("{toolchain}");
    if let Some(caveat) = toolchain.caveat() {
        println!("note: {caveat}");
    }
    let built = build::object(&root, &toolchain)?;
    let committed = root.join(OBJECT);
    if options.check {
        let expected = fs::read(&committed).with_context(|| {
            format!("cannot read {OBJECT}: make it with `cargo xtask ebpf` and commit it")
        })?;
        if expected != built {
            bail!(
                "{OBJECT} is not what its source gives ({} bytes committed, {} built): \
                 run `cargo xtask ebpf` and commit the object",
                expected.len(),
                built.len()
            );
        }
        println!("{OBJECT} is what its source gives ({} bytes)", built.len());
    } else {
        fs::write(&committed, &built).with_context(|| format!("cannot write {OBJECT}"))?;
        println!("wrote {OBJECT} ({} bytes)", built.len());
    }
    Ok(())
}
