use super::*;
use crate::{
    live::{Call, Op, Reason},
    model::Device,
    syscalls,
    view::{Options, push_change, push_summary},
};

fn mapping(name: &'static [u8], perms: u8) -> Mapping<'static> {
    Mapping {
        start: 0x7f00_0000_1000,
        end: 0x7f00_0000_4000,
        perms: Perms::from_bits(perms),
        offset: 0x2000,
        device: Device { major: 254, minor: 1 },
        inode: 77,
        name,
    }
}

fn change(op: Op) -> Change {
    let mut comm = [0; 16];
    comm[..3].copy_from_slice(b"cat");
    Change {
        time: 3_723_000_004_000,
        space: 9,
        version: 5,
        pid: 41,
        tid: 42,
        comm,
        op,
        pieces: Vec::new(),
    }
}

fn call(name: &str, args: [u64; 6], ret: i64) -> Op {
    let syscall = syscalls::WATCHED.iter().find(|c| c.name == name).unwrap();
    Op::Call(Call { syscall, compat: false, outcome: Some((args, ret)) })
}

fn text(change: &Change, pieces: &[Piece<'_>]) -> String {
    let mut lines = Lines::new(&Options::default(), Clock::default(), false);
    let mut out = Vec::new();
    lines.push(&mut out, change, pieces, &Process::default());
    String::from_utf8(out).unwrap()
}

fn json(change: &Change, pieces: &[Piece<'_>]) -> String {
    let mut out = Vec::new();
    push_change(&mut out, change, pieces, Clock::default());
    String::from_utf8(out).unwrap()
}

/// Check the line of a mapping that came.
#[test]
fn an_addition_is_a_line() {
    let op = call("mmap", [0, 0x3000, 1, 2, 3, 0], 0x7f00_0000_1000);
    assert_eq!(
        text(&change(op), &[Piece::Added(mapping(b"/usr/lib/libc.so.6", 5))]),
        "01:02:03.000004      41/42      cat             mmap        \
         + 7f0000001000-7f0000004000       12K r-x-- 00002000 0fe:00001 libc.so.6\n"
    );
}

/// Check the line of a mapping whose permissions changed.
#[test]
fn a_change_of_mode_shows_both() {
    let op = call("mprotect", [0x7f00_0000_1000, 0x3000, 1, 0, 0, 0], 0);
    let piece = Piece::Changed(mapping(b"", 3), mapping(b"", 1));
    assert_eq!(
        text(&change(op), &[piece]),
        "01:02:03.000004      41/42      cat             mprotect    \
         ~ 7f0000001000-7f0000004000       12K rw---=>r---- 00002000 0fe:00001   [ anon ]\n"
    );
}

/// Check the lines of what changes no mapping.
#[test]
fn events_are_lines_too() {
    let head = |name: &str| format!("01:02:03.000004      41/42      cat             {name:<12}");
    let failed = call("munmap", [0x1000, 0, 0, 0, 0, 0], -22);
    for (op, name, rest) in [
        (failed, "munmap", "(0x1000, 0x0) = -1 EINVAL"),
        (Op::Exit { status: 7 << 8 }, "exit", "status 7"),
        (Op::Exit { status: 9 }, "exit", "signal 9"),
        (Op::Fork { child: 43 }, "fork", "process 43"),
    ] {
        assert_eq!(text(&change(op), &[]), format!("{}{rest}\n", head(name)));
    }
}

/// Check that a line which came of reading again says why.
#[test]
fn a_reread_says_why() {
    let line = text(&change(Op::Reread(Reason::Lost)), &[Piece::Removed(mapping(b"", 3))]);
    assert!(line.contains(" reread      - 7f") && line.ends_with("  [ anon ]  (lost)\n"), "{line}");
}

/// Check that no name steers the terminal.
#[test]
fn control_bytes_do_not_pass() {
    let line = text(&change(Op::Stack), &[Piece::Added(mapping(b"/tmp/\x1b[2Jx", 3))]);
    assert!(line.ends_with("?[2Jx\n"), "{line}");
}

/// Check the object of a change, to the byte.
#[test]
fn a_change_is_an_object() {
    let op = call("mprotect", [0x7f00_0000_1000, 0x3000, 1, 0, 0, 0], 0);
    let piece = Piece::Changed(mapping(b"/a\"b", 3), mapping(b"/a\"b", 1));
    let attributes = |perms: &str| {
        format!(r#""perms":"{perms}","offset":"0x2000","device":"fe:01","inode":77,"name":"/a\"b""#)
    };
    assert_eq!(
        json(&change(op), &[piece]),
        format!(
            concat!(
                r#"{{"schema":"pmap/1","type":"change","time_ns":3723000004000,"pid":41,"tid":42,"#,
                r#""comm":"cat","space":9,"version":5,"op":"mprotect","compat":false,"#,
                r#""args":["0x7f0000001000","0x3000","0x1"],"result":"0x0","pieces":[{{"sign":"~","#,
                r#""start":"0x7f0000001000","end":"0x7f0000004000","kib":12,{},"#,
                r#""was":{{"kib":12,{}}}}}]}}"#,
                "\n"
            ),
            attributes("r--p"),
            attributes("rw-p"),
        )
    );
}

/// Check the objects of a call that failed and of one that has not returned.
#[test]
fn results_are_told_as_they_are_known() {
    let failed = json(&change(call("brk", [0x1000, 0, 0, 0, 0, 0], -12)), &[]);
    assert!(
        failed.contains(r#""args":["0x1000"],"result":-1,"errno":"ENOMEM","pieces":[]"#),
        "{failed}"
    );
    let Op::Call(call) = call("brk", [0; 6], 0) else { panic!() };
    let waiting = json(&change(Op::Call(Call { outcome: None, ..call })), &[]);
    assert!(waiting.contains(r#""args":null,"result":null"#), "{waiting}");
}

/// Check both forms of the summary.
#[test]
fn the_summary_counts() {
    let mut totals =
        Totals { mapped: 8192, unmapped: 4096, versions: 4, lost: 2, ..Totals::default() };
    totals.changes.insert("mmap", 2);
    totals.changes.insert("munmap", 1);
    totals.rereads.insert(Reason::Lost, 1);
    let lines = Lines::new(&Options::default(), Clock::default(), false);
    let mut out = Vec::new();
    lines.push_summary(&mut out, &totals, 0);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "# 3 changes (mmap 2, munmap 1), mapped 8K, unmapped 4K, versions 4, \
         read again 1 (lost 1), lost 2, drift: 0\n"
    );
    let mut out = Vec::new();
    push_summary(&mut out, &totals, 0);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"schema":"pmap/1","type":"summary","changes":{"mmap":2,"munmap":1},"#,
            r#""mapped_bytes":8192,"unmapped_bytes":4096,"versions":4,"read_again":{"lost":1},"#,
            r#""lost":2,"unknown_records":0,"drift":0}"#,
            "\n"
        )
    );
}
