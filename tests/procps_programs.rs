//! Ten programs that somebody else wrote, as they run every day: the same bytes from both.

mod common;

use std::process::Command;

use common::{Line, Printed, Running};

/// Programs of which ten must be installed, each with arguments that make it wait.
const PROGRAMS: &[&[&str]] = &[
    &["sh"],
    &["bash", "--norc"],
    &["python3", "-c", "import ssl, json, threading, time; time.sleep(999)"],
    &["perl", "-MPOSIX", "-e", "sleep 999"],
    &["node", "-e", "setTimeout(() => {}, 999000)"],
    // A Java virtual machine that waits for a command.
    &["jdb"],
    &["tclsh"],
    &["sqlite3"],
    &["cat"],
    &["sleep", "999"],
    &["gdb", "-q", "-nx", "-ex", "shell sleep 999"],
    &["python3", "-m", "http.server", "0"],
    &["tail", "-f", "/dev/null"],
    &["awk", "{ print }"],
    &["sed", "p"],
    &["bc"],
    &["ssh-agent", "-D"],
    &["dash"],
    &["vim", "-u", "NONE", "-es"],
];

#[test]
fn ten_real_programs_print_the_same() {
    let mut compared = Vec::new();
    for program in PROGRAMS {
        let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program[0]]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            continue;
        }
        let process = Running::program(Command::new(program[0]).args(&program[1..]));
        if std::fs::read(format!("/proc/{}/maps", process.pid)).map_or(true, |maps| maps.is_empty())
        {
            continue;
        }
        for options in ["PID", "-x PID", "-d PID", "-p PID", "-q PID", "-xp PID", "-dqp PID"] {
            Line::with_pid(options, process.pid).check();
        }
        for options in ["-X PID", "-XX PID", "-XXqp PID"] {
            Line::with_pid(options, process.pid).check_with(without_shares);
        }
        compared.push(program[0]);
    }
    assert!(compared.len() >= 10, "only these are installed: {compared:?}");
}

/// Without the figures that depend on who else has a library mapped in that moment, the programs that
/// print them included.
fn without_shares(printed: &Printed) -> Printed {
    const SHARES: [&str; 7] = [
        "Pss",
        "Pss_Dirty",
        "SwapPss",
        "Shared_Clean",
        "Shared_Dirty",
        "Private_Clean",
        "Private_Dirty",
    ];
    // With -q there are no headings: the columns are those of -XX then.
    const ALL: &str = "Address Perm Offset Device Inode Size KernelPageSize MMUPageSize Rss Pss Pss_Dirty \
        Shared_Clean Shared_Dirty Private_Clean Private_Dirty";
    let text = printed.text();
    let headings = text.lines().nth(1).filter(|line| line.contains("Address")).unwrap_or(ALL);
    let shares: Vec<usize> = headings
        .split_whitespace()
        .enumerate()
        .filter_map(|(index, heading)| SHARES.contains(&heading).then_some(index))
        .collect();
    let lines = text.lines().map(|line| {
        let left_empty =
            if line.starts_with("                    ") && line.contains("KB") { 5 } else { 0 };
        if line.contains("===") {
            return String::new();
        }
        let words = line.split_whitespace().enumerate();
        words
            .filter(|(index, _)| !shares.contains(&(index + left_empty)))
            .map(|(_, word)| format!("{word} "))
            .collect()
    });
    let stdout = lines.collect::<Vec<String>>().join("\n").into_bytes();
    Printed { stdout, ..printed.clone() }
}
