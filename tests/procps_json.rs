//! `--json`: the same facts as the text, in the schema of `docs/json.md`.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use common::{Line, OURS, Running, compile, copy, scratch};

fn hostile(name: &str, parts: &[&str]) -> Running {
    let folder = scratch(name);
    let program = copy(&compile("hostile", &["-static"]), &folder);
    Running::fixture(&program, &folder, &parts.iter().map(OsStr::new).collect::<Vec<_>>())
}

/// Has Python, which knows JSON, evaluate an expression over the objects `o` of our output.
fn evaluate(options: &str, pid: u32, expression: &str) -> String {
    let printed = Line::with_pid(options, pid).run(OURS);
    let file = scratch(&format!("json-{:?}", std::thread::current().id())).join("out");
    fs::write(&file, &printed.stdout).expect("it is written");
    let program = format!(
        "import json, sys\no = [json.loads(l) for l in open(sys.argv[1], encoding='utf-8')]\nprint({expression})"
    );
    let output = Command::new("python3")
        .arg("-c")
        .arg(program)
        .arg(&file)
        .output()
        .expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn an_object_a_process_says_what_it_is() {
    let process = hostile("json", &["plain"]);
    let pid = process.pid;
    let head = evaluate("--json PID PID", pid, "[(p['schema'], p['type'], p['pid']) for p in o]");
    assert_eq!(head, format!("[('pmap/1', 'snapshot', {pid}), ('pmap/1', 'snapshot', {pid})]"));
}

#[test]
fn mappings_are_those_of_maps() {
    let process = hostile("json-maps", &["plain", "odd"]);
    let maps = fs::read(format!("/proc/{}/maps", process.pid)).expect("it is readable");
    let lines = maps.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
    for format in ["--json", "--json -d", "--json -x", "--json -XX"] {
        let expression = "'\\n'.join('%s-%s %s %s %s %d' % (m['start'], m['end'], m['perms'], m['offset'], m['device'], m['inode']) for m in o[0]['mappings'])";
        let printed = evaluate(&format!("{format} PID"), process.pid, expression);
        assert_eq!(printed.lines().count(), lines);
        for (ours, kernel) in printed.lines().zip(maps.split(|&byte| byte == b'\n')) {
            let kernel = String::from_utf8_lossy(kernel).into_owned();
            let words: Vec<_> = kernel.split_whitespace().collect();
            let plain =
                |hex: &str| format!("{:#x}", u64::from_str_radix(hex, 16).expect("hexadecimal"));
            let (start, end) = words[0].split_once('-').expect("a range");
            let expected = format!(
                "{}-{} {} {} {} {}",
                plain(start),
                plain(end),
                words[1],
                plain(words[2]),
                words[3],
                words[4]
            );
            assert_eq!(ours, expected);
        }
    }
}

#[test]
fn the_format_decides_on_the_fields() {
    let process = hostile("json-fields", &["plain"]);
    let keys = |format: &str| {
        evaluate(
            &format!("{format} PID"),
            process.pid,
            "sorted(k for k in o[0]['mappings'][0] if k[0].isupper())",
        )
    };
    assert_eq!(keys("--json -d"), "[]");
    assert_eq!(keys("--json -x"), "['Private_Dirty', 'Rss', 'Shared_Dirty']");
    assert_eq!(keys("--json"), keys("--json -XX"));
    assert!(keys("--json").contains("'VmFlags'") && !keys("--json -X").contains("'VmFlags'"));
    let smaps = fs::read_to_string(format!("/proc/{}/smaps", process.pid)).expect("it is readable");
    let mut expected: Vec<_> = smaps
        .lines()
        .skip(1)
        .map_while(|line| line.split_once(':'))
        .map(|(key, _)| key)
        .take_while(|key| !key.contains('-'))
        .collect();
    expected.sort_unstable();
    assert_eq!(keys("--json"), format!("{expected:?}").replace('"', "'"));
}

#[test]
fn names_that_are_no_text_come_with_their_bytes() {
    let process = hostile("json-names", &["odd"]);
    let names = evaluate(
        "--json -d PID",
        process.pid,
        "[(m['name'].split('/')[-1], bytes.fromhex(m['name_hex']).split(b'/')[-1]) for m in o[0]['mappings'] if 'name_hex' in m]",
    );
    assert!(names.contains("bad") && names.contains("b'bad \\xff\\xfe \\xc3'"), "{names}");
    assert_eq!(names.matches("b'").count(), 2, "{names}");
}

#[test]
fn a_process_out_of_reach_says_so() {
    let unreadable = fs::read("/proc/1/maps").is_err();
    if unreadable {
        assert_eq!(evaluate("--json 1", 0, "o[0]['mappings'], bool(o[0]['error'])"), "None True");
        assert_eq!(Line::with_pid("--json 1", 0).run(OURS).status, 1);
    }
    assert_eq!(Line::with_pid("--json 999999999", 0).run(OURS).status, 42);
}
