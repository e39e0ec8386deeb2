//! What the kernel shows of a process's mappings, and how it differs from a table.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::sync::LazyLock;

use pmap_user::live::{Files, Space};
use pmap_user::table::Entry;

/// The page that old programs call the kernel through.
const GATE: &str = "[vsyscall]";

/// A mapping in the words of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    start: u64,
    end: u64,
    perms: String,
    offset: u64,
    device: String,
    inode: u64,
    name: String,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        Some(Self {
            start: hex(start)?,
            end: hex(end)?,
            perms: words.next()?.into(),
            offset: hex(words.next()?)?,
            device: words.next()?.into(),
            inode: words.next()?.parse().ok()?,
            name: words.next().unwrap_or_default().trim_start().into(),
        })
    }

    fn of_table(entry: &Entry, space: &Space, files: &Files) -> Self {
        let mapping = space.mapping(entry, files);
        let device = mapping.device;
        Self {
            start: mapping.start,
            end: mapping.end,
            perms: String::from_utf8_lossy(&mapping.perms.kernel()).into(),
            offset: mapping.offset,
            device: format!("{:02x}:{:02x}", device.major, device.minor),
            inode: mapping.inode,
            name: String::from_utf8_lossy(mapping.name).into(),
        }
    }

    /// Whether a row of the table says what the kernel says. What nobody looked up has no name, or
    /// the last component of one.
    fn is(&self, kernel: &Self) -> bool {
        let last = |name: &str| {
            let name = name.strip_suffix(" (deleted)").unwrap_or(name);
            name.rsplit('/').next().unwrap_or_default().to_owned()
        };
        let named = self.name == kernel.name
            || self.name.starts_with("/?/") && last(&self.name) == last(&kernel.name)
            || self.name.is_empty() && (self.is_file() || kernel.name.starts_with("[v"));
        named && Self { name: kernel.name.clone(), ..self.clone() } == *kernel
    }

    /// Whether it has a file: the first System V segment is one whose inode is 0.
    fn is_file(&self) -> bool {
        self.device != "00:00"
    }
}

/// The mappings of a process under the lock, part by part: smaps takes it where maps does not
/// (Linux 6.17, `lock_vma_range` of `fs/proc/task_mmu.c`).
pub(super) fn read(pid: u32, tid: u32) -> Option<Vec<Row>> {
    let file = File::open(format!("/proc/{pid}/task/{tid}/smaps")).ok()?;
    let mut file = BufReader::with_capacity(64 << 10, file);
    let (mut rows, mut line) = (Vec::new(), Vec::new());
    let mut gate = false;
    while file.read_until(b'\n', &mut line).ok()? > 0 {
        // Its other lines begin with a capital letter.
        if !line[0].is_ascii_uppercase()
            && let Some(row) = Row::parse(String::from_utf8_lossy(&line).trim_end_matches('\n'))
        {
            // In no table: the last line, where the kernel has it.
            if row.name == GATE { gate = true } else { rows.push(row) }
        }
        line.clear();
    }
    // Of a process that ends meanwhile the rest is left out, without a word.
    static HAS_GATE: LazyLock<bool> = LazyLock::new(|| {
        fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains(GATE))
    });
    (gate || !*HAS_GATE).then_some(rows)
}

/// Lines for each difference; none where there is none.
pub(super) fn differences(kernel: &[Row], space: &Space, files: &Files) -> Vec<String> {
    let ours: Vec<Row> =
        space.table.iter().map(|entry| Row::of_table(&entry, space, files)).collect();
    if ours.len() == kernel.len() && ours.iter().zip(kernel).all(|(ours, row)| ours.is(row)) {
        return Vec::new();
    }
    let missing = kernel.iter().filter(|row| !ours.iter().any(|ours| ours.is(row)));
    let surplus = ours.iter().filter(|ours| !kernel.iter().any(|row| ours.is(row)));
    missing
        .map(|row| format!("only the kernel has {row:x?}"))
        .chain(surplus.map(|row| format!("only the table has {row:x?}")))
        .collect()
}

/// A thread of a process that has not ended.
pub(super) fn living_thread(pid: u32) -> Option<u32> {
    states(pid).into_iter().find(|(_, state)| !matches!(state, 'Z' | 'X')).map(|(tid, _)| tid)
}

/// The threads of a process, and what each does.
pub(super) fn states(pid: u32) -> Vec<(u32, char)> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let tid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((tid, stat.rsplit_once(") ")?.1.chars().next()?))
        })
        .collect()
}
