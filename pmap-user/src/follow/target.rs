//! Whom to follow: processes that are there, or a command that is started for it.

use std::{
    ffi::{CString, OsString},
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    process::ExitCode,
};

/// A command that waits for its start.
#[derive(Debug)]
pub(super) struct Command {
    pid: libc::pid_t,
    /// Written to, the command starts; closed, it ends.
    go: File,
    /// Gives the error of the exec, or its end when it succeeded.
    failure: File,
    /// Its wait status: the kernel tells it once.
    status: Option<i32>,
}

/// Both ends of a pipe, closed by an exec.
fn pipe() -> io::Result<(File, File)> {
    let mut fds = [0; 2];
    // SAFETY: the kernel fills in two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: descriptors that were just made for us.
    let [read, write] = fds.map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
    Ok((read, write))
}

impl Command {
    /// Makes a process that will run the command once it is told to.
    pub(super) fn prepare(words: &[OsString]) -> io::Result<Self> {
        let words: Vec<CString> = words
            .iter()
            .map(|word| CString::new(word.as_bytes()))
            .collect::<Result<_, _>>()
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut pointers: Vec<*const libc::c_char> = words.iter().map(|w| w.as_ptr()).collect();
        let first = *pointers.first().ok_or(io::ErrorKind::InvalidInput)?;
        pointers.push(std::ptr::null());
        let (wait, go) = pipe()?;
        let (failure, mut fail) = pipe()?;
        // SAFETY: nothing else runs in this process yet that could hold a lock; the child makes
        // system calls and no allocation.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        if pid == 0 {
            drop(go);
            let mut byte = [0];
            if matches!((&wait).read(&mut byte), Ok(1)) {
                // SAFETY: a vector of C strings that ends with a null pointer; signals that the
                // standard library ignores are the command's to choose.
                unsafe {
                    libc::signal(libc::SIGPIPE, libc::SIG_DFL);
                    libc::execvp(first, pointers.as_ptr());
                }
                let errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
                let _ = fail.write_all(&errno.to_ne_bytes());
            }
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(127) };
        }
        Ok(Self { pid, go, failure, status: None })
    }

    /// Its PID.
    pub(super) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Lets it run. Returns once the exec succeeded.
    pub(super) fn start(&mut self) -> io::Result<()> {
        self.go.write_all(b"!")?;
        let mut errno = [0; 4];
        match self.failure.read_exact(&mut errno) {
            Ok(()) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
            Err(_) => Ok(()),
        }
    }

    /// Its wait status, once it ended.
    pub(super) fn ended(&mut self) -> Option<i32> {
        if self.status.is_none() {
            let mut status = 0;
            // SAFETY: our own child; the kernel fills in the status.
            let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
            self.status = (pid == self.pid).then_some(status);
        }
        self.status
    }

    /// Asks it to end, where it has not yet.
    pub(super) fn terminate(&mut self) {
        if self.ended().is_none() {
            // SAFETY: a number; our own child, which nobody else waits for.
            unsafe { libc::kill(self.pid, libc::SIGTERM) };
        }
    }
}

/// The exit status of a shell for a wait status.
pub(super) fn exit_code(status: i32) -> ExitCode {
    let code = if libc::WIFSIGNALED(status) {
        128 + libc::WTERMSIG(status)
    } else {
        libc::WEXITSTATUS(status)
    };
    ExitCode::from((code & 255) as u8)
}
