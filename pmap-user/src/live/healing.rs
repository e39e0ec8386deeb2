//! How an address space in doubt is made sure: by the end of its next write section, or by a reading.
//!
//! A reading takes the lock anew for each mapping while writers wait for it
//! (`task_vma_seq_get_next` of `kernel/bpf/task_iter.c`): beside eight threads that is 65 ms each. So
//! whoever writes is asked to tell all at once, and only who does not write is read.

use std::collections::BTreeMap;

use super::{Engine, Space};

/// Who has not written for so long, in ns, is read: longer than a call takes on a loaded host, most
/// often, and much less than the second in which doubt is to end.
const QUIET: u64 = 50_000_000;
/// Who was asked, and has not told all after so long, in ns, is asked again: there was no room.
const UNANSWERED: u64 = 250_000_000;
/// The programs tell no more mappings than this.
const MOST_TOLD: usize = 100_000;
/// How long whoever has told all is left alone for each mapping, in ns: ten times what it took.
const REST: u64 = 1_500;
/// The longest that anybody is left alone, in ns: doubt is to end within a second.
const LONGEST_REST: u64 = 500_000_000;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Ask the programs for the address space with this key; zero takes that back.
    Ask(u64),
    /// Read an address space through a process that uses it.
    Read {
        /// Its number.
        space: u64,
        /// The process.
        owner: u32,
    },
}

/// What was seen of an address space in doubt.
#[derive(Debug)]
struct Doubted {
    /// The kernel's version, and since when that is so.
    version: Option<u64>,
    quiet_since: u64,
}

/// Who was asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    space: u64,
    since: u64,
    /// How often it had told all.
    wholes: u64,
}

/// What was seen of those in doubt.
#[derive(Debug, Default)]
pub struct Healing {
    doubted: BTreeMap<u64, Doubted>,
    /// The one that was asked.
    asked: Option<Asked>,
    /// When anybody is asked or read again, in ns.
    rest: u64,
}

impl Healing {
    /// What to do at the time `now`, in ns; `version` tells the kernel's version of an address space.
    /// Where the programs cannot read, nobody `can_be_asked`.
    pub fn remedies(
        &mut self,
        engine: &Engine,
        now: u64,
        can_be_asked: bool,
        version: impl Fn(&Space) -> Option<u64>,
    ) -> Vec<Remedy> {
        let mut remedies = Vec::new();
        let wants = |id: &u64| engine.space(*id).is_some_and(Space::wants_reading);
        self.doubted.retain(|id, _| wants(id));
        if let Some(Asked { space: id, since, wholes }) = self.asked {
            let told = engine.space(id).is_none_or(|space| space.wholes > wholes);
            if told || !wants(&id) || now.saturating_sub(since) >= UNANSWERED {
                self.asked = None;
                remedies.push(Remedy::Ask(0));
                let len = engine.space(id).map_or(0, |space| space.table.len()) as u64;
                self.rest_for(now, len * REST);
            }
        }
        if now < self.rest {
            return remedies;
        }
        for space in engine.spaces().filter(|space| space.wants_reading()) {
            let version = version(space);
            let doubted =
                self.doubted.entry(space.id).or_insert(Doubted { version, quiet_since: now });
            if doubted.version != version {
                *doubted = Doubted { version, quiet_since: now };
            }
            let quiet = now.saturating_sub(doubted.quiet_since) >= QUIET;
            if !can_be_asked || quiet || space.table.len() > MOST_TOLD {
                remedies.push(Remedy::Read { space: space.id, owner: space.owner });
            } else if self.asked.is_none() {
                self.asked = Some(Asked { space: space.id, since: now, wholes: space.wholes });
                remedies.push(Remedy::Ask(space.key));
            }
        }
        remedies
    }

    /// Notes what was spent on readings up to the time `now`, in ns: they stop the target's writers,
    /// and are made no more than a fifth of the time.
    pub fn spent(&mut self, now: u64, cost: u64) {
        self.rest_for(now, cost.saturating_mul(4));
    }

    fn rest_for(&mut self, now: u64, rest: u64) {
        self.rest = self.rest.max(now.saturating_add(rest.min(LONGEST_REST)));
    }
}
