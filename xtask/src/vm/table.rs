//! The result: a line a case, a column a machine, each case's seconds in the cell.

use super::report::{Outcome, Report, Verdict};

/// What is known of one machine.
pub(super) enum Column {
    /// Its kernel could not be had.
    NotTried(String),
    /// It has not been booted yet.
    Waiting(String),
    /// It has been booted.
    Ended(String, Report),
}

impl Column {
    /// The machine's name.
    pub(super) fn label(&self) -> &str {
        match self {
            Self::NotTried(label) | Self::Waiting(label) | Self::Ended(label, _) => label,
        }
    }

    fn verdict(&self, case: &str) -> Option<Verdict> {
        match self {
            Self::NotTried(_) => Some(Verdict::Skip),
            Self::Waiting(_) => None,
            Self::Ended(_, report) => report.outcome(case).map(|outcome| outcome.verdict),
        }
    }

    fn cell(&self, case: &str) -> String {
        match self {
            Self::NotTried(_) => "not tried".to_owned(),
            Self::Waiting(_) => "no result".to_owned(),
            Self::Ended(_, report) => match report.outcome(case) {
                Some(Outcome { verdict: Verdict::Pass, seconds, .. }) => {
                    format!("pass {seconds:4}")
                }
                Some(Outcome { verdict: Verdict::Skip, .. }) => "skip".to_owned(),
                Some(Outcome { verdict: Verdict::Fail, seconds, .. }) => {
                    format!("FAIL {seconds:4}")
                }
                None => "no result".to_owned(),
            },
        }
    }
}

/// Every case in every machine.
pub(super) struct Table {
    cases: Vec<String>,
    columns: Vec<Column>,
}

impl Table {
    /// A table of these cases.
    pub(super) fn new(cases: Vec<String>, columns: Vec<Column>) -> Self {
        Self { cases, columns }
    }

    /// Whether a case failed, or came to no result in a machine that was booted.
    pub(super) fn failed(&self) -> bool {
        self.columns.iter().any(|column| {
            let bad = |verdict| matches!(verdict, None | Some(Verdict::Fail));
            self.cases.iter().any(|case| bad(column.verdict(case)))
        })
    }

    /// Prints what every case of every machine printed.
    pub(super) fn print_outputs(&self) {
        for (label, report) in self.ended() {
            for outcome in &report.outcomes {
                println!("--- {label}\n{}", outcome.output.trim_end());
            }
        }
    }

    /// Prints what the failed cases printed and the reasons of the skips, then the table.
    pub(super) fn print(&self) {
        for (label, report) in self.ended() {
            for outcome in &report.outcomes {
                match outcome.verdict {
                    Verdict::Pass => {}
                    Verdict::Skip => {
                        println!("{label}: {} skipped: {}", outcome.name, outcome.reason);
                    }
                    Verdict::Fail => {
                        let output = outcome.output.trim_end();
                        println!("{label}: {} failed: {}\n{output}", outcome.name, outcome.reason);
                    }
                }
            }
            if let Some(why) = &report.cut_short {
                println!("{label}: {why}");
            }
        }
        let first = self.cases.iter().map(String::len).max().unwrap_or(0).max("seconds".len());
        let widths: Vec<usize> =
            self.columns.iter().map(|column| column.label().len().max("not tried".len())).collect();
        let line = |name: &str, cells: Vec<String>| {
            let mut line = format!("{name:first$}");
            for (cell, width) in cells.iter().zip(&widths) {
                line.push_str(&format!("  {cell:width$}"));
            }
            println!("{}", line.trim_end());
        };
        println!();
        line("", self.columns.iter().map(|column| column.label().to_owned()).collect());
        for case in &self.cases {
            line(case, self.columns.iter().map(|column| column.cell(case)).collect());
        }
        line("seconds", self.columns.iter().map(seconds).collect());
    }

    fn ended(&self) -> impl Iterator<Item = (&str, &Report)> {
        self.columns.iter().filter_map(|column| match column {
            Column::Ended(label, report) => Some((label.as_str(), report)),
            Column::NotTried(_) | Column::Waiting(_) => None,
        })
    }
}

fn seconds(column: &Column) -> String {
    match column {
        Column::Ended(_, report) => format!("{:.1}", report.took.as_secs_f64()),
        Column::NotTried(_) | Column::Waiting(_) => String::new(),
    }
}
