//! `--follow`: the loop around the tracer, the tables and the views. The only folder with tokio.

mod check;
mod listing;
mod names;
mod privileges;
mod reconcile;
mod session;
mod target;

use std::{
    env,
    io::{self, ErrorKind, IsTerminal as _},
    os::unix::process::CommandExt as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

pub use check::check;

use crate::{
    cli::{Color, Follow},
    kernel::{self, Options, Tracer},
    proc::process::Target,
    snapshot::status,
    view::Format,
};
use reconcile::{Job, Reader, Schedule};
use session::Session;
use target::Command;

/// Between two looks into the ring while records come: nobody wakes us then.
const BREATH: Duration = Duration::from_millis(1);
/// Between two looks at what is in doubt: longer than who does not write is waited for.
const HEALING: Duration = Duration::from_millis(6);
/// Between two looks at what nothing announces: lost records, calls that do not return.
const TICK: Duration = Duration::from_millis(100);

/// How long a start that a signal disturbed is tried again.
const INSISTENCE: Duration = Duration::from_secs(10);

/// Why `--follow` ended without a summary.
enum Failure {
    /// A sentence for the user, and the exit status.
    Say(String, u8),
    /// Standard output failed.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Follows processes, and returns the exit status.
pub fn run(follow: &Follow) -> ExitCode {
    insist();
    match start(follow) {
        Ok(code) => code,
        Err(Failure::Say(text, code)) => {
            complain(&text);
            ExitCode::from(code)
        }
        // Whoever read from us has gone, or the terminal has: nobody is there to tell.
        Err(Failure::Output(error))
            if error.kind() == ErrorKind::BrokenPipe || error.raw_os_error() == Some(libc::EIO) =>
        {
            ExitCode::SUCCESS
        }
        Err(Failure::Output(error)) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            complain(&format!("write error: {text}"));
            ExitCode::FAILURE
        }
    }
}

/// Starts this program anew where a signal has spoiled it for this process: see
/// [`kernel::was_disturbed`]. Goes on where that cannot be, and says later what fails for it.
fn insist() {
    if kernel::was_disturbed() && crate::proc::own_age() < INSISTENCE {
        let mut words = env::args_os();
        let name = words.next().unwrap_or_default();
        let _ = std::process::Command::new("/proc/self/exe").arg0(name).args(words).exec();
    }
}

fn complain(text: &str) {
    use io::Write as _;
    // Where even that cannot be written there is nobody to tell.
    let _ = writeln!(io::stderr(), "pmap: {text}");
}

fn say(text: impl Into<String>) -> Failure {
    Failure::Say(text.into(), status::FAILED)
}

/// Everything up to the first record, and then the loop.
fn start(follow: &Follow) -> Result<ExitCode, Failure> {
    let (targets, mut missing) = find(follow)?;
    let mut command = match &follow.command {
        Some(words) => Some(
            Command::prepare(words)
                .map_err(|e| say(format!("cannot start the command: {}", plain(&e))))?,
        ),
        None => None,
    };
    let mut options = options();
    if let Some(kib) = follow.buffer_kib {
        options.ring_bytes = ring_bytes(kib);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| say(format!("cannot wait for events: {}", plain(&e))))?;
    // Before anything is shown: whoever sees the table may already signal.
    let signals = runtime.block_on(async { Signals::catch() })?;
    let tracer = Tracer::start(options).map_err(|e| say(e.to_string()))?;
    let out = session::stdout()?;
    let mut session = Session::new(tracer, follow, out, colour(follow.color), is_loose_heap());
    for target in &targets {
        let pid = target.head().pid;
        match session.begin(target) {
            Ok(true) => {}
            Ok(false) => {
                complain(&format!("process {pid} ended before it could be followed"));
                missing |= status::NOT_FOUND;
            }
            Err(e) => return Err(say(format!("cannot read the mappings of {pid}: {}", plain(&e)))),
        }
    }
    if let Some(command) = &command {
        session
            .tracer
            .follow_from_exec(command.pid(), follow.children)
            .map_err(|e| say(format!("cannot follow the command: {}", plain(&e))))?;
        session.living.insert(command.pid());
    }
    if session.living.is_empty() {
        return Ok(ExitCode::from(missing));
    }
    privileges::hurry();
    privileges::drop_unneeded()
        .map_err(|e| say(format!("cannot give up privileges: {}", plain(&e))))?;
    if follow.table {
        session.list();
        session.flush()?;
    }
    let ended = runtime.block_on(watch(&mut session, follow, command.as_mut(), signals));
    // The thread that reads smaps may be in the middle of a long read.
    runtime.shutdown_background();
    let status = ended?;
    session.pump_out();
    session.summarise();
    session.flush()?;
    Ok(status.map_or(ExitCode::from(missing), target::exit_code))
}

/// What the running kernel, and the PID namespace that we are in, ask for.
fn options() -> Options {
    let nested = !crate::proc::in_initial_pid_namespace();
    Options { nested, ..Options::of_release(crate::proc::kernel_release()) }
}

/// Opens the processes that were named, and says what cannot be followed.
fn find(follow: &Follow) -> Result<(Vec<Target>, u8), Failure> {
    let mut targets: Vec<Target> = Vec::new();
    let mut missing = 0;
    for &pid in &follow.pids {
        let Some(target) = Target::open(pid, follow.snapshot.view.charset, None) else {
            complain(&format!("no process {pid}"));
            missing |= status::NOT_FOUND;
            continue;
        };
        if target.is_kernel_thread() {
            return Err(say(format!("process {pid} is a kernel thread: it has no mappings")));
        }
        if target.living_thread().is_none() {
            return Err(say(format!("process {pid} has ended and has no mappings (a zombie)")));
        }
        if targets.iter().all(|known| known.head().pid != target.head().pid) {
            targets.push(target);
        }
    }
    if targets.is_empty() && follow.command.is_none() {
        return Err(Failure::Say("nothing to follow".into(), missing));
    }
    Ok((targets, missing))
}

/// The signals that mean something here.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    list: Signal,
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|e| say(format!("cannot catch signals: {}", plain(&e))))
}

