//! The help, made from the table of options.

use super::options::{Group, OPTIONS, Opt};

/// What procps-ng 4.0.2 prints for `--help`, byte for byte, with the name under which we were called.
pub fn procps_usage(program: &str) -> String {
    let mut text = format!("\nUsage:\n {program} [options] PID [PID ...]\n\nOptions:\n");
    push_group(&mut text, Group::Procps);
    text.push('\n');
    for option in OPTIONS.iter().filter(|option| option.group == Group::ProcpsEnd) {
        text += &format!(" {:<14} {}\n", names(option), option.help);
    }
    text += "\nFor more details see pmap(1).\n";
    text
}

/// The whole help: procps's first, then what we have more.
pub fn help(program: &str) -> String {
    let mut text = procps_usage(program);
    text += "\nOptions of procps-ng 4.0.6:\n";
    push_group(&mut text, Group::Later);
    text += "\nOptions of this pmap:\n";
    push_group(&mut text, Group::Ours);
    text += &format!(
        "\nFollowing:\n {program} --follow [options] PID [PID ...]\n {program} --follow [options] -- COMMAND [ARGUMENT ...]\n"
    );
    text += " SIGUSR1 prints the mappings as -x, -d, -X, -XX, -c, -q, -p, -k and -A say.\n";
    text
}

/// What `-V` prints.
pub fn version() -> String {
    format!("pmap {} (compatible with pmap from procps-ng 4.0.2)\n", env!("CARGO_PKG_VERSION"))
}

/// Appends the options of one heading.
fn push_group(text: &mut String, group: Group) {
    for option in OPTIONS.iter().filter(|option| option.group == group) {
        *text += &format!(" {:<27} {}\n", names(option), option.help);
        if let Some(note) = option.note {
            *text += &format!("            {note}\n");
        }
        if option.short == Some(b'X') {
            *text += &format!(" {:<27} {}\n", "-XX", DOUBLE_X);
        }
    }
}

/// The help of `-X` given twice, which is no option of its own.
pub(super) const DOUBLE_X: &str = "show everything the kernel provides";

/// `-x, --extended`, with its argument.
fn names(option: &Opt) -> String {
    let short = option.short.map(|letter| format!("-{}", char::from(letter)));
    let long = option.long.map(|long| {
        let value = option.value.map_or(String::new(), |value| match value {
            // This one closes its own brackets.
            value if value.ends_with(']') => format!("=<{value}"),
            value => format!("=<{value}>"),
        });
        format!("--{long}{value}")
    });
    match (short, long) {
        (Some(short), Some(long)) => format!("{short}, {long}"),
        (Some(short), None) => short,
        (None, long) => format!("    {}", long.unwrap_or_default()),
    }
}
