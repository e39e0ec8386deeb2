//! Takes the steps of a plan.

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result};

use super::plan::{ARENA, Fd, Keep, Length, Plan, SLOTS, Step, Value};

const PAGE: u64 = 4096;
/// Behind everything that begins in the arena.
const ARENA_END: u64 = ARENA + (1 << 42);
/// Steps of a child.
const CHILD_STEPS: usize = 40;

/// What the threads of a process share.
pub(super) struct Process {
    file: i32,
    memory: i32,
    zero: i32,
    process: i32,
    faults: i32,
    segment: i32,
    start_break: u64,
}

impl Process {
    /// Opens what the steps need.
    pub(super) fn new() -> Result<Self> {
        let check = |result: i64, what: &str| -> Result<i32> {
            let result = if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
            Ok(result.with_context(|| format!("cannot make {what}"))? as i32)
        };
        let name = CString::new("torture")?;
        // SAFETY: paths and names are C strings, the rest are numbers.
        unsafe {
            let memory = check(libc::memfd_create(name.as_ptr(), 0).into(), "a memfd")?;
            let path = CString::new(std::env::temp_dir().as_os_str().as_encoded_bytes())?;
            let file = libc::open(path.as_ptr(), libc::O_TMPFILE | libc::O_RDWR, 0o600);
            let file = check(file.into(), "a file")?;
            for fd in [memory, file] {
                check(libc::ftruncate(fd, 64 * 4096).into(), "64 pages")?;
            }
            let zero = check(libc::open(c"/dev/zero".as_ptr(), libc::O_RDONLY).into(), "zeros")?;
            let segment = libc::shmget(libc::IPC_PRIVATE, 8 * 4096, 0o600);
            let segment = check(segment.into(), "a segment")?;
            // It goes away with its last mapping, and stays as long as this one is there.
            let held = libc::shmat(segment, std::ptr::null(), 0);
            check(held as i64, "a mapping of the segment")?;
            libc::shmctl(segment, libc::IPC_RMID, std::ptr::null_mut());
            let process = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as i32;
            // Of user mode only (1): nobody answers, and the kernel's own faults must not wait.
            let faults = libc::syscall(libc::SYS_userfaultfd, libc::O_NONBLOCK | 1) as i32;
            let mut api = [0xaa_u64, 0, 0];
            libc::ioctl(faults, 0xc018_aa3f, api.as_mut_ptr());
            // The allocator has what it may yet ask for, and never gives back.
            libc::mallopt(libc::M_TOP_PAD, 16 << 20);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
            drop(std::hint::black_box([vec![0u8; 100 << 10], vec![0u8; 100 << 10]]));
            let start_break = libc::sbrk(0) as u64;
            Ok(Self { file, memory, zero, process, faults, segment, start_break })
        }
    }
}

/// One thread at work.
pub(super) struct Actor<'a> {
    process: &'a Process,
    /// Mappings at places of the kernel's choice: first address and length.
    slots: [Cell<(u64, u64)>; SLOTS as usize],
    context: Cell<u64>,
}

impl<'a> Actor<'a> {
    pub(super) fn new(process: &'a Process) -> Self {
        Self {
            process,
            slots: [const { Cell::new((0, 0)) }; SLOTS as usize],
            context: Cell::new(0),
        }
    }

    /// Takes a step.
    pub(super) fn take(&self, step: Step) {
        match step {
            Step::Call(nr, values, keep) => self.call(nr, &values, keep),
            Step::Thread => {
                // Where no thread can be had there is none.
                let thread = thread::Builder::new().stack_size(256 << 10).spawn(|| ());
                thread.map(|thread| thread.join()).ok();
            }
            Step::Fork(seed) => self.fork(seed),
            Step::Spawn(seed) => {
                let mut command = Command::new("/proc/self/exe");
                command.args(["torture-worker", "--steps", "40", "--seed", &seed.to_string()]);
                let _ = command.stdin(Stdio::null()).stderr(Stdio::null()).status();
            }
        }
    }

    fn fork(&self, seed: u64) {
        // SAFETY: the child takes steps, which are system calls, and ends.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                let calls = Plan::new(seed, false).filter(|step| matches!(step, Step::Call(..)));
                calls.take(CHILD_STEPS).for_each(|step| self.take(step));
                libc::_exit(0);
            }
            if child > 0 {
                libc::waitpid(child, std::ptr::null_mut(), 0);
            }
        }
    }

    fn call(&self, nr: libc::c_long, values: &[Value; 6], keep: Keep) {
        let mut ranges = [0u64; 4];
        let nodes = 1u64;
        let mut faults = [0u64; 4];
        let Process { file, memory, zero, process, faults: fault_fd, segment, start_break } =
            *self.process;
        let arguments = values.map(|value| match value {
            Value::Number(number) => number,
            Value::Slot(slot) => self.slots[slot as usize].get().0,
            Value::SlotLength(slot) => self.slots[slot as usize].get().1,
            Value::Break(more) => start_break + more,
            Value::Fd(Fd::File) => file as u64,
            Value::Fd(Fd::Memory) => memory as u64,
            Value::Fd(Fd::Zero) => zero as u64,
            Value::Fd(Fd::Process) => process as u64,
            Value::Fd(Fd::Faults) => fault_fd as u64,
            Value::Segment => segment as u64,
            Value::Ranges([one, two]) => {
                ranges = [ARENA + one * PAGE, 4 * PAGE, ARENA + two * PAGE, 2 * PAGE];
                ranges.as_ptr() as u64
            }
            Value::Nodes => &raw const nodes as u64,
            Value::Context if nr == libc::SYS_io_setup => self.context.as_ptr() as u64,
            Value::Context => self.context.replace(0),
            Value::Faults(at, pages) => {
                faults = [ARENA + at * PAGE, pages * PAGE, 1, 0];
                faults.as_mut_ptr() as u64
            }
        });
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: the addresses are in the arena, in slots, or of this function's own variables:
        // whatever the kernel does there, nothing of the program's is touched.
        let result = unsafe { libc::syscall(nr, a, b, c, d, e, f) };
        match keep {
            Keep::Gone(slot) if result == 0 => self.slots[slot as usize].set((0, 0)),
            Keep::Into(slot, length)
                if result > 0 && !(ARENA..ARENA_END).contains(&(result as u64)) =>
            {
                let length = match length {
                    Length::Bytes(bytes) => bytes,
                    Length::Argument(index) => arguments[index].next_multiple_of(PAGE),
                };
                let (before, extent) = self.slots[slot as usize].replace((result as u64, length));
                if before != 0 && before != a {
                    // SAFETY: a whole mapping that an earlier step made.
                    unsafe { libc::munmap(before as *mut libc::c_void, extent as usize) };
                }
            }
            _ => {}
        }
    }
}
