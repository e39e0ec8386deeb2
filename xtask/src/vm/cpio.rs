//! A writer of initramfs archives: cpio's "newc" format (Documentation/driver-api/early-userspace/
//! buffer-format.rst). Written here because device nodes then need no privilege.

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive being written.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    folders: BTreeSet<String>,
}

impl Archive {
    /// Adds a folder and those above it, where they are not there yet.
    pub(super) fn folder(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if !path.is_empty() && self.folders.insert(path.to_owned()) {
            self.entry(path, DIRECTORY, (0, 0), b"");
        }
    }

    /// Adds an executable file.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE, (0, 0), content);
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.entry(path, LINK, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub(super) fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE, (major, minor), b"");
    }

    /// The finished archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), b"");
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let name = path.trim_start_matches('/');
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above);
        }
        self.inode += 1;
        let fields = [
            self.inode,
            mode,
            0, // owner
            0, // group
            1, // links
            0, // time of change
            u32::try_from(content.len()).unwrap_or(u32::MAX),
            0, // device that holds the file
            0,
            device.0,
            device.1,
            u32::try_from(name.len() + 1).unwrap_or(u32::MAX),
            0, // checksum, unused in this format
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn every_part_starts_at_a_multiple_of_four() {
        let mut archive = Archive::default();
        archive.file("/a", b"content");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        // Header of 110 bytes, "a", its end and the padding; then the content and the next header.
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..119], b"content");
        assert_eq!(&bytes[120..126], b"070701");
    }

    #[test]
    fn a_folder_comes_once_and_before_what_is_in_it() {
        let mut archive = Archive::default();
        archive.file("/one/two/file", b"");
        archive.file("/one/two/other", b"");
        let text = String::from_utf8_lossy(&archive.bytes).replace('\0', " ");
        let at = |name: &str| text.match_indices(name).map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(at("one ").len(), 1);
        assert_eq!(at("one/two ").len(), 1);
        assert!(at("one ") < at("one/two ") && at("one/two ") < at("one/two/file "));
    }
}
