//! A process: its identity, its command line, and its lists of mappings.

use std::fs::File;
use std::io::{self, Read};

use procfs::ProcError;
use procfs::process::{ProcState, Process as Handle};

use super::command::{LONGEST, printable_arguments, printable_name};
use super::text::{parse_decimal, skip_blanks};
use crate::model::Process;
use crate::text::Charset;

/// Which list of mappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `/proc/PID/maps`: cheap.
    Maps,
    /// `/proc/PID/smaps`: walks the page tables and writes ten times the text.
    Smaps,
}

/// A process that existed when it was opened. Its directory stays open, so that a PID that is used
/// again is never mistaken for it.
pub struct Target {
    handle: Handle,
    head: Process,
    leader_gone: bool,
}

impl Target {
    /// Opens the process that `pid` belongs to; `pid` may name any of its threads. `None` where there is none.
    pub fn open(pid: u32, charset: Charset, sysv_minor: Option<u32>) -> Option<Self> {
        let given = Handle::new(pid.try_into().ok()?).ok()?;
        let pid = parse_tgid(&read(&given, "status")?)?;
        let bytes = read(&given, "stat")?;
        let stat = parse_stat(&bytes)?;
        let zombie = matches!(stat.state, Some(ProcState::Zombie));
        let command = read(&given, "cmdline")
            .and_then(|bytes| printable_arguments(&bytes, charset))
            .unwrap_or_else(|| printable_name(stat.name, zombie, charset));
        let start_stack = stat.start_stack;
        let handle = if given.pid().cast_unsigned() == pid {
            given
        } else {
            Handle::new(pid.try_into().ok()?).ok()?
        };
        let leader_gone = zombie && handle.pid().cast_unsigned() == pid;
        Some(Self { handle, head: Process { pid, command, start_stack, sysv_minor }, leader_gone })
    }

    /// What the views print of it.
    pub const fn head(&self) -> &Process {
        &self.head
    }

    /// Opens one of its lists.
    pub fn open_list(&self, list: List) -> io::Result<File> {
        self.handle.open_relative(list.file()).map_err(into_io)
    }

    /// A thread that has the process's mappings; `None` where there is none (any more).
    pub fn living_thread(&self) -> Option<u32> {
        if !self.leader_gone {
            return Some(self.head.pid);
        }
        let tasks = self.handle.tasks().ok()?.flatten();
        tasks.filter(|task| task.tid != task.pid).find_map(|task| task.tid.try_into().ok())
    }

    /// Whether it still has an address space. Once its last thread begins to leave it, its lists end
    /// early and say nothing of it (`fs/proc/task_mmu.c`, `m_start`).
    pub fn has_address_space(&self) -> bool {
        let statm = match self.living_thread() {
            Some(tid) if tid != self.head.pid => format!("task/{tid}/statm"),
            _ => "statm".into(),
        };
        read(&self.handle, &statm)
            .and_then(|text| Some(parse_decimal(&text)?.0 != 0))
            .unwrap_or(false)
    }

    /// Whether it is a thread of the kernel, which has no mappings.
    pub fn is_kernel_thread(&self) -> bool {
        // `PF_KTHREAD` of `include/linux/sched.h`.
        self.handle.stat().is_ok_and(|stat| stat.flags & 0x0020_0000 != 0)
    }

    /// Opens the list of a thread that is still alive, for a process whose first thread has ended: the
    /// kernel shows no mappings for that one, though the others have them still.
    ///
    /// `None` where no other thread has any; where one has, its stack is the process's from here on.
    pub fn open_survivor_list(&mut self, list: List) -> Option<File> {
        if !self.leader_gone {
            return None;
        }
        for task in self.handle.tasks().ok()?.flatten() {
            if task.tid == task.pid {
                continue;
            }
            let open =
                |name: &str| self.handle.open_relative(format!("task/{}/{name}", task.tid)).ok();
            let has_mappings = open(List::Maps.file())
                .and_then(|mut file| file.read(&mut [0; 1]).ok())
                .is_some_and(|count| count > 0);
            if let Some(file) = open(list.file()).filter(|_| has_mappings) {
                let stat = open("stat").and_then(|file| read_whole(file, 4096));
                if let Some(stat) = stat.as_deref().and_then(parse_stat) {
                    self.head.start_stack = stat.start_stack;
                }
                return Some(file);
            }
        }
        None
    }
}

impl List {
    /// The name of the file in a process's directory.
    const fn file(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Smaps => "smaps",
        }
    }
}

/// Reads a small file of the process.
fn read(handle: &Handle, name: &str) -> Option<Vec<u8>> {
    read_whole(handle.open_relative(name).ok()?, LONGEST as u64)
}

/// At most `limit` bytes of a file.
fn read_whole(file: File, limit: u64) -> Option<Vec<u8>> {
    // Large enough for most of them, so that one read does.
    let mut bytes = Vec::with_capacity(4096);
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The error of the operating system inside one of `procfs`.
fn into_io(error: ProcError) -> io::Error {
    match error {
        ProcError::PermissionDenied(_) => io::ErrorKind::PermissionDenied.into(),
        ProcError::NotFound(_) => io::ErrorKind::NotFound.into(),
        ProcError::Io(error, _) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// The thread-group id in the text of `/proc/PID/status`.
fn parse_tgid(status: &[u8]) -> Option<u32> {
    let line =
        status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:\t"))?;
    parse_decimal(line)?.0.try_into().ok()
}

/// What is needed of `/proc/PID/stat` (`fs/proc/array.c`, `do_task_stat`).
#[derive(Debug, PartialEq)]
struct Stat<'a> {
    /// Short name, at most 15 bytes for a program; any bytes.
    name: &'a [u8],
    state: Option<ProcState>,
    start_stack: u64,
}

/// The name may hold blanks, parentheses and newlines: it ends at the last closing parenthesis.
fn parse_stat(text: &[u8]) -> Option<Stat<'_>> {
    let open = text.iter().position(|&byte| byte == b'(')?;
    let close = text.iter().rposition(|&byte| byte == b')')?;
    let name = text.get(open + 1..close)?;
    let rest = skip_blanks(&text[close + 1..]);
    let mut fields = rest.split(|&byte| byte == b' ');
    let state = fields.next()?.first().and_then(|&byte| ProcState::from_char(byte.into()));
    // The state is field 3, so what is left starts with field 4.
    let start_stack = parse_decimal(fields.nth(28 - 4)?)?.0;
    Some(Stat { name, state, start_stack })
}
