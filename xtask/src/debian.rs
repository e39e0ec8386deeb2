//! Installing packages on a Debian host.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::command;

/// Installs those of `packages` that are missing; does nothing, and quickly, where none is.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    // SAFETY: geteuid takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        bail!("missing packages: run `apt-get install {list}` as root, then this again");
    }
    println!("installing {list}");
    // Lists are refreshed only where they do not know a package, or know one that has since gone.
    if !apt_get(&missing).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        command::run(Command::new("apt-get").args(["-q", "-q", "update"]))?;
        command::run(&mut apt_get(&missing))?;
    }
    Ok(())
}

/// The packages that dpkg does not have installed.
fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    packages.iter().copied().filter(|package| !is_installed(package)).collect()
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Abbrev}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"ii"))
}

fn apt_get(packages: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["-q", "-q", "--yes", "--no-install-recommends", "install"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}
