//! Where we differ from procps 4.0.2 on purpose: a test a line of the table in `docs/procps.md`.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use common::{Line, OURS, Running, assert_same, compile, copy, scratch};
use pmap_user::proc::{Rows, smaps};
use pmap_user::view::{Columns, Format, Options, Output, Renderer};

fn hostile(name: &str, parts: &[&str]) -> Running {
    let folder = scratch(name);
    let program = copy(&compile("hostile", &["-static"]), &folder);
    let parts: Vec<_> = parts.iter().map(OsStr::new).collect();
    Running::fixture(&program, &folder, &parts)
}

fn ours(options: &str, pid: u32) -> String {
    Line::with_pid(options, pid).run(OURS).text()
}

/// The figures of a line, without its name.
fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace().filter_map(|word| word.trim_end_matches('K').parse().ok()).collect()
}

#[test]
fn a_path_beyond_a_kilobyte_is_one_mapping() {
    let process = hostile("long", &["long"]);
    let maps = fs::read_to_string(format!("/proc/{}/maps", process.pid)).expect("it is readable");
    let path = maps.lines().find_map(|line| {
        line.find("/").filter(|_| line.ends_with("-long-path")).map(|at| &line[at..])
    });
    let path = path.expect("the long path is there");
    assert!(path.len() > 3000);
    for (format, above) in [("", 1), ("-d", 2), ("-x", 2), ("-X", 2), ("-XX", 2)] {
        let text = ours(&format!("{format} PID"), process.pid);
        let rows = text.lines().skip(above).take(maps.lines().count());
        for (row, line) in rows.zip(maps.lines()) {
            let start = line.split('-').next().expect("an address");
            assert!(
                row.trim_start_matches([' ', '0']).starts_with(start.trim_start_matches('0')),
                "{format} {row}"
            );
        }
        assert!(text.lines().any(|line| line.ends_with(" the-end-of-a-long-path")), "{format}");
        let text = ours(&format!("{format} -p PID"), process.pid);
        assert!(text.lines().any(|line| line.ends_with(&format!(" {path}"))), "{format} -p");
    }
}

#[test]
fn a_process_whose_main_thread_has_ended_shows_its_mappings() {
    let process = hostile("leader", &["plain", "leader-exits"]);
    let lines = fs::read_dir(format!("/proc/{}/task", process.pid))
        .expect("it has threads")
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("maps")).ok())
        .map(|maps| maps.lines().count())
        .max();
    let lines = lines.expect("a thread lives");
    assert!(lines > 10);
    assert_eq!(ours("-q PID", process.pid).lines().count(), 1 + lines);
    for format in ["-xq", "-dq", "-Xq"] {
        assert_eq!(
            ours(&format!("{format} PID"), process.pid).lines().count(),
            1 + lines,
            "{format}"
        );
    }
}

#[test]
fn rows_and_totals_of_a_changing_process_agree() {
    let mut storm = Command::new("stress-ng");
    storm.args(["--mmapaddr", "1", "--timeout", "60"]).process_group_of_its_own();
    let storm = Group(storm.spawn().expect("stress-ng is installed"));
    for _ in 0..30 {
        let worker = storm.worker();
        let text = ours("-X PID", worker);
        let rows: Vec<_> =
            text.lines().skip(2).take_while(|line| !line.trim_start().starts_with('=')).collect();
        let Some(totals) = text.lines().nth(2 + rows.len() + 1) else { continue };
        let size: u64 = rows
            .iter()
            .map(|row| {
                row.split_whitespace().nth(5).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
            })
            .sum();
        assert_eq!(Some(&size), numbers(totals).first(), "{text}");
    }
}

#[test]
fn long_formats_start_anew_with_each_process() {
    let process = hostile("anew", &["plain"]);
    let once = ours("-X PID", process.pid);
    assert_eq!(ours("-X PID PID", process.pid), once.repeat(2));
    let kernel_thread = ours("-X 2", 0);
    assert_eq!(kernel_thread.lines().count(), 1);
    assert_eq!(ours("-X PID 2", process.pid), format!("{once}{kernel_thread}"));
}

#[test]
fn totals_of_a_range_count_the_range_alone() {
    let process = hostile("range", &["plain"]);
    let text = ours("-x -A 7f0000000000, PID", process.pid);
    let rows: Vec<_> = text
        .lines()
        .skip(2)
        .take_while(|line| !line.starts_with("---"))
        .map(numbers_after_address)
        .collect();
    let total = numbers(text.lines().last().expect("a footer"));
    assert!(!rows.is_empty());
    for column in 0..3 {
        assert_eq!(total[column], rows.iter().map(|row| row[column]).sum::<u64>(), "{text}");
    }
    let all = ours("-x PID", process.pid);
    assert!(
        numbers(all.lines().last().expect("a footer"))[1] > total[1],
        "something lies below the range"
    );
}

fn numbers_after_address(line: &str) -> Vec<u64> {
    numbers(&line[16..])
}

#[test]
fn no_shared_memory_segment_is_made() {
    let folder = scratch("strace");
    let log = folder.join("log");
    let status = Command::new("strace")
        .args(["-f", "-e", "trace=shmget,shmat,shmctl", "-o"])
        .arg(&log)
        .args([OURS, "-q", &std::process::id().to_string()])
        .output()
        .expect("strace is installed")
        .status;
    assert!(status.success());
    let log = fs::read_to_string(&log).expect("strace wrote it");
    assert!(!log.contains("shm"), "{log}");
}