impl Signals {
    /// Catches them from now on; one that comes before it is waited for is kept.
    fn catch() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|e| say(format!("cannot catch signals: {}", plain(&e))));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            list: listen(SignalKind::user_defined1())?,
        })
    }
}

/// Takes in records until everything that is followed has ended, or a signal ends it. Returns the
/// command's wait status, where there is a command.
async fn watch(
    session: &mut Session<'_>,
    follow: &Follow,
    mut command: Option<&mut Command>,
    mut signals: Signals,
) -> Result<Option<i32>, Failure> {
    let ready = session
        .tracer
        .readiness()
        // SAFETY: an `OwnedFd` is open, and stays the same, for as long as it is owned.
        .and_then(|fd| unsafe {
            AsyncFd::register_with_interest(fd, Interest::READABLE).map_err(Into::into)
        })
        .map_err(|e| say(format!("cannot wait for records: {}", plain(&e))))?;
    let all = follow.json || matches!(follow.snapshot.view.format, Format::Details(_));
    // Not before: whoever stops and continues the waiting child would disturb the verifier.
    let mut child = listen(SignalKind::child())?;
    let mut reader = Reader::start(session.versions.clone(), all);
    if let Some(command) = &mut command {
        command.start().map_err(|e| {
            let words = follow.command.as_deref().unwrap_or_default();
            let name = words.first().map(|w| w.to_string_lossy()).unwrap_or_default();
            let code = if e.kind() == ErrorKind::NotFound { 127 } else { 126 };
            Failure::Say(format!("cannot run {name}: {}", plain(&e)), code)
        })?;
    }
    let mut told_to_end = false;
    let mut last_tick = Instant::now();
    loop {
        let mut count = session.pump();
        if session.heal() {
            count += session.pump();
        }
        if count == 0 {
            session.tracer.doze()?;
            count = session.pump();
        }
        session.flush()?;
        look(session, follow, &reader);
        let status = command.as_mut().and_then(|command| command.ended());
        if status.is_some() {
            session.living.remove(&command.as_ref().map_or(0, |c| c.pid()));
        }
        if (session.living.is_empty() || told_to_end) && (command.is_none() || status.is_some()) {
            return Ok(status);
        }
        if last_tick.elapsed() >= TICK {
            last_tick = Instant::now();
            session.bury();
            session.make_up_for_missed();
        }
        let pause = match count {
            0 if session.is_in_doubt() => HEALING,
            0 => TICK,
            _ => BREATH,
        };
        let stop = tokio::select! {
            guard = ready.readable(), if count == 0 => {
                if let Ok(mut guard) = guard {
                    guard.clear_ready();
                }
                false
            }
            Some(report) = reader.reports.recv() => {
                session.pump();
                if let Some(schedule) = session.schedules.get_mut(&report.job.space) {
                    schedule.take(report, &mut session.engine);
                }
                false
            }
            Some(()) = signals.list.recv() => {
                session.catch_up();
                session.list();
                false
            }
            Some(()) = child.recv() => false,
            Some(()) = signals.interrupt.recv() => true,
            Some(()) = signals.terminate.recv() => true,
            () = sleep(pause) => false,
        };
        if stop {
            match &mut command {
                // The command decides how it ends; asked twice, we go without it.
                Some(command) if status.is_none() && !told_to_end => {
                    command.terminate();
                    told_to_end = true;
                }
                _ => return Ok(status),
            }
        }
    }
}

/// Asks for the smaps of every address space whose time it is.
fn look(session: &mut Session<'_>, follow: &Follow, reader: &Reader) {
    let now = Instant::now();
    let jobs: Vec<Job> = session
        .engine
        .spaces()
        .map(|space| Job { space: space.id, key: space.key, pid: space.owner })
        .collect();
    for job in jobs {
        let schedule = session
            .schedules
            .entry(job.space)
            .or_insert_with(|| Schedule::new(follow.smaps_interval, follow.smaps_budget));
        if schedule.is_due(now) {
            reader.ask(job);
        }
    }
}

/// An error of the system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A ring's size: a power of two of whole pages, from one page to 1 GiB.
fn ring_bytes(kib: u32) -> u32 {
    kib.clamp(4, 1 << 20).next_power_of_two() << 10
}

fn colour(when: Color) -> bool {
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
    }
}

/// Before 6.6 `/proc/PID/maps` called more regions `[heap]` (see `live::Space`).
fn is_loose_heap() -> bool {
    crate::proc::kernel_release().is_some_and(|release| release < (6, 6))
}
