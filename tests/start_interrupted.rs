//! A signal that comes while the kernel verifies a program: the verifier gives up with EAGAIN
//! (`do_check` of `kernel/bpf/verifier.c`). strace lets each load in turn fail so.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{OURS, require_root, scratch};

fn under_strace(calls: &Path, options: &[&str]) -> Output {
    Command::new("strace")
        .args(["-f", "-e", "trace=bpf", "-o"])
        .arg(calls)
        .args(options)
        .args([OURS, "--follow", "--json", "--", "true"])
        .stdin(Stdio::null())
        .output()
        .expect("strace is installed")
}

/// Check that whichever load is disturbed, it starts and tells everything.
#[test]
fn at_each_load() {
    require_root();
    let calls = scratch("interrupted").join("calls");
    let output = under_strace(&calls, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let changes = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    let traced = fs::read_to_string(&calls).expect("strace wrote it");
    let loads = traced.lines().filter(|line| line.contains(" bpf(")).enumerate();
    let loads: Vec<usize> = loads
        .filter(|(_, line)| line.contains("BPF_PROG_LOAD"))
        .map(|(index, _)| index + 1)
        .collect();
    assert!(loads.len() > 10, "{traced}");
    for load in loads {
        let inject = format!("inject=bpf:error=EAGAIN:when={load}");
        let output = under_strace(&calls, &["-e", &inject]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "load {load}: {said}");
        let traced = fs::read_to_string(&calls).expect("strace wrote it");
        assert!(traced.contains("INJECTED"), "load {load}: {traced}");
        let told = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(told, changes, "load {load}");
    }
}
