//! One listing: ours, procps's, and a bare read of the file that it is made from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use super::measure::{self, Worker};
use super::peers;
use super::table::{Table, ratio};
use crate::cargo;

const MAX_MAP_COUNT: &str = "/proc/sys/vm/max_map_count";
/// The modes, and the file that each is made from.
const MODES: [(&str, &str); 5] =
    [("default", "maps"), ("-d", "maps"), ("-x", "smaps"), ("-X", "smaps"), ("-XX", "smaps")];

/// Which processes, and how often.
#[derive(Args)]
pub(crate) struct Options {
    /// Numbers of mappings to measure with.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 60_000, 1_000_000])]
    mappings: Vec<u32>,
    /// GiB of resident memory in one more process; 0 leaves it out.
    #[arg(long, default_value_t = 8)]
    resident_gib: u32,
    /// Runs of each command; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: u32,
}

/// `cargo xtask bench snapshot`.
pub(super) fn run(options: &Options) -> Result<()> {
    let ours = cargo::release_pmap()?;
    let procps = peers::procps_pmap();
    if procps.is_none() {
        println!("procps's pmap is not installed: apt-get install procps");
    }
    println!("CPU seconds of the whole process, median of {}\n", options.runs);
    let limit = MapLimit::at_least(options.mappings.iter().copied().max().unwrap_or(0))?;
    let mut table =
        Table::new(&["process", "mode", "pmap", "procps", "read", "/ procps", "/ read"]);
    for &mappings in &options.mappings {
        let worker = Worker::start(&["hold", "--mappings", &mappings.to_string()])?;
        let name = format!("{mappings} mappings");
        measure_modes(&name, worker.pid(), &ours, procps, options.runs, &mut table)?;
    }
    if options.resident_gib > 0 {
        let worker = Worker::start(&["hold", "--resident-gib", &options.resident_gib.to_string()])?;
        let name = format!("{} GiB resident", options.resident_gib);
        measure_modes(&name, worker.pid(), &ours, procps, options.runs, &mut table)?;
    }
    drop(limit);
    table.print();
    Ok(())
}

fn measure_modes(
    name: &str,
    pid: u32,
    ours: &Path,
    procps: Option<&Path>,
    runs: u32,
    table: &mut Table,
) -> Result<()> {
    for (mode, file) in MODES {
        let listing = |program: &Path| {
            let mut command = Command::new(program);
            command.args((mode != "default").then_some(mode)).arg(pid.to_string());
            command
        };
        let (mut own, mut other, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            own.push(seconds(&mut listing(ours))?);
            if let Some(procps) = procps {
                other.push(seconds(&mut listing(procps))?);
            }
            bare.push(seconds(&mut measure::itself(&["read", &format!("/proc/{pid}/{file}")])?)?);
        }
        let [own, other, bare] = [own, other, bare].map(|figures| measure::median(&figures));
        let shown = |figure: Option<f64>| {
            figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.4}"))
        };
        table.line(vec![
            name.to_owned(),
            mode.to_owned(),
            shown(own),
            shown(other),
            shown(bare),
            ratio(own, other),
            ratio(own, bare),
        ]);
    }
    Ok(())
}

fn seconds(command: &mut Command) -> Result<f64> {
    Ok(measure::cpu_time(command)?.as_secs_f64())
}

/// The kernel's limit of mappings, raised while this lives.
struct MapLimit {
    before: Option<String>,
    file: PathBuf,
}

impl MapLimit {
    fn at_least(mappings: u32) -> Result<Self> {
        let file = PathBuf::from(MAX_MAP_COUNT);
        let before = fs::read_to_string(&file).context("cannot read vm.max_map_count")?;
        // The program, its libraries and its stacks have mappings too.
        let wanted = mappings.saturating_add(1_000);
        if before.trim().parse().is_ok_and(|limit: u32| limit >= wanted) {
            return Ok(Self { before: None, file });
        }
        fs::write(&file, wanted.to_string()).with_context(|| {
            format!(
                "cannot raise vm.max_map_count to {wanted}: run as root, or with fewer --mappings"
            )
        })?;
        Ok(Self { before: Some(before), file })
    }
}

impl Drop for MapLimit {
    fn drop(&mut self) {
        if let Some(before) = &self.before
            && let Err(error) = fs::write(&self.file, before)
        {
            eprintln!("vm.max_map_count could not be set back to {}: {error}", before.trim());
        }
    }
}
