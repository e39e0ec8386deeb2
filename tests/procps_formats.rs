//! Every format and every option that shapes it, byte for byte against procps, on processes that are hard to
//! print.

mod common;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use common::{Line, Running, compile, copy, require_root, scratch};

/// Option sets that all print the whole list.
const OPTIONS: &[&str] = &[
    "PID",
    "-x PID",
    "-d PID",
    "-X PID",
    "-XX PID",
    "-q PID",
    "-p PID",
    "-xq PID",
    "-dq PID",
    "-Xq PID",
    "-XXq PID",
    "-xp PID",
    "-dp PID",
    "-Xp PID",
    "-XXp PID",
    "-qp PID",
    "-xqp PID",
    "-dqp PID",
    "-Xqp PID",
    "-XXqp PID",
    "-XXX PID",
    "-X -X PID",
    "--extended PID",
    "--device PID",
    "--quiet --show-path PID",
    "-r PID",
    "-rx PID",
    "PID -x",
    "PID -dq PID",
    "-x PID PID",
    "/proc/PID",
    "-- PID",
    "-q /proc/PID -p",
];

/// Ranges, tried with the formats that honour them in procps 4.0.2.
const RANGES: &[&str] = &[
    "0",
    "0,",
    ",",
    ",ffffffffffffffff",
    "7f0000000000,",
    ",7f0000000000",
    "0x400000",
    "400000,500000",
    "ffffffffff600000",
    "ffffffffff600fff",
    "ffffffffff601000",
    "9,1",
    "-1",
    " 10",
    "+10,0xffffffffff",
    "fffffffffffffffffffff",
    "7f0000000000,7fffffffffff",
];

fn words(words: &[&'static str]) -> Vec<&'static OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

fn hostile(flags: &[&str], parts: &[&'static str]) -> Running {
    let folder = scratch(&format!("hostile{}{}", flags.concat(), parts.concat()));
    // A copy of its own: pages of a program that several tests run would count as shared in one
    // moment and as private in the next.
    let program = copy(&compile("hostile", flags), &folder);
    Running::fixture(&program, &folder, &words(parts))
}

/// Check that every option set prints the same bytes in a UTF-8 locale and in C.
fn check_all(pid: u32) {
    for options in OPTIONS {
        Line::with_pid(options, pid).check();
    }
    for options in ["PID", "-x PID", "-d PID", "-X PID"] {
        Line::with_pid(options, pid).env("LC_ALL", Some(OsStr::new("C"))).check();
    }
}

#[test]
fn hostile_mappings_print_the_same() {
    let process = hostile(&["-static"], &["plain", "sysv"]);
    check_all(process.pid);
}

#[test]
fn mappings_of_a_32_bit_program_print_the_same() {
    let process = hostile(&["-m32", "-static"], &["plain", "sysv"]);
    check_all(process.pid);
}

#[test]
fn a_perf_event_buffer_prints_the_same() {
    require_root();
    let process = hostile(&["-static"], &["perf"]);
    check_all(process.pid);
}

#[test]
fn a_zombie_prints_the_same() {
    let process = hostile(&["-static"], &["name", "z om)b(ie ", "zombie"]);
    check_all(process.pid);
}

#[test]
fn a_kernel_thread_prints_the_same() {
    // Thread 2 is kthreadd, unless the tests run in a PID namespace of their own.
    for options in ["2", "-x 2", "-d 2", "-X 2", "-q 2", "-xq 2", "-XX 2", "2 2"] {
        Line::with_pid(options, 0).check();
    }
}

#[test]
fn ranges_choose_the_same_mappings() {
    let process = hostile(&["-static"], &["plain"]);
    for range in RANGES {
        for format in ["", "-d", "-q", "-dq"] {
            let pid = process.pid.to_string();
            let line: Vec<_> =
                [format, "-A", range, &pid].into_iter().filter(|word| !word.is_empty()).collect();
            Line::new(&line).check();
        }
        let attached = format!("-xA{range}");
        if !attached.contains(' ') {
            // The totals of -x are told apart in `procps_differences`.
            Line::new(&[attached, "-q".into(), process.pid.to_string()]).check();
        }
    }
}

#[test]
fn a_range_is_honoured_by_the_long_formats_too() {
    let process = hostile(&["-static"], &["plain"]);
    for format in ["-X", "-XX"] {
        let all = Line::with_pid(&format!("{format} PID"), process.pid).run(common::OURS).text();
        let chosen = Line::with_pid(&format!("{format} -A 400000,4fffff PID"), process.pid)
            .run(common::OURS);
        let rows: Vec<_> =
            all.lines().skip(2).filter(|line| line.trim_start().starts_with("004")).collect();
        assert!(!rows.is_empty(), "a static program starts at 0x400000:\n{all}");
        let chosen = chosen.text();
        let mut lines = chosen.lines();
        lines.next();
        // Widths of the figures follow the totals, so only what is between the blanks must agree.
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines.next().map(fields), all.lines().nth(1).map(fields));
        for row in rows {
            assert_eq!(lines.next().map(fields), Some(fields(row)));
        }
        assert!(lines.next().is_some_and(|line| line.trim_start().starts_with("==")), "{chosen}");
    }
}

#[test]
fn sixty_thousand_mappings_print_the_same() {
    let process = hostile(&["-static"], &["many", "60000"]);
    for options in ["PID", "-x PID", "-d PID", "-X PID", "-XXq PID"] {
        Line::with_pid(options, process.pid).check();
    }
}

#[test]
fn odd_names_print_the_same_where_the_locale_is_c() {
    let process = hostile(&["-static"], &["odd"]);
    for options in ["PID", "-x PID", "-d PID", "-p PID", "-xp PID", "-dqp PID"] {
        Line::with_pid(options, process.pid).env("LC_ALL", Some(OsStr::new("C"))).check();
    }
}

#[test]
fn a_thread_id_stands_for_its_process() {
    let process = hostile(&["-static"], &["thread"]);
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.pid)).expect("it has threads");
    let threads: Vec<String> =
        threads.flatten().map(|t| t.file_name().to_string_lossy().into()).collect();
    assert_eq!(threads.len(), 2);
    for thread in threads {
        for option in ["-q", "-x", "-X"] {
            Line::new(&[option, &thread]).check();
        }
    }
}

