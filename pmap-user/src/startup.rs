//! What the standard library hides before `main`: it opens `/dev/null` where standard output was closed,
//! and ignores `SIGPIPE`. A drop-in has to know how it was started.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);
static SIGPIPE_DEADLY: AtomicBool = AtomicBool::new(false);

/// Whether standard output was closed when the program started.
pub(crate) fn stdout_was_closed() -> bool {
    STDOUT_CLOSED.load(Relaxed)
}

/// Ends the way a program does that writes to a pipe nobody reads: by the signal, unless whoever started
/// us had it ignored. Returns in that case.
pub(crate) fn die_of_broken_pipe() {
    if SIGPIPE_DEADLY.load(Relaxed) {
        // SAFETY: both calls take plain numbers; the default action of the signal ends the process.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::raise(libc::SIGPIPE);
        }
    }
}

/// Looks at the state of the process before the standard library changes it.
extern "C" fn look() {
    // SAFETY: F_GETFD only asks; a null pointer for the new action makes sigaction only ask, and the old
    // one is plain data for which all zeros is a value.
    unsafe {
        STDOUT_CLOSED.store(libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) < 0, Relaxed);
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut action);
        SIGPIPE_DEADLY.store(action.sa_sigaction == libc::SIG_DFL, Relaxed);
    }
}

// SAFETY: the C library calls what is in this section, before `main`, as a function of this type or with
// arguments that it may ignore; `look` needs nothing that `main` would set up.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
