//! Packages of other Debian suites, from a private state of apt: nothing of it is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Which of Debian's archives a suite is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Archive {
    /// The archive of the releases.
    Main,
    /// The archive of the security updates.
    Security,
}

/// A suite and its archive.
pub(super) struct Suite {
    pub(super) archive: Archive,
    pub(super) name: &'static str,
}

/// A private state that knows some suites.
pub(super) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Makes the state in `folder` and fetches the lists of `suites`, from the host's mirror.
    pub(super) fn new(folder: &Path, suites: &[Suite]) -> Result<Self> {
        // What an interrupted run has left would be taken for this one's.
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        for name in ["lists/partial", "cache/archives/partial", "download"] {
            let folder = folder.join(name);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut sources = String::new();
        for suite in suites {
            let (uri, name) = (mirror(suite.archive)?, suite.name);
            sources.push_str(&format!(
                "deb [signed-by={KEYRING} target=Packages] {uri} {name} main\n"
            ));
        }
        let at = |name: &str| folder.join(name).display().to_string();
        let settings = [
            ("Dir::Etc::sourcelist", at("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".to_owned()),
            ("Dir::State::lists", at("lists")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", at("cache")),
            ("APT::Architecture", "amd64".to_owned()),
            // The user of apt's sandbox cannot write below a checkout that only root may enter.
            ("APT::Sandbox::User", "root".to_owned()),
            // A mirror that lags, or an old suite that is signed no more, has good kernels too.
            ("Acquire::Check-Valid-Until", "false".to_owned()),
        ];
        let settings: String =
            settings.iter().map(|(name, value)| format!("{name} \"{value}\";\n")).collect();
        for (name, text) in
            [("sources.list", &sources), ("status", &String::new()), ("apt.conf", &settings)]
        {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let apt = Self { folder: folder.to_owned() };
        command::output(apt.command("apt-get").args(["-q", "-q", "update"]))?;
        Ok(apt)
    }

    /// Unpacks the kernel that the newest `package` depends on; its version and the folder.
    pub(super) fn unpack_kernel(&self, package: &str) -> Result<(String, PathBuf)> {
        let listed = command::output(self.command("apt-cache").args(["madison", package]))?;
        // Highest version first.
        let Some(version) = listed.lines().next().and_then(|line| line.split('|').nth(1)) else {
            bail!("no suite of {} has {package}", self.folder.display());
        };
        let version = version.trim();
        let mut package =
            self.dependency(package, version, "linux-image-")?.with_context(|| {
                format!("{package} {version} depends on no kernel: its packages have changed")
            })?;
        if let Some(binary) = self.dependency(&package, version, "linux-binary-")? {
            package = binary;
        }
        let download = self.folder.join("download");
        let wanted = format!("{package}={version}");
        command::output(
            self.command("apt-get")
                .args(["-q", "-q", "download", wanted.as_str()])
                .current_dir(&download),
        )?;
        let archive = only_entry(&download)?;
        let unpacked = self.folder.join("unpacked");
        command::output(Command::new("dpkg").arg("-x").arg(&archive).arg(&unpacked))?;
        fs::remove_file(&archive)
            .with_context(|| format!("cannot remove {}", archive.display()))?;
        Ok((format!("{package} {version}"), unpacked))
    }

    /// The first package with this prefix that `package` depends on.
    fn dependency(&self, package: &str, version: &str, prefix: &str) -> Result<Option<String>> {
        let wanted = format!("{package}={version}");
        let shown = command::output(self.command("apt-cache").args(["show", wanted.as_str()]))?;
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or("");
        Ok(depends
            .split([',', '|'])
            .filter_map(|one| one.split_whitespace().next())
            .find(|name| name.starts_with(prefix))
            .map(str::to_owned))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf"));
        command
    }
}

/// The address of an archive on the mirror that the host itself uses.
fn mirror(archive: Archive) -> Result<String> {
    let sources = command::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(RELEASE) $(REPO_URI)",
        "Identifier: Packages",
    ]))?;
    let uri = sources.lines().find_map(|line| {
        let (suite, uri) = line.split_once(' ')?;
        let kind = if suite.ends_with("-security") { Archive::Security } else { Archive::Main };
        (kind == archive && uri.contains("debian")).then(|| uri.to_owned())
    });
    uri.context("the host's apt has no mirror of Debian for this suite: add one to its sources")
}

/// The one file of a folder.
fn only_entry(folder: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(folder)
        .and_then(|mut entries| entries.next().transpose())
        .with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(entry.with_context(|| format!("{} is empty", folder.display()))?.path())
}