#[test]
fn command_lines_print_the_same() {
    let folder = scratch("command-lines");
    let program = copy(&compile("hostile", &["-static"]), &folder);
    let long = "long ".repeat(200);
    let many = vec![long.as_bytes(); 200];
    let cases: &[&[&[u8]]] = &[
        &[b""],
        &[b"", b"", b""],
        &[b"two", b"words"],
        &[b"a\tb\x01\x7f", b"new\nline", b" blanks "],
        &[b"trailing newline\n"],
        &["café € 😀".as_bytes()],
        &[b"before \xff after caf\xc3\xa9 \x01"],
        &[b"\x80"],
        &[b"\\ backslash", b"\"quotes'"],
        &many,
    ];
    for case in cases {
        let arguments: Vec<_> = case.iter().map(|word| OsStr::from_bytes(word)).collect();
        let process = Running::fixture(&program, &folder, &arguments);
        Line::with_pid("-q PID", process.pid).check();
        Line::with_pid("-X PID", process.pid).env("LC_ALL", Some(&OsString::from("C"))).check();
    }
}

#[test]
fn the_kernels_own_names_are_printed_on_request() {
    let process = hostile(&["-static"], &["plain", "sysv"]);
    for format in ["-k", "-kx", "-kd", "-kp", "--use-kernel-name"] {
        let text = Line::with_pid(&format!("{format} PID"), process.pid).run(common::OURS).text();
        for name in ["[stack]", "[heap]", "[vdso]", "[vvar]"] {
            let printed = text.lines().any(|line| {
                line.strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with(' ') && !rest.ends_with("  "))
            });
            assert!(printed, "{format} {name}: {text}");
        }
        assert!(!text.contains("[ stack ]"));
        assert!(text.contains("  [ anon ]"), "what has no name is still so called");
        assert!(text.contains("  [ shmid=0x"));
        assert!(text.contains("b (deleted)"));
    }
}
