//! The kernels of the matrix: Debian's, by the suite that carries them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;

use super::apt::{Archive, Suite};

/// The package that depends on the newest kernel of its suite; it needs no module to boot here.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// One kernel of the matrix.
pub(super) struct Kernel {
    /// What the user calls it.
    pub(super) name: &'static str,
    suites: &'static [Suite],
    /// Whether the tracer supports it; one that is too old is there to be refused well.
    supported: bool,
}

/// A kernel that is at hand.
pub(super) struct Image {
    /// The package's version.
    pub(super) version: String,
    /// The file that QEMU boots.
    pub(super) file: PathBuf,
}

const KERNELS: [Kernel; 4] = [
    Kernel {
        name: "5.10",
        suites: &[Suite { archive: Archive::Security, name: "bullseye-security" }],
        supported: false,
    },
    Kernel {
        name: "6.1",
        suites: &[Suite { archive: Archive::Security, name: "bookworm-security" }],
        supported: true,
    },
    Kernel {
        name: "6.12",
        suites: &[Suite { archive: Archive::Security, name: "trixie-security" }],
        supported: true,
    },
    Kernel {
        name: "newest",
        suites: &[
            Suite { archive: Archive::Main, name: "trixie-backports" },
            Suite { archive: Archive::Main, name: "sid" },
        ],
        supported: true,
    },
];

impl Kernel {
    /// The machines to boot it in: without lockdown, and with.
    pub(super) fn lockdowns(&self) -> impl Iterator<Item = bool> {
        std::iter::once(false).chain(self.supported.then_some(true))
    }

    /// The name of one of its machines.
    pub(super) fn label(&self, lockdown: bool) -> String {
        format!("{}{}", self.name, if lockdown { " lockdown" } else { "" })
    }
}

/// The names that the user may give.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(KERNELS.iter().map(|kernel| kernel.name))
}

/// The kernels of these names, or all where none is given.
pub(super) fn chosen(names: &[String]) -> impl Iterator<Item = &'static Kernel> {
    KERNELS.iter().filter(|kernel| names.is_empty() || names.iter().any(|name| name == kernel.name))
}

/// The kernel's file: the one kept from an earlier run, else the newest of its suites.
pub(super) fn fetch(kernel: &Kernel, folder: &Path) -> Result<Image> {
    let kept = folder.join("kernels").join(kernel.name);
    let (file, note) = (kept.join("vmlinuz"), kept.join("version"));
    if file.exists()
        && let Ok(version) = fs::read_to_string(&note)
    {
        return Ok(Image { version, file });
    }
    println!("fetching kernel {}", kernel.name);
    let apt = super::apt::Apt::new(&folder.join("apt").join(kernel.name), kernel.suites)?;
    let (version, unpacked) = apt.unpack_kernel(PACKAGE)?;
    let found = find(&unpacked)?
        .with_context(|| format!("{} {version} holds no vmlinuz", unpacked.display()))?;
    fs::create_dir_all(&kept).with_context(|| format!("cannot make {}", kept.display()))?;
    fs::copy(&found, &file).with_context(|| format!("cannot write {}", file.display()))?;
    fs::remove_dir_all(&unpacked)
        .with_context(|| format!("cannot remove {}", unpacked.display()))?;
    fs::write(&note, &version).with_context(|| format!("cannot write {}", note.display()))?;
    Ok(Image { version, file })
}

/// The kernel's file in an unpacked package: in `boot`, or since 6.19 beside its modules.
fn find(folder: &Path) -> Result<Option<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if let Some(found) = find(&path)? {
                return Ok(Some(found));
            }
        } else if entry.file_name().to_string_lossy().starts_with("vmlinuz") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
