//! The command line, in two steps: what was typed ([`getopt`]), then what it means ([`meaning`]).
//!
//! Neither step does any I/O of its own; what has to be asked of the system is in [`Context`].

mod command;
mod getopt;
mod meaning;
mod number;
mod options;
mod usage;

pub use command::command;
pub use meaning::interpret;
pub use usage::{help, procps_usage, version};

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::text::Charset;
use crate::view;

/// What the meaning of a command line depends on beside its words.
pub struct Context {
    /// `POSIXLY_CORRECT` is set: the first operand ends the options.
    pub options_first: bool,
    /// `HOME`.
    pub home: Option<OsString>,
    /// What the terminal can show.
    pub charset: Charset,
    /// Reads a whole rc file.
    pub read_file: fn(&Path) -> io::Result<Vec<u8>>,
}

/// What a command line asks for.
#[derive(Debug)]
pub struct Request {
    /// The name under which we were called, without its folder: in messages, in the usage, and in
    /// the name of the rc file.
    pub program: String,
    /// Lines for standard error, before anything is done.
    pub messages: Vec<Vec<u8>>,
    /// What to do then.
    pub action: Action,
}

/// The things that `pmap` can do.
#[derive(Debug)]
pub enum Action {
    /// `-h`: the help on standard output.
    Help,
    /// `-V`.
    Version,
    /// It cannot be understood: the usage on standard error, exit status 1.
    Usage,
    /// The messages say what is wrong: exit status 1.
    Fail,
    /// `-n`, `-N`: write the template of an rc file.
    CreateRc {
        /// Where to.
        path: PathBuf,
        /// Whether it is the default place.
        default: bool,
    },
    /// Print the mappings of processes.
    Snapshot(Snapshot),
    /// Print the changes of mappings.
    Follow(Box<Follow>),
    /// Say what the kernel allows.
    Check,
}

/// Mappings of processes, printed once.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The processes, in the order of printing.
    pub pids: Vec<u32>,
    /// What they look like.
    pub options: SnapshotOptions,
}

/// What a list of mappings looks like.
#[derive(Clone, Debug, Default)]
pub struct SnapshotOptions {
    /// The text.
    pub view: view::Options,
    /// JSON instead.
    pub json: bool,
}

/// Changes of mappings, printed as they happen.
#[derive(Clone, Debug)]
pub struct Follow {
    /// The processes to follow; empty where a command is started.
    pub pids: Vec<u32>,
    /// The command to start and follow, with its arguments; never empty.
    pub command: Option<Vec<OsString>>,
    /// Follow what they fork, too.
    pub children: bool,
    /// One JSON object a line.
    pub json: bool,
    /// Failed calls, too.
    pub failed: bool,
    /// Print the starting table first.
    pub table: bool,
    /// How often smaps is read, where that was set.
    pub smaps_interval: Option<Duration>,
    /// How much of the time reading smaps may take, in percent.
    pub smaps_budget: f64,
    /// Size of the ring buffer in KiB, where that was set.
    pub buffer_kib: Option<u32>,
    /// Whether to use colour.
    pub color: Color,
    /// The look of the whole list, for the starting table and for `SIGUSR1`.
    pub snapshot: SnapshotOptions,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also in a pipe.
    Always,
    /// Not at all.
    Never,
}
