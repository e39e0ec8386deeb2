//! Starts what is tortured, lets it run, stops it, compares, and tells.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::judge::Judge;
use super::random::Random;
use super::{Options, oracle};

/// One number of threads is tried for so long.
const ROUND: Duration = Duration::from_secs(8);

/// `cargo xtask torture`, built with the tracer.
pub(super) fn run(options: &Options) -> Result<()> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = options.seed.unwrap_or(time.as_nanos() as u64 & 0xffff_ffff);
    let mut random = Random::new(seed);
    let mut judge = Judge::new()?;
    let begin = Instant::now();
    let end = begin + Duration::from_secs(options.seconds);
    println!("seed {seed}");
    let mut steps = 0;
    if options.command.is_empty() {
        for round in 0.. {
            let now = Instant::now();
            if now >= end || !judge.figures.divergences.is_empty() {
                break;
            }
            let threads = options.threads.unwrap_or(1 << (round % 4));
            let until = end.min(now + ROUND);
            let workers = (0..options.processes)
                .map(|number| Worker::start(random.next(), threads, number))
                .collect::<Result<Vec<_>>>()?;
            for worker in &workers {
                judge.follow(worker.child.id())?;
            }
            let mut workers = workers;
            for worker in &mut workers {
                worker.begin()?;
            }
            watch(&mut judge, &mut random, until, &mut |_| {
                workers.iter_mut().all(|worker| matches!(worker.child.try_wait(), Ok(None)))
            });
            for worker in &mut workers {
                steps += worker.end(until)?;
            }
            judge.pump();
        }
    } else {
        let mut child = held(&options.command)?;
        judge.follow_from_exec(child.id())?;
        release(&child);
        watch(&mut judge, &mut random, end, &mut |_| matches!(child.try_wait(), Ok(None)));
        let _ = child.kill();
        let _ = child.wait();
        judge.pump();
    }
    report(&judge, seed, steps, begin.elapsed(), options)
}

fn report(judge: &Judge, seed: u64, steps: u64, took: Duration, options: &Options) -> Result<()> {
    let figures = &judge.figures;
    let totals = judge.totals();
    println!(
        "{:.1} s, {steps} operations, {} write sections; {} versions compared while running or \
         stopped ({} torn, {} in doubt), {} stopped processes; lost {}, read again {:?}, the slowest \
         in {:?} with {} mappings; {} divergences",
        took.as_secs_f64(),
        totals.versions,
        figures.versions,
        figures.torn,
        figures.in_doubt,
        figures.quiet,
        totals.lost,
        totals.rereads,
        figures.slowest.0,
        figures.slowest.2,
        figures.divergences.len(),
    );
    if figures.divergences.is_empty() {
        return Ok(());
    }
    for divergence in figures.divergences.iter().take(5) {
        println!("{divergence}\n");
    }
    let threads = options.threads.map(|n| format!(" --threads {n}")).unwrap_or_default();
    bail!(
        "the table is not the kernel's; again with --seed {seed}{threads} --processes {}",
        options.processes
    );
}

/// Samples while it runs and compares while it stands still, until the end.
fn watch(
    judge: &mut Judge,
    random: &mut Random,
    until: Instant,
    goes_on: &mut dyn FnMut(&Judge) -> bool,
) {
    while Instant::now() < until && goes_on(judge) && judge.figures.divergences.is_empty() {
        let pause = Instant::now() + Duration::from_micros(10_000 + random.below(60_000));
        while Instant::now() < pause {
            judge.pump();
            let spaces = judge.spaces();
            if !spaces.is_empty() {
                judge.sample(spaces[random.below(spaces.len() as u64) as usize]);
            }
            // A reader that never lets go of the lock would leave nothing to look at.
            sleep(Duration::from_micros(300));
        }
        stop_and_compare(judge);
    }
}

/// Stops every process, compares, and lets them go on.
fn stop_and_compare(judge: &mut Judge) {
    let mut stopped: Vec<u32> = Vec::new();
    let mut quiet = true;
    loop {
        judge.pump();
        let new: Vec<u32> =
            judge.spaces().iter().map(|s| s.2).filter(|pid| !stopped.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            signal(pid, libc::SIGSTOP);
            quiet &= stands_still(pid);
            stopped.push(pid);
        }
    }
    // A process that waits for its child's exec cannot be stopped.
    if quiet {
        for space in judge.spaces() {
            judge.compare_stopped(space);
        }
    }
    for pid in stopped {
        signal(pid, libc::SIGCONT);
    }
}

fn stands_still(pid: u32) -> bool {
    let deadline = Instant::now() + Duration::from_secs(1);
    while Instant::now() < deadline {
        if oracle::states(pid).iter().all(|(_, state)| matches!(state, 'T' | 't' | 'Z' | 'X')) {
            return true;
        }
        sleep(Duration::from_micros(200));
    }
    false
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: the call takes numbers only; a process that is gone is none to stop.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

/// A tortured process.
struct Worker {
    child: Child,
    counter: PathBuf,
}

impl Worker {
    fn start(seed: u64, threads: u32, number: u32) -> Result<Self> {
        let name = format!("torture-{}-{number}", std::process::id());
        let counter = std::env::temp_dir().join(name);
        File::create(&counter)
            .and_then(|file| file.set_len(4096))
            .with_context(|| format!("cannot make {}", counter.display()))?;
        let mut command = Command::new("/proc/self/exe");
        command.args(["torture-worker", "--seed", &seed.to_string()]);
        command.args(["--threads", &threads.to_string(), "--counter"]).arg(&counter);
        let child = command.stdin(Stdio::piped()).spawn().context("cannot start a worker")?;
        let worker = Self { child, counter };
        worker.wait_until_ready();
        Ok(worker)
    }

    /// It has its counter mapped, and waits for a word.
    fn wait_until_ready(&self) {
        let maps = format!("/proc/{}/maps", self.child.id());
        let name = self.counter.display().to_string();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline
            && !fs::read_to_string(&maps).is_ok_and(|maps| maps.contains(&name))
        {
            sleep(Duration::from_millis(2));
        }
    }

    fn begin(&mut self) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("it has an input")?;
        stdin.write_all(b"!").context("the worker does not listen")
    }

    /// Ends it, and returns how many steps it took.
    fn end(&mut self, until: Instant) -> Result<u64> {
        let early = self.child.try_wait().context("it is our child")?;
        let _ = self.child.kill();
        let _ = self.child.wait();
        let steps = count(&self.counter).context("cannot read what a worker counted")?;
        let _ = fs::remove_file(&self.counter);
        if let Some(status) = early
            && Instant::now() < until
        {
            println!("a worker ended early: {status}");
        }
        Ok(steps)
    }
}

fn count(path: &Path) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    File::open(path)?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Starts a command that stands still before its exec.
fn held(words: &[String]) -> Result<Child> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).args(words).process_group(0);
    let child = shell.spawn().context("cannot start a shell")?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if oracle::states(child.id()).iter().all(|(_, state)| *state == 'T') {
            return Ok(child);
        }
        sleep(Duration::from_millis(1));
    }
    bail!("the command's shell does not stop");
}

fn release(child: &Child) {
    signal(child.id(), libc::SIGCONT);
}
