//! The command line, rc files, exit statuses and a standard output that fails, against procps.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use common::{Line, OURS, PROCPS, Printed, Running, assert_same, compile, scratch, signal};

/// Command lines that need no process: what is wrong with them, or what they print.
const LINES: &[&str] = &[
    "",
    "abc",
    "0",
    "12x",
    "5.0",
    "/proc/5/",
    "/proc/0",
    "/proc/abc",
    "/proc/",
    "2147483648",
    "99999999999999999999999",
    "-1",
    "-",
    "--",
    "-x",
    "-q",
    "-X",
    "-d --",
    "-a",
    "-F",
    "-l",
    "-L",
    "-s",
    "-S",
    "-xa",
    "-A",
    "-xA",
    "-C",
    "-N",
    "--range",
    "--re",
    "--read",
    "--read-rc",
    "--read-rc-f",
    "--read-rc-from",
    "--c",
    "--create",
    "--create-rc-to",
    "--e=1",
    "--extended=1",
    "--q= 2",
    "--zzz",
    "--zzz=3",
    "--=",
    "--=x",
    "--x",
    "---",
    "---x",
    "-A 1,2,3 1",
    "-A x 1",
    "-A 0x 1",
    "-A 1,,2 1",
    "-A 1;2 1",
    "-A 1,2,3 -h",
    "-r",
    "-rrr",
    "-r -1",
    "-xd",
    "-x -d 1",
    "-X -x 1",
    "-c -C file 1",
    "-n -N file",
    "-n -x",
    "-n -p",
    "-N file -q",
    "-n 1",
    "-N file 1",
    "-n -q 1",
    "-d -x -n -p 1",
    "0x7fffffff",
    "2147483647",
    "999999999 999999998",
    "0xg",
    "08",
    "1 abc",
    "999999999 abc",
    "--de --ext",
    "-x --",
    "--sh",
    "--h=2",
    "--v=",
];

#[test]
fn wrong_command_lines_are_told_in_the_same_words() {
    let folder = scratch("wrong");
    for line in LINES {
        Line::with_pid(line, 0).folder(&folder).env("HOME", Some(folder.as_os_str())).check();
    }
    assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 0, "nothing was written");
}

#[test]
fn words_of_any_bytes_are_told_in_the_same_words() {
    for bytes in [
        &b"-\xff"[..],
        b"--\xff=\x1b",
        b"\xff",
        b"-A\xff",
        b"-\n",
        b"--ra\n",
        b" 1",
        b"+1",
        b"1 ",
        b"\t1",
    ] {
        Line::new(&[OsStr::from_bytes(bytes), OsStr::new("999999999")]).check();
        Line::new(&[OsStr::from_bytes(bytes)]).check();
    }
    Line::new(&[""]).check();
}

#[test]
fn numbers_are_read_as_c_reads_them() {
    let process = sleeper();
    for pid in [format!("{:#x}", process.pid), format!("{:#o}", process.pid).replace("0o", "0")] {
        Line::new(&["-q", &pid]).check();
        Line::new(&["-q", &format!("/proc/{pid}")]).check();
    }
}

#[test]
fn every_abbreviation_means_the_same() {
    let process = sleeper();
    for name in [
        "extended",
        "device",
        "quiet",
        "show-path",
        "range=0",
        "help",
        "version",
        "read-rc",
        "create-rc",
    ] {
        for end in 1..=name.len() {
            if matches!(&name[..end], "help" | "h" | "he" | "hel")
                || "version".starts_with(&name[..end])
            {
                continue;
            }
            let folder = scratch("abbreviations");
            Line::new(&[format!("--{}", &name[..end]), process.pid.to_string()])
                .env("HOME", Some(folder.as_os_str()))
                .check();
        }
    }
}

#[test]
fn posixly_correct_ends_the_options_at_the_first_operand() {
    let process = sleeper();
    for line in ["PID -x", "-x PID", "PID -- PID", "-x PID -q"] {
        Line::with_pid(line, process.pid).env("POSIXLY_CORRECT", Some(OsStr::new("1"))).check();
        Line::with_pid(line, process.pid).check();
    }
}

#[test]
fn the_usage_has_the_name_under_which_it_was_called() {
    for name in ["foo", "/some/where/foo", "./pmap"] {
        for arguments in [&["-1"][..], &["--re"], &[], &["-x"], &["-c", "1"], &["-r", "999999999"]]
        {
            let run = |program| {
                let mut command = std::process::Command::new(program);
                command.arg0(name).args(arguments).env("HOME", "/nonexistent");
                Printed::from(command.output().expect("it runs"))
            };
            let (ours, theirs) = (run(OURS), run(PROCPS));
            assert_same(&ours.stderr, &theirs.stderr, &format!("{name} {arguments:?}"));
            assert_eq!(ours.status, theirs.status);
        }
    }
}

