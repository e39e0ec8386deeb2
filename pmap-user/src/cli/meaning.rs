//! What a command line means: the order of procps's checks, and ours after them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::getopt::{Typed, Words};
use super::number::strtoul;
use super::options::Id;
use super::{Action, Color, Context, Follow, Request, Snapshot, SnapshotOptions};
use crate::rc;
use crate::view::{self, Columns, Format, Range};

/// The largest PID that procps takes.
const LARGEST_PID: u64 = 0x7fff_ffff;

/// How much of the time reading smaps may take unless it is said, in percent.
const SMAPS_BUDGET: f64 = 1.0;

/// Finds out what the words of a command line ask for; `argv` includes the program's name.
pub fn interpret(argv: &[OsString], context: &Context) -> Request {
    let program = argv.first().map_or("pmap".into(), |name| {
        let name = name.as_bytes();
        let start = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        String::from_utf8_lossy(&name[start..]).into_owned()
    });
    let mut said = Said::default();
    let action = if argv.len() < 2 {
        Action::Usage
    } else {
        said.take_words(&mut Words::new(argv, context.options_first), &program)
            .and_then(|()| said.check(&program, context))
            .unwrap_or_else(|stop| stop)
    };
    Request { program, messages: said.messages, action }
}

/// What was said so far. A function of it that returns an error has found what to do at once.
#[derive(Default)]
struct Said {
    messages: Vec<Vec<u8>>,
    extended: bool,
    details: u32,
    device: bool,
    read_rc: bool,
    read_rc_from: Option<OsString>,
    create_rc: bool,
    create_rc_to: Option<OsString>,
    quiet: bool,
    full_path: bool,
    kernel_names: bool,
    range: Range,
    json: bool,
    follow: bool,
    check: bool,
    /// The first option that means nothing without `--follow`.
    follow_only: Option<&'static str>,
    children: bool,
    failed: bool,
    table: bool,
    smaps_interval: Option<Duration>,
    smaps_budget: Option<f64>,
    buffer_kib: Option<u32>,
    color: Color,
    operands: Vec<OsString>,
    rest: Vec<OsString>,
}

impl Said {
    /// Adds a line for standard error.
    fn say(&mut self, program: &str, text: &str) {
        self.messages.push(format!("{program}: {text}").into_bytes());
    }

    /// Adds a line for standard error, and ends.
    fn fail<T>(&mut self, program: &str, text: &str) -> Result<T, Action> {
        self.say(program, text);
        Err(Action::Fail)
    }

    /// Reads every word.
    fn take_words(&mut self, words: &mut Words<'_>, program: &str) -> Result<(), Action> {
        while let Some(typed) = words.next() {
            match typed {
                Err(complaint) => {
                    self.messages.push(complaint);
                    return Err(Action::Usage);
                }
                Ok(Typed::Operand(word)) => self.operands.push(word),
                Ok(Typed::Rest(words)) => self.rest = words,
                Ok(Typed::Option(id, value)) => self.take_option(id, value, program)?,
            }
        }
        Ok(())
    }