#[test]
fn names_keep_their_characters_and_lose_their_control_bytes() {
    let process = hostile("odd", &["odd"]);
    let utf8 = OsStr::new("C.UTF-8");
    for format in ["", "-x", "-d", "-X", "-XX", "-p", "-Xp"] {
        let line = Line::with_pid(&format!("{format} PID"), process.pid).env("LC_ALL", Some(utf8));
        let printed = line.run(OURS);
        assert!(
            !printed.stdout.iter().any(|&byte| byte != b'\n' && (byte < b' ' || byte == 0x7f)),
            "{format}"
        );
        let text = String::from_utf8(printed.stdout).expect("only whole characters");
        for name in [
            "café € 😀",
            "bad ?? ?",
            "escape ?[31m?? tab?",
            "c1 ??31m",
            "new\\012line",
            "?[0m (deleted)",
        ] {
            assert!(text.lines().any(|line| line.ends_with(name)), "{format}: {name} in {text}");
        }
    }
}

#[test]
fn names_of_the_long_formats_are_whole() {
    let folder = scratch("wide");
    let program = copy(&compile("hostile", &["-static"]), &folder);
    let name = "w".repeat(200);
    let wide = folder.join(&name);
    fs::rename(program, &wide).expect("it is renamed");
    let process = Running::fixture(&wide, &folder, &[]);
    assert!(ours("-X PID", process.pid).lines().any(|line| line.ends_with(&format!(" {name}"))));
    assert!(ours("-XXp PID", process.pid).contains(&format!(" {}\n", wide.display())));
}

#[test]
fn command_lines_never_carry_terminal_controls() {
    let folder = scratch("controls");
    let program = copy(&compile("hostile", &["-static"]), &folder);
    let words: [&[u8]; 3] = [b"c1 \xc2\x9b31m", b"cut \xc3\x1b[31m", b"end \xe2\x82"];
    let process = Running::fixture(&program, &folder, &words.map(OsStr::from_bytes));
    let printed =
        Line::with_pid("PID", process.pid).env("LC_ALL", Some(OsStr::new("C.UTF-8"))).run(OURS);
    let head = printed.stdout.split(|&byte| byte == b'\n').next().expect("a line").to_vec();
    let head = String::from_utf8(head).expect("only whole characters");
    assert!(head.ends_with("c1 ??31m cut ??[31m end ??"), "{head:?}");
}

/// Prints the text of an smaps file with `-XX`.
fn render(smaps: &str) -> String {
    let options = Options { format: Format::Details(Columns::All), ..Options::default() };
    let mut renderer = Renderer::text(&options);
    let mut bytes = Vec::new();
    let mut out = Output::new(&mut bytes);
    let mut rows = smaps::Reader::new(smaps.as_bytes(), |_| true);
    renderer.begin(&mut out);
    while let Some((mapping, details)) = rows.next_row().expect("it is well-formed") {
        renderer.row(&mut out, &mapping, &details);
    }
    renderer.end(&mut out);
    out.flush().expect("a vector takes all");
    drop(out);
    String::from_utf8(bytes).expect("it is text")
}

#[test]
fn flags_may_be_empty_or_unknown() {
    let text = render(
        "00001000-00002000 r--p 00000000 00:00 0\nSize: 4 kB\nVmFlags: \n\
         00003000-00004000 r--p 00000000 00:00 0 [x]\nSize: 4 kB\nVmFlags: rd ?? mr \n",
    );
    let expected = " Address Perm   Offset Device Inode Size  VmFlags Mapping
00001000 r--p 00000000  00:00     0    4         \x20
00003000 r--p 00000000  00:00     0    4 rd ?? mr [x]
                                    ====\x20
                                       8 KB\x20
";
    assert_same(text.as_bytes(), expected.as_bytes(), "VmFlags");
}

#[test]
fn a_key_may_appear_late() {
    let text = render(
        "00001000-00002000 r--p 00000000 00:00 0 [a]\nSize: 4 kB\n\
         00003000-00004000 r--p 00000000 00:00 0 [b]\nSize: 4 kB\nNewKey: 12 kB\nBare: 1\n\
         00005000-00006000 r--p 00000000 00:00 0 [c]\nNewKey: 3 kB\n",
    );
    let expected = " Address Perm   Offset Device Inode Size NewKey Bare Mapping
00001000 r--p 00000000  00:00     0    4      -    - [a]
00003000 r--p 00000000  00:00     0    4     12    1 [b]
00005000 r--p 00000000  00:00     0    -      3    - [c]
                                    ==== ====== ====\x20
                                      8+    15+   1+ KB\x20
";
    assert_same(text.as_bytes(), expected.as_bytes(), "late keys");
}

/// A program with children that all end with the test.
struct Group(std::process::Child);

impl Group {
    /// The process that does the work.
    fn worker(&self) -> u32 {
        let pid = self.0.id();
        let children = Path::new("/proc").join(format!("{pid}/task/{pid}/children"));
        for _ in 0..500 {
            let text = fs::read_to_string(&children).unwrap_or_default();
            if let Some(child) = text.split_whitespace().next().and_then(|child| child.parse().ok())
            {
                return child;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        panic!("stress-ng started no worker");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

/// A name for what the call below is for.
trait OwnGroup {
    fn process_group_of_its_own(&mut self) -> &mut Self;
}

impl OwnGroup for Command {
    fn process_group_of_its_own(&mut self) -> &mut Self {
        std::os::unix::process::CommandExt::process_group(self, 0)
    }
}