#[test]
fn help_starts_with_that_of_procps() {
    for option in ["-h", "--help", "--he", "-xh", "-h -1"] {
        let (ours, theirs) =
            (Line::with_pid(option, 0).run(OURS), Line::with_pid(option, 0).run(PROCPS));
        assert!(ours.stdout.starts_with(&theirs.stdout), "{}", ours.text());
        assert_eq!(ours.status, 0);
        for ours_only in ["--follow", "--json", "--use-kernel-name", "--smaps-budget=<percent>"] {
            assert!(ours.text().contains(ours_only));
        }
    }
}

#[test]
fn the_version_is_our_own() {
    let printed = Line::new(&["-V"]).run(OURS);
    let expected =
        format!("pmap {} (compatible with pmap from procps-ng 4.0.2)\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((printed.text(), printed.status), (expected, 0));
}

#[test]
fn exit_statuses_are_the_same() {
    let process = sleeper();
    // PID 1 may not be readable even by root; whether it is, both must agree.
    for line in
        ["1", "-x 1", "-X 1", "-q 1 999999999", "999999999", "PID 999999999 PID", "2 999999999"]
    {
        Line::with_pid(line, process.pid).check();
    }
}

#[test]
fn a_process_that_may_not_be_read_shows_its_name_and_fails() {
    common::require_root();
    let process = sleeper();
    for format in ["", "-x", "-d", "-X", "-q"] {
        let run = |program: &str| {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
            command.args([format, &process.pid.to_string()].iter().filter(|word| !word.is_empty()));
            Printed::from(command.output().expect("setpriv is installed"))
        };
        let folder = std::env::temp_dir().join(format!("pmap-{}", std::process::id()));
        let _ = fs::create_dir(&folder);
        let ours = common::copy(OURS.as_ref(), &folder);
        let (ours, theirs) = (run(ours.to_str().expect("a plain path")), run(PROCPS));
        let _ = fs::remove_dir_all(&folder);
        assert_same(&ours.stdout, &theirs.stdout, format);
        assert_same(&ours.stderr, &theirs.stderr, format);
        assert_eq!((ours.status, theirs.status), (1, 1));
    }
}

#[test]
fn rc_files_are_read_the_same() {
    let process = sleeper();
    let folder = scratch("rc-read");
    let long_line = format!("{}\nRss\n", "x".repeat(1500));
    let exact = format!("[Fields Display]\n{}Rss\n", " ".repeat(1020));
    let over = format!("[Fields Display]\n{}Rss\nSize\n", " ".repeat(1021));
    let cases = [
        "[Fields Display]\nPerm\nSize\nMapping\n",
        "[Fields Display]\nRss\nVmFlags\n[Mapping]\nShowPath\n",
        "[Fields Display]\nMapping\n[Mapping]\nShowPath\nShowPath\n",
        "[Fields Display]\nMapping\nInode\nDevice\nOffset\nTHPeligible\nNothing\n",
        "",
        "\n\n",
        "Perm\n",
        "[Other]\nPerm\n[Fields Display]\nRss",
        "[broken\nPerm\n",
        "[Fields Display] # comment\n \t Rss # comment\n\tSize junk\n#Pss\n",
        "[Fields Display] junk\nRss\n",
        "[Fields Display]\nRss #\nrss\nSIZE\n",
        "[Mapping] ShowPath\n[Fields Display] Mapping\n",
        "[Other] junk\n[Fields Display]\nSize\n",
        "[Fields Display]\nVmFlags\n",
        "[Fields Display]\nPerm\nOffset\n",
        &long_line,
        &exact,
        &over,
    ];
    for (number, text) in cases.iter().enumerate() {
        let file = folder.join(format!("rc{number}"));
        fs::write(&file, text).expect("it is written");
        for more in ["", "-q", "-p", "-r"] {
            let line = Line::with_pid(&format!("-C {} {more} PID", file.display()), process.pid);
            line.check();
        }
        fs::copy(&file, folder.join(".pmaprc")).expect("it is copied");
        Line::with_pid("-c PID", process.pid).env("HOME", Some(folder.as_os_str())).check();
    }
    for line in ["-C /nonexistent PID", "-C / PID", "-c PID", "-c abc", "-C /nonexistent abc"] {
        Line::with_pid(line, process.pid).env("HOME", Some(OsStr::new("/nonexistent"))).check();
        Line::with_pid(line, process.pid).env("HOME", None).check();
    }
}

#[test]
fn rc_templates_are_written_the_same() {
    let folder = scratch("rc-write");
    let run = |line: &str, program: &str| {
        Line::with_pid(line, 0).folder(&folder).env("HOME", Some(folder.as_os_str())).run(program)
    };
    for (line, file) in
        [("-n", ".pmaprc"), ("-N here", "here"), ("--create-rc", ".pmaprc"), ("-Nhere", "here")]
    {
        let file = folder.join(file);
        let mut written = Vec::new();
        for program in [OURS, PROCPS] {
            let first = run(line, program);
            let second = run(line, program);
            written.push((first, second, fs::read(&file).expect("it was written")));
            fs::remove_file(&file).expect("it can be removed");
        }
        let (ours, theirs) = (&written[0], &written[1]);
        assert_same(&ours.0.stderr, &theirs.0.stderr, line);
        assert_same(&ours.1.stderr, &theirs.1.stderr, line);
        assert_eq!((ours.0.status, ours.1.status), (theirs.0.status, theirs.1.status));
        assert_same(&ours.2, &theirs.2, "the template");
    }
    Line::new(&["-N", "/nonexistent/file"]).check();
    Line::new(&["-n"]).env("HOME", Some(OsStr::new("/nonexistent"))).check();
    Line::new(&["-n"]).env("HOME", None).check();
}

#[test]
fn a_full_or_closed_standard_output_is_told_the_same() {
    let process = sleeper();
    let pid = process.pid;
    for arguments in [
        format!("{pid}"),
        format!("-X {pid}"),
        "-h".into(),
        "-V".into(),
        "999999999".into(),
        "-1".into(),
    ] {
        for redirection in [">/dev/full", ">&-"] {
            let run = |program: &str| {
                let mut shell = std::process::Command::new("bash");
                shell.arg("-c").arg(format!("exec -a pmap {program} {arguments} {redirection}"));
                Printed::from(shell.output().expect("bash is installed"))
            };
            let (ours, theirs) = (run(OURS), run(PROCPS));
            assert_same(&ours.stderr, &theirs.stderr, &format!("{arguments} {redirection}"));
            assert_eq!(ours.status, theirs.status, "{arguments} {redirection}");
        }
    }
}

#[test]
fn a_broken_pipe_ends_it_as_it_ends_procps() {
    let process = Running::fixture(
        &compile("hostile", &["-static"]),
        &scratch("pipe"),
        &[OsStr::new("many"), OsStr::new("5000")],
    );
    for trap in ["", "trap '' PIPE;"] {
        let run = |program: &str| {
            let mut shell = std::process::Command::new("bash");
            let pid = process.pid;
            shell.arg("-c").arg(format!("{trap} {program} {pid} | true; echo ${{PIPESTATUS[0]}}"));
            Printed::from(shell.output().expect("bash is installed"))
        };
        let (ours, theirs) = (run(OURS), run(PROCPS));
        assert_same(&ours.stdout, &theirs.stdout, trap);
        assert_same(&ours.stderr, &theirs.stderr, trap);
    }
}

#[test]
fn options_of_ours_say_what_they_need() {
    for (line, message) in [
        ("--children 1", "--children means nothing without --follow"),
        ("--follow", "--follow needs a PID, or -- and a command"),
        ("--follow 1 -- true", "--follow takes PIDs or a command, not both"),
        ("--follow x", "'x' is no process id; to start a command, put -- before it"),
        ("--follow --color=red 1", "--color: 'red' is not auto, always or never"),
        ("--follow --smaps-budget=0 1", "--smaps-budget: '0' is not a percentage up to 100"),
        ("--follow --smaps-interval=nan 1", "--smaps-interval: 'nan' is not seconds, as 0.5"),
        ("--follow --buffer=-1 1", "--buffer: '-1' is not a number of KiB, as 4096"),
        ("--follow -n", "--follow is mutually exclusive with -n, -N"),
    ] {
        let printed = Line::with_pid(line, 0).run(OURS);
        assert_eq!(String::from_utf8_lossy(&printed.stderr), format!("pmap: {message}\n"));
        assert_eq!((printed.stdout.len(), printed.status), (0, 1));
    }
}

#[test]
fn a_process_that_ends_half_way_is_no_failure() {
    let process = Running::fixture(
        &compile("hostile", &["-static"]),
        &scratch("vanish"),
        &[OsStr::new("many"), OsStr::new("20000")],
    );
    let line = Line::with_pid("PID", process.pid);
    let mut child =
        line.command(OURS).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    // The pipe is full long before the list is over, so this comes in the middle of it.
    std::thread::sleep(std::time::Duration::from_millis(50));
    signal("KILL", process.pid);
    drop(process);
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut child.stdout.take().expect("a pipe"), &mut text)
        .expect("it is read");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0));
    assert!(text.starts_with(b"") && text.ends_with(b"K\n"), "whole lines and a total");
}

/// A process whose mappings never change.
fn sleeper() -> Running {
    let folder = scratch(&format!("sleeper-{:?}", std::thread::current().id()));
    let program = common::copy(&compile("hostile", &["-static"]), &folder);
    Running::fixture(&program, &folder, &[])
}
