//! What a thread does: system calls with arguments that are legal, overlapping, empty, huge or
//! wrong, as its seed decides and nothing else.

use libc::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN, MAP_NORESERVE, MAP_POPULATE,
    MAP_PRIVATE, MAP_SHARED, c_long,
};

use super::random::Random;

/// Where the threads of a process meet.
pub(super) const ARENA: u64 = 0x1000_0000_0000;
/// Its pages.
pub(super) const ARENA_PAGES: u64 = 512;
/// Pages behind it that may come to be sealed, and so stay.
const SEALED_PAGES: u64 = 16;
/// Mappings of a thread's own, at places that the kernel chooses.
pub(super) const SLOTS: u64 = 32;
const PAGE: u64 = 4096;
const HUGE: u64 = 1 << 40;

/// An argument.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// As it stands.
    Number(u64),
    /// Where the mapping of a slot is.
    Slot(u64),
    /// How long it is.
    SlotLength(u64),
    /// The break at the start, and so many bytes more.
    Break(u64),
    /// A descriptor of the process.
    Fd(Fd),
    /// The System V segment.
    Segment,
    /// Address of two ranges for `process_madvise`: offsets into the arena, in pages.
    Ranges([u64; 2]),
    /// Address of a number that says "node 0".
    Nodes,
    /// Address of an asynchronous I/O context's number.
    Context,
    /// Address of the range for the user fault ioctls, in pages of the arena.
    Faults(u64, u64),
}

/// Descriptors that a process has open.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fd {
    /// A file of 64 pages.
    File,
    /// A memfd of 64 pages.
    Memory,
    /// `/dev/zero`.
    Zero,
    /// A PID descriptor of the process.
    Process,
    /// User faults.
    Faults,
}

/// What a call's success means for the slots.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep {
    /// Nothing.
    No,
    /// A mapping outside of the arena goes into a slot; its length, or the argument that says it.
    Into(u64, Length),
    /// The slot's mapping is gone.
    Gone(u64),
}

/// A length.
#[derive(Clone, Copy, Debug)]
pub(super) enum Length {
    /// In bytes.
    Bytes(u64),
    /// An argument's value.
    Argument(usize),
}

/// A step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A system call.
    Call(c_long, [Value; 6], Keep),
    /// A thread starts and ends.
    Thread,
    /// A child takes steps of its own.
    Fork(u64),
    /// A child takes the place of another program.
    Spawn(u64),
}

use Value::Number as N;

/// The steps of one thread, without end.
pub(super) struct Plan {
    random: Random,
    /// Whether this thread moves the break.
    breaks: bool,
}

impl Plan {
    pub(super) fn new(seed: u64, breaks: bool) -> Self {
        Self { random: Random::new(seed), breaks }
    }

    fn page(&mut self) -> u64 {
        ARENA + self.random.below(ARENA_PAGES) * PAGE
    }

    /// An address, most often in the arena.
    fn place(&mut self) -> Value {
        let page = self.page();
        match self.random.below(64) {
            0 => N(page + self.random.below(PAGE)),
            1 => N(self.random.pick(&[0, 1 << 47, !4095, HUGE])),
            _ => N(page),
        }
    }

    fn length(&mut self) -> u64 {
        match self.random.below(48) {
            0 => 0,
            1 => 1 + self.random.below(3 * PAGE),
            2 => HUGE,
            3 => u64::MAX - self.random.below(3 * PAGE),
            4..8 => (1 + self.random.below(ARENA_PAGES)) * PAGE,
            _ => self.short(),
        }
    }

    fn short(&mut self) -> u64 {
        (1 + self.random.below(16)) * PAGE
    }

    fn protection(&mut self) -> u64 {
        self.random.pick(&[0, 1, 3, 3, 3, 1, 5, 7, 2])
    }