    /// Notes one option.
    fn take_option(&mut self, id: Id, value: OsString, program: &str) -> Result<(), Action> {
        let mut needs_follow = |name| {
            self.follow_only.get_or_insert(name);
        };
        match id {
            Id::Extended => self.extended = true,
            Id::Details => self.details += 1,
            Id::ReadRc => self.read_rc = true,
            Id::ReadRcFrom => self.read_rc_from = Some(value),
            Id::CreateRc => self.create_rc = true,
            Id::CreateRcTo => self.create_rc_to = Some(value),
            Id::Device => self.device = true,
            Id::Quiet => self.quiet = true,
            Id::ShowPath => self.full_path = true,
            Id::KernelNames => self.kernel_names = true,
            Id::SunOs => self.say(program, "option -r is ignored as SunOS compatibility"),
            Id::Help => return Err(Action::Help),
            Id::Version => return Err(Action::Version),
            Id::Range => match parse_range(value.as_bytes(), self.range) {
                Some(range) => self.range = range,
                None => {
                    let text = [b": failed to parse argument: '", value.as_bytes(), b"'"].concat();
                    self.messages.push([program.as_bytes(), &text].concat());
                    return Err(Action::Fail);
                }
            },
            Id::Json => self.json = true,
            Id::Follow => self.follow = true,
            Id::Check => self.check = true,
            Id::Children => {
                needs_follow("--children");
                self.children = true;
            }
            Id::Failed => {
                needs_follow("--failed");
                self.failed = true;
            }
            Id::Table => {
                needs_follow("--table");
                self.table = true;
            }
            Id::SmapsInterval => {
                needs_follow("--smaps-interval");
                let seconds = parse_positive(&value)
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    .filter(|interval| !interval.is_zero());
                match seconds {
                    Some(interval) => self.smaps_interval = Some(interval),
                    None => {
                        return self.bad_value(
                            program,
                            "--smaps-interval",
                            &value,
                            "seconds, as 0.5",
                        );
                    }
                }
            }
            Id::SmapsBudget => {
                needs_follow("--smaps-budget");
                match parse_positive(&value).filter(|percent| *percent <= 100.0) {
                    Some(percent) => self.smaps_budget = Some(percent),
                    None => {
                        return self.bad_value(
                            program,
                            "--smaps-budget",
                            &value,
                            "a percentage up to 100",
                        );
                    }
                }
            }
            Id::Buffer => {
                needs_follow("--buffer");
                match value.to_str().and_then(|text| text.parse().ok()).filter(|kib| *kib > 0) {
                    Some(kib) => self.buffer_kib = Some(kib),
                    None => {
                        return self.bad_value(
                            program,
                            "--buffer",
                            &value,
                            "a number of KiB, as 4096",
                        );
                    }
                }
            }
            Id::Color => {
                needs_follow("--color");
                self.color = match value.as_bytes() {
                    b"auto" => Color::Auto,
                    b"always" => Color::Always,
                    b"never" => Color::Never,
                    _ => {
                        return self.bad_value(program, "--color", &value, "auto, always or never");
                    }
                };
            }
        }
        Ok(())
    }

    fn bad_value(
        &mut self,
        program: &str,
        option: &str,
        value: &OsStr,
        wanted: &str,
    ) -> Result<(), Action> {
        let value = value.to_string_lossy();
        self.fail(program, &format!("{option}: '{}' is not {wanted}", value.escape_debug()))
    }

    /// Makes sense of it all, in procps's order: what excludes what, rc files, what is missing, PIDs.
    fn check(&mut self, program: &str, context: &Context) -> Result<Action, Action> {
        if self.check {
            return Ok(Action::Check);
        }
        let creates = self.create_rc || self.create_rc_to.is_some();
        let modes = [
            self.read_rc,
            self.read_rc_from.is_some(),
            self.device,
            self.create_rc,
            self.create_rc_to.is_some(),
            self.extended,
            self.details > 0,
        ];
        if modes.into_iter().filter(|&mode| mode).count() > 1 {
            return self.fail(program, "options -c, -C, -d, -n, -N, -x, -X are mutually exclusive");
        }
        if creates && (self.quiet || self.full_path) {
            return self.fail(program, "options -p, -q are mutually exclusive with -n, -N");
        }
        if creates && self.follow {
            return self.fail(program, "--follow is mutually exclusive with -n, -N");
        }
        if creates && !(self.operands.is_empty() && self.rest.is_empty()) {
            return self.fail(program, "too many arguments");
        }
        if let Some(path) = self.create_rc_to.take() {
            return Ok(Action::CreateRc { path: path.into(), default: false });
        }
        if self.create_rc {
            let path = self.default_rc(program, context)?;
            return Ok(Action::CreateRc { path, default: true });
        }
        if let Some(option) = self.follow_only.filter(|_| !self.follow) {
            return self.fail(program, &format!("{option} means nothing without --follow"));
        }
        if !self.follow {
            self.operands.append(&mut self.rest);
            if self.operands.is_empty() {
                return self.fail(program, "argument missing");
            }
        }
        let options = self.snapshot_options(program, context)?;
        if self.follow {
            return self.follow(program, options);
        }
        let pids = parse_pids(&self.operands).map_err(|_| Action::Usage)?;
        if pids.is_empty() {
            // All were of the form /proc/name: procps passes over them, and then has nothing to ask for.
            return self.fail(program, "library failed pids statistics");
        }
        Ok(Action::Snapshot(Snapshot { pids, options }))
    }

