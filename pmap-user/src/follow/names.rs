//! Looks up what mappings are called, as they appear and again before they are listed.

use std::collections::HashMap;

use crate::{
    live::{Engine, Files, Space},
    proc::query::Names,
    table::What,
};

/// Open lists of the followed address spaces, by number.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    open: HashMap<u64, Names>,
    /// Address spaces that end with the gate page, which `/proc/PID/maps` shows and no tree has.
    gates: HashMap<u64, bool>,
}

impl Resolver {
    /// Begins with an address space: every mapping's name, from one read of maps.
    pub(super) fn begin(&mut self, engine: &mut Engine, id: u64, names: Option<Names>) {
        let Some(mut names) = names else { return };
        let (files, space) = engine.files_and_space(id);
        let Some(space) = space else { return };
        let mut gate = false;
        names.each(|named| {
            gate |= named.name == b"[vsyscall]";
            let same = space.table.overlapping(named.start, named.end).next();
            if let Some(entry) = same
                && (entry.start, entry.end) == (named.start, named.end)
                && entry.what != What::default()
            {
                files.note(entry.what, named.device, named.inode, &named.name);
            }
        });
        self.gates.insert(id, gate);
        self.open.insert(id, names);
    }

    /// Whether the gate page is listed.
    pub(super) fn has_gate(&self, id: u64) -> bool {
        self.gates.get(&id).copied().unwrap_or(false)
    }

    /// Whether an address space's list is open.
    pub(super) fn knows(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }

    /// Forgets the address spaces that ended.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        self.open.retain(|id, _| keep(*id));
        self.gates.retain(|id, _| keep(*id));
    }

    /// Looks up what appeared since the last time. A mapping that is gone already keeps the name
    /// that the kernel gave it.
    pub(super) fn resolve_fresh(&mut self, engine: &mut Engine) {
        for (what, start, _) in engine.files.take_fresh() {
            let places: Vec<(u64, u64)> = engine
                .spaces()
                .filter_map(|space| place_of(space, what, start).map(|at| (space.id, at)))
                .collect();
            for (id, at) in places {
                if self.resolve(engine, id, &[(what, at)]) {
                    break;
                }
            }
        }
    }

    /// Looks everything up again: names change by rename, unlink and mount.
    pub(super) fn refresh(&mut self, engine: &mut Engine, id: u64) {
        let mut places = HashMap::new();
        if let Some(space) = engine.space(id) {
            for entry in space.table.iter() {
                if entry.what != What::default() {
                    places.entry(entry.what).or_insert(entry.start);
                }
            }
        }
        let places: Vec<_> = places.into_iter().collect();
        self.resolve(engine, id, &places);
    }

    fn resolve(&mut self, engine: &mut Engine, id: u64, places: &[(What, u64)]) -> bool {
        let Some(names) = self.open.get_mut(&id) else { return false };
        let addresses: Vec<u64> = places.iter().map(|(_, at)| *at).collect();
        let found = names.at(&addresses);
        let (files, space) = engine.files_and_space(id);
        let Some(space) = space else { return false };
        let mut any = false;
        for ((what, at), named) in places.iter().zip(found) {
            if let Some(named) = named
                && is_same(files, space, *what, *at, &named)
            {
                files.note(*what, named.device, named.inode, &named.name);
                any = true;
            }
        }
        any
    }
}

/// Whether what `/proc` found at an address is what the table has there: the address space may
/// have moved on since.
fn is_same(
    files: &Files,
    space: &Space,
    what: What,
    at: u64,
    named: &crate::proc::query::Named,
) -> bool {
    let Some(entry) = space.table.overlapping(at, at + 1).next() else { return false };
    let identity = files.get(what);
    // A stacked file system shows another inode than the one that is mapped.
    entry.what == what
        && ((identity.device, identity.inode) == (named.device, named.inode)
            || (entry.start, entry.end) == (named.start, named.end))
}

fn place_of(space: &Space, what: What, start: u64) -> Option<u64> {
    let entry = space.table.overlapping(start, start + 1).next();
    entry.filter(|entry| entry.what == what).map(|_| start)
}
