//! Prints a live table as `pmap` prints a process.

use std::io::Write;

use super::reconcile::Extra;
use crate::{
    live::{Files, Space},
    model::{Details, Device, Keys, Mapping, Perms},
    view::{Output, Renderer},
};

/// The page that old programs call the kernel through: `arch/x86/entry/vsyscall/vsyscall_64.c`.
const GATE: Mapping<'static> = Mapping {
    start: 0xffff_ffff_ff60_0000,
    end: 0xffff_ffff_ff60_1000,
    perms: Perms::EXEC,
    offset: 0,
    device: Device { major: 0, minor: 0 },
    inode: 0,
    name: b"[vsyscall]",
};

/// Prints every mapping, below the process's head. Figures that are not known are handed on as such.
pub(super) fn print<W: Write>(
    space: &Space,
    files: &Files,
    gate: bool,
    extra: &Extra,
    renderer: &mut Renderer,
    out: &mut Output<W>,
) {
    let mut keys = Keys::new();
    for key in [&b"Rss"[..], b"Shared_Dirty", b"Private_Dirty"] {
        keys.intern(key);
    }
    renderer.begin(out);
    for (entry, usage) in space.table.iter_usage() {
        let mapping = space.mapping(&entry, files);
        if extra.keys.is_empty() {
            // The sum alone is kept: all of it stands in one of the two.
            let values = usage.map_or([None; 3], |(rss, dirty)| [Some(rss), Some(0), Some(dirty)]);
            let details = Details { keys: &keys, values: &values, flags: None };
            renderer.row(out, &mapping, &details);
        } else {
            let found = extra.get(entry.start, entry.end);
            let values = found.map_or(&[][..], |figures| &figures.values);
            let flags = found.and_then(|figures| figures.flags.as_deref());
            renderer.row(out, &mapping, &Details { keys: &extra.keys, values, flags });
        }
    }
    if gate {
        let found = extra.get(GATE.start, GATE.end);
        let zeros = [Some(0); 3];
        let (keys, values, flags) = match found {
            Some(figures) => (&extra.keys, &figures.values[..], figures.flags.as_deref()),
            None if extra.keys.is_empty() => (&keys, &zeros[..], None),
            None => (&extra.keys, &[][..], None),
        };
        renderer.row(out, &GATE, &Details { keys, values, flags });
    }
    renderer.end(out);
}
