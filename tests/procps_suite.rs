//! What procps-ng's own test-suite claims of `pmap`, as an ordinary user, of ours.

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use common::{OURS, Printed, Running, compile, copy, require_root};

/// A process of an ordinary user, and our program where that user can run it.
struct Ordinary {
    process: Running,
    pmap: PathBuf,
    folder: PathBuf,
}

/// Runs what follows as nobody.
const SETPRIV: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

impl Ordinary {
    fn new(name: &str) -> Self {
        require_root();
        let folder = std::env::temp_dir().join(format!("pmap-suite-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder for temporary files is there");
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).expect("it is ours");
        let pmap = copy(OURS.as_ref(), &folder);
        let fixture = copy(&compile("hostile", &["-static"]), &folder);
        let mut arguments: Vec<&OsStr> = SETPRIV.iter().map(OsStr::new).collect();
        arguments.extend([fixture.as_os_str(), OsStr::new("plain"), OsStr::new("sysv")]);
        let process = Running::fixture("setpriv".as_ref(), &folder, &arguments);
        Self { process, pmap, folder }
    }

    /// Runs our pmap as the user, with `PID` in place of the process.
    fn pmap(&self, options: &str) -> String {
        let options = options.replace("PID", &self.process.pid.to_string());
        let mut command = Command::new("setpriv");
        command.args(SETPRIV).arg(&self.pmap).args(options.split_whitespace());
        let printed = Printed::from(command.output().expect("setpriv is installed"));
        printed.text() + &String::from_utf8_lossy(&printed.stderr)
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_hex(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_mode(word: &str) -> bool {
    word.len() == 5 && word.bytes().all(|byte| b"rwxs-".contains(&byte))
}

/// `PID:   command`.
fn is_head(line: &str) -> bool {
    line.split_once(':').is_some_and(|(pid, rest)| is_number(pid) && rest.starts_with("   "))
}

#[test]
fn without_arguments_the_usage_is_shown() {
    let user = Ordinary::new("usage");
    assert!(user.pmap("").contains("Usage:\n pmap [options] PID [PID ...]"));
}

#[test]
fn the_standard_output_has_items_and_a_total() {
    let user = Ordinary::new("standard");
    let text = user.pmap("PID");
    let lines: Vec<_> = text.lines().collect();
    let [head, items @ .., footer] = &lines[..] else { panic!("{text}") };
    assert!(is_head(head));
    for item in items {
        let words: Vec<_> = item.split_whitespace().collect();
        let kib = words[1].strip_suffix('K').expect("K for KiB");
        assert!(is_hex(words[0]) && is_number(kib) && is_mode(words[2]), "{item}");
    }
    let words: Vec<_> = footer.split_whitespace().collect();
    assert!(words[0] == "total" && words[1].strip_suffix('K').is_some_and(is_number), "{footer}");
    let quiet = user.pmap("-q PID");
    assert_eq!(quiet.lines().collect::<Vec<_>>(), &lines[..lines.len() - 1]);
}

#[test]
fn the_device_output_has_a_header_items_and_a_footer() {
    let user = Ordinary::new("device");
    let text = user.pmap("-d PID");
    let lines: Vec<_> = text.lines().collect();
    let [head, header, items @ .., footer] = &lines[..] else { panic!("{text}") };
    assert!(is_head(head));
    let headings: Vec<_> = header.split_whitespace().collect();
    assert_eq!(headings, ["Address", "Kbytes", "Mode", "Offset", "Device", "Mapping"]);
    for item in items {
        let words: Vec<_> = item.split_whitespace().collect();
        let (major, minor) = words[4].split_once(':').expect("a device");
        assert!(
            is_hex(words[0]) && is_number(words[1]) && is_mode(words[2]) && is_hex(words[3]),
            "{item}"
        );
        assert!(is_hex(major) && major.len() == 3 && is_hex(minor) && minor.len() == 5, "{item}");
    }
    assert!(
        footer.starts_with("mapped: ")
            && footer.contains("    writeable/private: ")
            && footer.contains("    shared: ")
    );
    for quiet in ["-dq PID", "-qd PID"] {
        let text = user.pmap(quiet);
        let quiet: Vec<_> = text.lines().collect();
        assert_eq!(quiet[0], *head);
        assert_eq!(quiet[1..], *items);
    }
}

#[test]
fn the_extended_output_has_a_header_items_and_a_footer() {
    let user = Ordinary::new("extended");
    let text = user.pmap("-x PID");
    let lines: Vec<_> = text.lines().collect();
    let [head, header, items @ .., rule, footer] = &lines[..] else { panic!("{text}") };
    assert!(is_head(head));
    let headings: Vec<_> = header.split_whitespace().collect();
    assert_eq!(headings, ["Address", "Kbytes", "RSS", "Dirty", "Mode", "Mapping"]);
    for item in items {
        let words: Vec<_> = item.split_whitespace().collect();
        assert!(
            is_hex(words[0]) && words[1..4].iter().all(|word| is_number(word)) && is_mode(words[4]),
            "{item}"
        );
    }
    assert!(rule.bytes().all(|byte| b" -".contains(&byte)));
    let words: Vec<_> = footer.split_whitespace().collect();
    assert!(
        words[..2] == ["total", "kB"] && words[2..].iter().all(|word| is_number(word)),
        "{footer}"
    );
}

#[test]
fn the_long_outputs_have_a_header_and_a_footer_of_equals_signs() {
    let user = Ordinary::new("long");
    for format in ["-X", "-XX"] {
        let text = user.pmap(&format!("{format} PID"));
        let lines: Vec<_> = text.lines().collect();
        let [head, header, _items @ .., rule, sums] = &lines[..] else { panic!("{text}") };
        assert!(is_head(head) && header.trim_start().starts_with("Address Perm"));
        assert!(rule.contains("===") && rule.bytes().all(|byte| b" =".contains(&byte)));
        assert!(sums.ends_with("KB "), "{sums}");
    }
}

#[test]
fn a_process_out_of_reach_shows_its_name_alone() {
    let user = Ordinary::new("reach");
    for format in ["-X", "-XX"] {
        let text = user.pmap(&format!("{format} 1"));
        assert!(
            is_head(text.lines().next().unwrap_or_default()) && text.lines().count() == 1,
            "{text}"
        );
    }
}

#[test]
fn a_process_twice_has_the_same_total_twice() {
    let user = Ordinary::new("twice");
    for format in ["-X", "-XX"] {
        let text = user.pmap(&format!("{format} PID PID"));
        let totals: Vec<_> = text.lines().filter(|line| line.ends_with("KB ")).collect();
        assert!(totals.len() == 2 && totals[0] == totals[1], "{totals:?}");
    }
}

#[test]
fn shared_memory_is_found_by_its_id_and_by_its_address() {
    let user = Ordinary::new("shm");
    let text = user.pmap("PID");
    let line = text.lines().find(|line| line.contains("[ shmid=0x")).expect("a segment");
    let address = line.split_whitespace().next().expect("an address");
    let name = line.split("[ shmid").nth(1).expect("an id");
    for (format, rows) in [("", 1), ("-x", 1)] {
        let text = user.pmap(&format!("{format} -A {address} PID"));
        let found: Vec<_> = text.lines().filter(|line| line.starts_with(address)).collect();
        assert!(found.len() == rows && found[0].contains(name), "{format}: {text}");
    }
    let text = user.pmap(&format!("-X -A {address} PID"));
    let rows: Vec<_> = text.lines().skip(2).take_while(|line| !line.contains("==")).collect();
    assert!(
        rows.len() == 1 && rows[0].trim_start().starts_with(address.trim_start_matches('0')),
        "{text}"
    );
}

#[test]
fn names_of_the_kernel_are_printed() {
    let user = Ordinary::new("kernel-names");
    for option in ["--use-kernel-name", "-k"] {
        let text = user.pmap(&format!("{option} PID"));
        assert!(
            text.lines().any(|line| line.ends_with("[vdso]") || line.ends_with("[vsyscall]")),
            "{text}"
        );
    }
}
