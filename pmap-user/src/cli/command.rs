//! The options as a [`clap::Command`], from which the manual page and the completions are made.
//!
//! It does not parse: clap has neither getopt's messages nor its abbreviations.

use clap::{Arg, ArgAction, Command, ValueHint};

use super::options::{Group, Id, OPTIONS, Opt};
use super::usage::DOUBLE_X;

/// The command with every option that the help lists.
pub fn command() -> Command {
    let options = OPTIONS.iter().filter(|option| option.group != Group::Hidden).map(argument);
    Command::new("pmap")
        .version(env!("CARGO_PKG_VERSION"))
        .about("report memory map of a process, and follow its changes")
        .override_usage(
            "pmap [options] PID [PID ...]\n       pmap --follow [options] PID [PID ...]\n       pmap --follow [options] -- COMMAND [ARGUMENT ...]",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(options)
        .arg(
            Arg::new("PID")
                .action(ArgAction::Append)
                .help("A process id, or a thread's, or /proc/PID; with --follow, -- and a command with its arguments instead"),
        )
}

/// One option.
fn argument(option: &Opt) -> Arg {
    let name = option.long.unwrap_or("X");
    let mut argument = Arg::new(name).help_heading(match option.group {
        Group::Procps | Group::ProcpsEnd | Group::Hidden => "Options",
        Group::Later => "Options of procps-ng 4.0.6",
        Group::Ours => "Options of this pmap",
    });
    argument = match option.long {
        Some(long) => argument.long(long),
        None => argument,
    };
    argument = match option.short {
        Some(letter) => argument.short(char::from(letter)),
        None => argument,
    };
    let help = match (option.id, option.note) {
        (Id::Details, note) => {
            format!("{}; twice: {DOUBLE_X}. {}", option.help, note.unwrap_or_default())
        }
        (_, Some(note)) => format!("{}. {note}", option.help),
        (_, None) => option.help.to_owned(),
    };
    argument = argument.help(help);
    match option.value {
        None if option.id == Id::Details => argument.action(ArgAction::Count),
        None => argument.action(ArgAction::SetTrue),
        Some(value) => {
            let argument = argument.action(ArgAction::Set).value_name(match option.id {
                Id::Range => "low[,high]",
                _ => value,
            });
            match option.id {
                Id::ReadRcFrom | Id::CreateRcTo => argument.value_hint(ValueHint::FilePath),
                Id::Color => argument.value_parser(["auto", "always", "never"]),
                _ => argument,
            }
        }
    }
}
