//! What a machine's console says: only the guest's marker lines count.

use std::time::Duration;

/// How one case came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It exited with 0.
    Pass,
    /// It says that this kernel is not for it.
    Skip,
    /// Anything else.
    Fail,
}

/// One case that ran to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// How long it ran.
    pub(super) seconds: u64,
    /// Its last line, for a skip or a failure.
    pub(super) reason: String,
    /// All that it printed.
    pub(super) output: String,
}

/// What a machine did.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) outcomes: Vec<Outcome>,
    /// Why the machine ended before its last case, where it did.
    pub(super) cut_short: Option<String>,
    /// From the start of QEMU to its end.
    pub(super) took: Duration,
}

impl Report {
    /// Reads the console: `CASE name`, what it printed, `RESULT name verdict seconds reason`, …, `DONE`.
    pub(super) fn read(console: &str, timed_out: bool, took: Duration) -> Self {
        let mut outcomes = Vec::new();
        let mut output = String::new();
        let mut done = false;
        for line in console.lines().map(|line| line.trim_end_matches('\r')) {
            if line.starts_with("CASE ") {
                output.clear();
            } else if let Some(outcome) = line.strip_prefix("RESULT ").and_then(result) {
                outcomes.push(Outcome { output: std::mem::take(&mut output), ..outcome });
            } else if line == "DONE" {
                done = true;
            } else {
                output.push_str(line);
                output.push('\n');
            }
        }
        let cut_short = (!done).then(|| {
            let why = if timed_out { "ran out of time" } else { "ended early" };
            let lines: Vec<&str> = output.lines().collect();
            format!(
                "{why}; its console ends with\n{}",
                lines[lines.len().saturating_sub(30)..].join("\n")
            )
        });
        Self { outcomes, cut_short, took }
    }

    /// The outcome of a case, where it came to one.
    pub(super) fn outcome(&self, name: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.name == name)
    }
}

/// A marker line without its first word.
fn result(line: &str) -> Option<Outcome> {
    let mut words = line.splitn(4, ' ');
    let name = words.next()?.to_owned();
    let verdict = match words.next()? {
        "pass" => Verdict::Pass,
        "skip" => Verdict::Skip,
        "fail" => Verdict::Fail,
        _ => return None,
    };
    let seconds = words.next()?.parse().ok()?;
    let reason = words.next().unwrap_or("").to_owned();
    Some(Outcome { name, verdict, seconds, reason, output: String::new() })
}

#[cfg(test)]
mod tests {
    use super::{Report, Verdict};
    use std::time::Duration;

    #[test]
    fn each_case_has_its_own_output() {
        let console = "boot\r\nCASE a\r\none\r\nRESULT a pass 3\r\nCASE b\r\ntwo\r\n\
                       RESULT b skip 0 no such hook\r\nDONE\r\n";
        let report = Report::read(console, false, Duration::ZERO);
        let seen: Vec<_> = report
            .outcomes
            .iter()
            .map(|one| (one.name.as_str(), one.verdict, one.reason.as_str(), one.output.as_str()))
            .collect();
        assert_eq!(
            seen,
            [("a", Verdict::Pass, "", "one\n"), ("b", Verdict::Skip, "no such hook", "two\n")]
        );
        assert!(report.cut_short.is_none());
    }

    #[test]
    fn a_machine_that_dies_is_cut_short_and_its_case_has_no_outcome() {
        let report = Report::read("CASE a\nKernel panic\n", false, Duration::ZERO);
        assert!(report.outcome("a").is_none());
        assert!(report.cut_short.is_some_and(|why| why.contains("Kernel panic")));
    }
}