    /// What follows from `--follow`.
    fn follow(&mut self, program: &str, snapshot: SnapshotOptions) -> Result<Action, Action> {
        let pids = match parse_pids(&self.operands) {
            Ok(pids) => pids,
            Err(word) => {
                let word = word.to_string_lossy();
                return self.fail(
                    program,
                    &format!(
                        "'{}' is no process id; to start a command, put -- before it",
                        word.escape_debug()
                    ),
                );
            }
        };
        let command = Some(std::mem::take(&mut self.rest)).filter(|words| !words.is_empty());
        match (pids.is_empty(), &command) {
            (true, None) => return self.fail(program, "--follow needs a PID, or -- and a command"),
            (false, Some(_)) => {
                return self.fail(program, "--follow takes PIDs or a command, not both");
            }
            _ => {}
        }
        Ok(Action::Follow(Box::new(Follow {
            pids,
            command,
            children: self.children,
            json: self.json,
            failed: self.failed,
            table: self.table,
            smaps_interval: self.smaps_interval,
            smaps_budget: self.smaps_budget.unwrap_or(SMAPS_BUDGET),
            buffer_kib: self.buffer_kib,
            color: self.color,
            snapshot,
        })))
    }

    /// The look of a list; reads the rc file where one is asked for.
    fn snapshot_options(
        &mut self,
        program: &str,
        context: &Context,
    ) -> Result<SnapshotOptions, Action> {
        let format = if self.extended {
            Format::Extended
        } else if self.device {
            Format::Device
        } else if self.details > 0 {
            Format::Details(if self.details == 1 { Columns::Usual } else { Columns::All })
        } else if self.read_rc || self.read_rc_from.is_some() {
            Format::Details(Columns::Chosen(self.read_rc_file(program, context)?))
        } else {
            Format::Default
        };
        let view = view::Options {
            format,
            quiet: self.quiet,
            full_path: self.full_path,
            kernel_names: self.kernel_names,
            range: self.range,
            charset: context.charset,
        };
        Ok(SnapshotOptions { view, json: self.json })
    }

    /// The columns that the rc file lists; what it says of paths is noted.
    fn read_rc_file(&mut self, program: &str, context: &Context) -> Result<Vec<Vec<u8>>, Action> {
        let bytes = if let Some(path) = self.read_rc_from.take() {
            match (context.read_file)(Path::new(&path)) {
                Ok(bytes) => bytes,
                Err(_) => return self.fail(program, "couldn't read the rc file"),
            }
        } else {
            match (context.read_file)(&self.default_rc(program, context)?) {
                Ok(bytes) => bytes,
                Err(_) => return self.fail(program, &format!("couldn't read ~/.{program}rc")),
            }
        };
        let rc = rc::parse(&bytes);
        for complaint in rc.complaints {
            self.say(program, &complaint.to_string());
        }
        self.full_path ^= rc.toggles_path;
        Ok(rc.fields)
    }

    /// Where the rc file is unless it is said.
    fn default_rc(&mut self, program: &str, context: &Context) -> Result<PathBuf, Action> {
        match &context.home {
            Some(home) => {
                let mut path = home.clone();
                path.push(format!("/.{program}rc"));
                Ok(path.into())
            }
            None => self.fail(program, "HOME variable undefined"),
        }
    }
}

/// Parses `low`, `low,`, `,high`, `low,high`; what is not said stays as it is.
fn parse_range(text: &[u8], before: Range) -> Option<Range> {
    let (low, high) = match text.iter().position(|&byte| byte == b',') {
        Some(comma) => (&text[..comma], &text[comma + 1..]),
        None => (text, text),
    };
    let bound = |text: &[u8], otherwise| match (text, strtoul(text, 16)) {
        ([], _) => Some(otherwise),
        (_, (value, [])) => Some(value),
        _ => None,
    };
    Some(Range { low: bound(low, before.low)?, high: bound(high, before.high)? })
}

/// Parses the PIDs, or gives back the first word that is none. `/proc/name` is passed over.
fn parse_pids(words: &[OsString]) -> Result<Vec<u32>, OsString> {
    let mut pids = Vec::with_capacity(words.len());
    for word in words {
        let bytes = word.as_bytes();
        let in_proc = bytes.strip_prefix(b"/proc/");
        let digits = in_proc.unwrap_or(bytes);
        if !digits.first().is_some_and(u8::is_ascii_digit) {
            if in_proc.is_some() {
                continue;
            }
            return Err(word.clone());
        }
        match strtoul(digits, 0) {
            (pid @ 1..=LARGEST_PID, []) => pids.push(pid as u32),
            _ => return Err(word.clone()),
        }
    }
    Ok(pids)
}

/// Parses a number above zero.
fn parse_positive(text: &OsStr) -> Option<f64> {
    text.to_str()?.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}
