//! The last column of the short formats.

use super::Options;
use super::number::push_hex;
use crate::model::{Mapping, Process};
use crate::text::{Charset, push_printable};

/// What decides on names, for one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Naming {
    full_path: bool,
    kernel_names: bool,
    charset: Charset,
    start_stack: u64,
    sysv_minor: Option<u32>,
}

impl Naming {
    /// As the options say.
    pub(super) fn new(options: &Options) -> Self {
        Self {
            full_path: options.full_path,
            kernel_names: options.kernel_names,
            charset: options.charset,
            ..Self::default()
        }
    }

    /// For the mappings of `process` from here on.
    pub(super) const fn set_process(&mut self, process: &Process) {
        self.start_stack = process.start_stack;
        self.sysv_minor = process.sysv_minor;
    }

    /// Appends the name of a mapping, by the first rule that fits.
    #[inline]
    pub(super) fn push(&self, out: &mut Vec<u8>, mapping: &Mapping<'_>) {
        let name = mapping.name;
        if let Some(last) = name.iter().rposition(|&byte| byte == b'/') {
            if self.is_sysv(mapping) {
                out.extend_from_slice(b"  [ shmid=0x");
                push_hex(out, mapping.inode, 1);
                out.extend_from_slice(b" ]");
            } else if self.full_path {
                let first = name.iter().position(|&byte| byte == b'/').unwrap_or(last);
                push_printable(out, &name[first..], self.charset);
            } else if last + 1 == name.len() {
                out.push(b'/');
            } else {
                push_printable(out, &name[last + 1..], self.charset);
            }
        } else if self.kernel_names
            && name.ends_with(b"]")
            && let Some(bracket) = name.iter().position(|&byte| byte == b'[')
        {
            push_printable(out, &name[bracket..], self.charset);
        } else if (mapping.start..=mapping.end).contains(&self.start_stack) {
            out.extend_from_slice(b"  [ stack ]");
        } else {
            out.extend_from_slice(b"  [ anon ]");
        }
    }

    /// Whether it is a System V segment, whose inode is the segment's id.
    fn is_sysv(&self, mapping: &Mapping<'_>) -> bool {
        mapping.device.major == 0
            && Some(mapping.device.minor) == self.sysv_minor
            && mapping.name.windows(5).any(|window| window == b"/SYSV")
    }
}

/// The name in the long formats: what follows the last `/`, or all of it.
pub(super) fn base_name(name: &[u8], full_path: bool) -> &[u8] {
    match name.iter().rposition(|&byte| byte == b'/') {
        Some(last) if !full_path => &name[last + 1..],
        _ => name,
    }
}
