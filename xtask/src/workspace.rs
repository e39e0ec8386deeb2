//! Where things are in the checkout.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

/// The root of the checkout that this run belongs to.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .context("cannot tell which checkout this is: start it as `cargo xtask`")?;
    let root = Path::new(&manifest).parent().context("xtask's manifest has no folder above it")?;
    Ok(root.to_path_buf())
}

/// Where benchmarks keep their files, in a machine without a checkout among the temporary ones; made
/// where it is not there.
pub(crate) fn bench_folder() -> Result<PathBuf> {
    let folder = root().map_or_else(|_| env::temp_dir(), |root| root.join("target/bench"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The stock cargo that started this run.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Cargo's home, where it keeps the sources of the dependencies.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(home));
    }
    let home = env::home_dir().context("cannot find cargo's home: set CARGO_HOME or HOME")?;
    Ok(home.join(".cargo"))
}
