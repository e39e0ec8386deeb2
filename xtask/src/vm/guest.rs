//! One machine: what is in it, how it is booted, how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::cases::Case;
use super::cpio::Archive;
use super::programs::Programs;
use super::report::Report;

/// The options that every machine shares.
const QEMU: [&str; 18] = [
    "-accel",
    "tcg",
    "-cpu",
    "max",
    "-smp",
    "1",
    "-m",
    "1G",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-no-reboot",
    "-monitor",
    "none",
    "-serial",
    "stdio",
    "-append",
];
/// The kernel's command line that every machine shares.
const APPEND: &str = "console=ttyS0 quiet panic=-1 oops=panic";

/// A machine to boot.
pub(super) struct Machine {
    /// Its name in the table.
    pub(super) label: String,
    pub(super) kernel: PathBuf,
    pub(super) initramfs: PathBuf,
    /// What it has on its command line besides the common part.
    pub(super) append: String,
    /// Where its console is written.
    pub(super) log: PathBuf,
}

impl Machine {
    /// Boots, waits for the end, and reads what the guest printed: QEMU's own status says nothing.
    pub(super) fn run(&self, timeout: Duration) -> Result<Report> {
        let started = Instant::now();
        let log = fs::File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let errors = log.try_clone().context("cannot share the log with QEMU")?;
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(QEMU)
            .arg(format!("{APPEND} {}", self.append))
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initramfs)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .context("cannot start qemu-system-x86_64: install qemu-system-x86")?;
        let timed_out = !wait(&mut qemu, started + timeout)?;
        let console =
            fs::read(&self.log).with_context(|| format!("cannot read {}", self.log.display()))?;
        Ok(Report::read(&String::from_utf8_lossy(&console), timed_out, started.elapsed()))
    }
}

/// Waits for `child` until `deadline`, then kills it; tells whether it ended by itself.
fn wait(child: &mut Child, deadline: Instant) -> Result<bool> {
    while Instant::now() < deadline {
        if child.try_wait().context("cannot wait for QEMU")?.is_some() {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(50));
    }
    child.kill().context("cannot kill QEMU")?;
    child.wait().context("cannot wait for QEMU")?;
    Ok(false)
}

/// Writes the initramfs that every machine boots with.
pub(super) fn pack(root: &Path, cases: &[Case], programs: &Programs, to: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"] {
        archive.folder(folder);
    }
    archive.device("dev/console", 5, 1);
    archive.file("init", &read(&root.join("xtask/vm/init"))?);
    archive.file("bin/busybox", &read(Path::new("/bin/busybox"))?);
    archive.file("usr/bin/where-supported", &read(&root.join("xtask/vm/where-supported"))?);
    archive.file("usr/bin/pmap", &read(&programs.pmap)?);
    archive.file("usr/bin/xtask", &read(&programs.xtask)?);
    for test in &programs.tests {
        archive.file(&format!("tests/{}", test.name), &read(&test.file)?);
    }
    for fixture in &programs.fixtures {
        let name = fixture.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("fixtures/{name}"), &read(fixture)?);
    }
    // Tests know the command by where cargo built it, and a folder of theirs.
    archive.link(&programs.pmap.to_string_lossy(), "/usr/bin/pmap");
    archive.folder(&programs.scratch.to_string_lossy());
    for case in cases {
        archive.file(&format!("cases/{}.sh", case.name), &case.script);
    }
    fs::write(to, archive.finish()).with_context(|| format!("cannot write {}", to.display()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
