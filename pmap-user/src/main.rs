//! The `pmap` command.

mod startup;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use pmap_user::cli::{self, Action, Context};
use pmap_user::rc::{self, CreateError};
use pmap_user::text::Charset;
use pmap_user::view::Output;
use pmap_user::{follow, snapshot};

fn main() -> ExitCode {
    let argv: Vec<OsString> = env::args_os().collect();
    let request = cli::interpret(&argv, &context());
    for message in &request.messages {
        complain(message);
    }
    let program = request.program.as_str();
    match request.action {
        Action::Help => print(program, |out| push(out, &cli::help(program))),
        Action::Version => print(program, |out| push(out, &cli::version())),
        Action::Usage => usage(program),
        Action::Fail => ExitCode::FAILURE,
        Action::CreateRc { path, default } => create_rc(program, &path, default),
        Action::Snapshot(order) => print(program, |out| {
            snapshot::run(&order, out, |text| complain(format!("{program}: {text}").as_bytes()))
        }),
        Action::Follow(order) => {
            log_to_stderr();
            follow::run(&order)
        }
        Action::Check => follow::check(),
    }
}

/// `PMAP_LOG=debug` tells on standard error what goes on inside: for a bug report.
fn log_to_stderr() {
    let level = env::var("PMAP_LOG").ok().and_then(|level| level.parse().ok());
    if let Some(level) = level {
        let level: tracing::Level = level;
        tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).init();
    }
}

/// What the command line's meaning depends on.
fn context() -> Context {
    Context {
        options_first: env::var_os("POSIXLY_CORRECT").is_some(),
        home: env::var_os("HOME"),
        charset: Charset::from_env(),
        read_file: |path| match fs::read(path) {
            // C opens a folder like a file, and finds nothing in it.
            Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(Vec::new()),
            result => result,
        },
    }
}

/// A line on standard error. Where even that cannot be written there is nobody to tell.
fn complain(line: &[u8]) {
    let _ = io::stderr().write_all(&[line, b"\n"].concat());
}

/// The usage on standard error.
fn usage(program: &str) -> ExitCode {
    let _ = io::stderr().write_all(cli::procps_usage(program).as_bytes());
    ExitCode::FAILURE
}

/// Appends a text that always succeeds.
fn push(out: &mut Output<Stdout>, text: &str) -> u8 {
    out.row().extend_from_slice(text.as_bytes());
    0
}

/// Writes the template of an rc file.
fn create_rc(program: &str, path: &Path, default: bool) -> ExitCode {
    let name = if default { format!("~/.{program}rc") } else { "the rc file".into() };
    let say = |text: String| complain(format!("{program}: {text}").as_bytes());
    match rc::create(path) {
        Ok(()) => {
            let name = if default { &name } else { "rc" };
            say(format!("{name} file successfully created, feel free to edit the content"));
            return ExitCode::SUCCESS;
        }
        Err(CreateError::Exists) => {
            say("the file already exists - delete or rename it first".into());
        }
        Err(CreateError::Io(_)) => {}
    }
    say(format!("couldn't create {name}"));
    ExitCode::FAILURE
}

/// Runs something that prints, and ends as procps does where standard output fails.
fn print(program: &str, work: impl FnOnce(&mut Output<Stdout>) -> u8) -> ExitCode {
    let mut out = Output::new(Stdout::open());
    let status = work(&mut out);
    match out.flush() {
        Ok(()) => ExitCode::from(status),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            startup::die_of_broken_pipe();
            ExitCode::from(status)
        }
        Err(error) => {
            let error = error.to_string();
            let text = error.split(" (os error").next().unwrap_or_default();
            complain(format!("{program}: write error: {text}").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Standard output without a buffer of its own.
struct Stdout(io::Result<File>);

impl Stdout {
    fn open() -> Self {
        if startup::stdout_was_closed() {
            return Self(Err(io::Error::from_raw_os_error(libc::EBADF)));
        }
        Self(io::stdout().as_fd().try_clone_to_owned().map(File::from))
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Ok(file) => file.write(bytes),
            Err(error) => Err(error
                .raw_os_error()
                .map_or(ErrorKind::Other.into(), io::Error::from_raw_os_error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