    fn call(nr: c_long, arguments: &[Value]) -> Step {
        let mut all = [N(0); 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Step::Call(nr, all, Keep::No)
    }

    /// The same call, what it maps outside of the arena being kept.
    fn kept(&mut self, step: Step, length: Length) -> Step {
        match step {
            Step::Call(nr, arguments, _) => {
                Step::Call(nr, arguments, Keep::Into(self.random.below(SLOTS), length))
            }
            other => other,
        }
    }

    /// A call on the whole of a mapping that the kernel placed: what lies beside it is not ours.
    fn slot(&mut self) -> Step {
        let slot = self.random.below(SLOTS);
        let (start, length) = (Value::Slot(slot), Value::SlotLength(slot));
        match self.random.below(8) {
            0 | 1 => {
                let Step::Call(nr, arguments, _) = Self::call(libc::SYS_munmap, &[start, length])
                else {
                    unreachable!("it was made a call");
                };
                Step::Call(nr, arguments, Keep::Gone(slot))
            }
            2 => {
                let mut arguments = [N(0); 6];
                arguments[0] = start;
                Step::Call(libc::SYS_shmdt, arguments, Keep::Gone(slot))
            }
            3 | 4 => {
                let mut arguments = [N(0); 6];
                arguments[..4].copy_from_slice(&[start, length, N(self.short()), N(1)]);
                Step::Call(libc::SYS_mremap, arguments, Keep::Into(slot, Length::Argument(2)))
            }
            5 => Self::call(libc::SYS_mprotect, &[start, N(PAGE), N(self.protection())]),
            6 => Self::call(libc::SYS_mprotect, &[start, length, N(self.protection())]),
            _ => Self::call(libc::SYS_madvise, &[start, length, N(self.random.pick(&[10, 11]))]),
        }
    }

    fn mmap(&mut self) -> Step {
        let length = self.length();
        let (fd, flags) = match self.random.below(8) {
            0 => (Value::Fd(Fd::File), MAP_PRIVATE),
            1 => (Value::Fd(Fd::File), MAP_SHARED),
            2 => (Value::Fd(Fd::Memory), MAP_SHARED),
            3 => (N(u64::MAX), MAP_SHARED | MAP_ANONYMOUS),
            _ => (N(u64::MAX), MAP_PRIVATE | MAP_ANONYMOUS),
        };
        let mut flags = flags;
        if self.random.one_in(6) {
            flags |= MAP_NORESERVE;
        }
        if length < 1 << 20 && self.random.one_in(12) {
            flags |= MAP_POPULATE;
        }
        if self.random.one_in(16) && flags & MAP_ANONYMOUS != 0 {
            flags |= MAP_GROWSDOWN;
        }
        let offset = N(self.random.below(64) * PAGE + u64::from(self.random.one_in(64)));
        let protection = N(self.protection());
        let (place, how) = match self.random.below(12) {
            0..7 => (self.place(), MAP_FIXED),
            7 => (self.place(), MAP_FIXED_NOREPLACE),
            8 => (self.place(), 0),
            _ => (N(0), 0),
        };
        let flags = N((flags | how) as u64);
        let step = Self::call(libc::SYS_mmap, &[place, N(length), protection, flags, fd, offset]);
        self.kept(step, Length::Argument(1))
    }

    fn mremap(&mut self) -> Step {
        let (old, new) = (self.length(), self.length());
        let new = if self.random.one_in(2) { old } else { new };
        let flags = self.random.pick(&[0, 1, 1, 3, 3, 3, 5, 5, 7, 7, 2, 4]);
        let (from, to) = (self.place(), self.place());
        let to = if flags & 2 != 0 || self.random.one_in(2) { to } else { N(0) };
        let step = Self::call(libc::SYS_mremap, &[from, N(old), N(new), N(flags), to]);
        self.kept(step, Length::Argument(2))
    }

    fn madvise(&mut self) -> Step {
        const ADVICE: &[i32] =
            &[0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 103];
        let advice = N(self.random.pick(ADVICE) as u64);
        if self.random.one_in(10) {
            let ranges = [self.random.below(ARENA_PAGES), self.random.below(ARENA_PAGES)];
            return Self::call(
                libc::SYS_process_madvise,
                &[Value::Fd(Fd::Process), Value::Ranges(ranges), N(2), advice, N(0)],
            );
        }
        if self.random.one_in(20) {
            // MADV_POPULATE_*, MADV_COLLAPSE and MADV_GUARD_INSTALL fill memory or page tables: never
            // those of huge mappings.
            let populate = N(self.random.pick(&[22, 23, 25, 102]));
            let (place, length) = match self.random.below(4) {
                0 => (ARENA, ARENA_PAGES * PAGE),
                _ => (self.page(), self.short()),
            };
            return Self::call(libc::SYS_madvise, &[N(place), N(length), populate]);
        }
        Self::call(libc::SYS_madvise, &[self.place(), N(self.length()), advice])
    }

    fn lock(&mut self) -> Step {
        let (place, length) = (self.place(), N(self.length()));
        match self.random.below(16) {
            0..5 => Self::call(libc::SYS_mlock, &[place, length]),
            5..8 => Self::call(libc::SYS_mlock2, &[place, length, N(self.random.below(2))]),
            8..14 => Self::call(libc::SYS_munlock, &[place, length]),
            // Never without MCL_ONFAULT, which would fill huge mappings; never with MCL_FUTURE, which
            // would leave the program's own threads without stacks.
            14 => Self::call(libc::SYS_mlockall, &[N(self.random.pick(&[4, 5, 5]))]),
            _ => Self::call(libc::SYS_munlockall, &[]),
        }
    }

    fn shared(&mut self) -> Step {
        let place = self.place();
        match self.random.below(4) {
            0 => {
                let step = Self::call(libc::SYS_shmat, &[Value::Segment, N(0), N(0)]);
                self.kept(step, Length::Bytes(8 * PAGE))
            }
            1 => {
                // SHM_REMAP, SHM_RND and SHM_RDONLY.
                let flags = self.random.pick(&[0o40_000, 0o60_000, 0o50_000, 0, 0o20_000]);
                Self::call(libc::SYS_shmat, &[Value::Segment, place, N(flags)])
            }
            _ => Self::call(libc::SYS_shmdt, &[place]),
        }
    }

    fn rare(&mut self) -> Step {
        const REGISTER: u64 = 0xc020_aa00;
        const UNREGISTER: u64 = 0x8010_aa01;
        let (place, length) = (self.place(), N(self.length()));
        match self.random.below(8) {
            0 | 1 => {
                let request = N(self.random.pick(&[REGISTER, UNREGISTER]));
                let range =
                    Value::Faults(self.random.below(ARENA_PAGES), 1 + self.random.below(16));
                Self::call(libc::SYS_ioctl, &[Value::Fd(Fd::Faults), request, range])
            }
            2 => Self::call(libc::SYS_io_setup, &[N(16), Value::Context]),
            3 => Self::call(libc::SYS_io_destroy, &[Value::Context]),
            4 => Self::call(
                libc::SYS_remap_file_pages,
                &[place, length, N(0), N(self.random.below(60)), N(0)],
            ),
            5 => {
                let mode = N(self.random.pick(&[0, 1, 2, 3, 4]));
                Self::call(libc::SYS_mbind, &[place, length, mode, Value::Nodes, N(64), N(0)])
            }
            6 => Self::call(
                libc::SYS_pkey_mprotect,
                &[place, length, N(self.protection()), N(u64::MAX)],
            ),
            _ if self.random.one_in(16) => {
                let page = ARENA + (ARENA_PAGES + self.random.below(SEALED_PAGES)) * PAGE;
                Self::call(462, &[N(page), N(PAGE), N(0)])
            }
            _ => {
                let page = ARENA + (ARENA_PAGES + self.random.below(SEALED_PAGES)) * PAGE;
                let flags = N((MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) as u64);
                Self::call(libc::SYS_mmap, &[N(page), N(3 * PAGE), N(1), flags, N(u64::MAX), N(0)])
            }
        }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let dice = self.random.below(1000);
        Some(match dice {
            0..280 => self.mmap(),
            280..420 => Self::call(libc::SYS_munmap, &[self.place(), N(self.length())]),
            420..560 => {
                let protection = N(self.protection());
                Self::call(libc::SYS_mprotect, &[self.place(), N(self.length()), protection])
            }
            560..680 => self.mremap(),
            680..760 => self.madvise(),
            760..820 => self.lock(),
            820..840 => self.shared(),
            840..870 => self.slot(),
            870..900 => self.rare(),
            900..940 if self.breaks => {
                let by = self.random.below(64 * PAGE);
                Self::call(libc::SYS_brk, &[Value::Break(by)])
            }
            // A page is written by the kernel: stacks grow, and nothing happens to us where there
            // is no page.
            900..993 => {
                let page = self.page() + self.random.below(PAGE);
                Self::call(libc::SYS_read, &[Value::Fd(Fd::Zero), N(page), N(1)])
            }
            993..997 => Step::Thread,
            997..999 => Step::Fork(self.random.next()),
            _ => Step::Spawn(self.random.next()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a seed decides every step.
    #[test]
    fn a_seed_replays() {
        let steps = |seed| format!("{:?}", Plan::new(seed, true).take(10_000).collect::<Vec<_>>());
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
    }
}
