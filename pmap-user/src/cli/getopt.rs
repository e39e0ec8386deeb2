//! What was typed: GNU `getopt_long`'s reading of a command line, its messages included.
//!
//! Long names may be abbreviated, short ones grouped, and options may follow operands. It differs in one point:
//! where an abbreviation fits an option of procps and one of ours, that of procps 4.0.2 is meant.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::options::{Id, OPTIONS, Opt};

/// One thing on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// An option, with its argument where it takes one.
    Option(Id, OsString),
    /// Anything else.
    Operand(OsString),
    /// All that follows a `--`.
    Rest(Vec<OsString>),
}

/// A command line in the middle of being read.
pub(super) struct Words<'a> {
    program: &'a [u8],
    words: &'a [OsString],
    /// What is left of a group of short options.
    group: &'a [u8],
    /// `POSIXLY_CORRECT`: the first operand ends the options.
    options_first: bool,
    only_operands: bool,
}

/// What to say of a word that is no option: a line for standard error.
pub(super) type Complaint = Vec<u8>;

impl<'a> Words<'a> {
    /// From the whole of `argv`.
    pub(super) fn new(argv: &'a [OsString], options_first: bool) -> Self {
        let (program, words) = argv
            .split_first()
            .map_or((&b"pmap"[..], argv), |(first, rest)| (first.as_bytes(), rest));
        Self { program, words, group: &[], options_first, only_operands: false }
    }

    /// The next thing; after a complaint nothing more should be asked for.
    pub(super) fn next(&mut self) -> Option<Result<Typed, Complaint>> {
        if !self.group.is_empty() {
            return Some(self.next_short());
        }
        let (word, rest) = self.words.split_first()?;
        self.words = rest;
        let bytes = word.as_bytes();
        if self.only_operands || bytes == b"-" || !bytes.starts_with(b"-") {
            self.only_operands |= self.options_first;
            return Some(Ok(Typed::Operand(word.clone())));
        }
        if bytes == b"--" {
            return Some(Ok(Typed::Rest(std::mem::take(&mut self.words).to_vec())));
        }
        if let Some(long) = bytes.strip_prefix(b"--") {
            return Some(self.long(long));
        }
        self.group = &bytes[1..];
        Some(self.next_short())
    }

    /// The first letter of a group.
    fn next_short(&mut self) -> Result<Typed, Complaint> {
        let letter = self.group[0];
        self.group = &self.group[1..];
        let Some(option) = OPTIONS.iter().find(|option| option.short == Some(letter)) else {
            return Err(self.complain(&[b"invalid option -- '", &[letter], b"'"]));
        };
        if option.value.is_none() {
            return Ok(Typed::Option(option.id, OsString::new()));
        }
        let attached = std::mem::take(&mut self.group);
        if !attached.is_empty() {
            return Ok(Typed::Option(option.id, OsStr::from_bytes(attached).to_owned()));
        }
        match self.take_word() {
            Some(value) => Ok(Typed::Option(option.id, value)),
            None => Err(self.complain(&[b"option requires an argument -- '", &[letter], b"'"])),
        }
    }

    /// A long option, without its dashes.
    fn long(&mut self, word: &[u8]) -> Result<Typed, Complaint> {
        let (name, attached) = match word.iter().position(|&byte| byte == b'=') {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        };
        let option = match resolve(name) {
            Resolved::One(option) => option,
            Resolved::None => return Err(self.complain(&[b"unrecognized option '--", word, b"'"])),
            Resolved::Many(options) => {
                let mut possible = Vec::new();
                for option in options {
                    possible.extend_from_slice(b" '--");
                    possible.extend_from_slice(option.long.unwrap_or_default().as_bytes());
                    possible.push(b'\'');
                }
                let line: [&[u8]; 4] =
                    [b"option '--", word, b"' is ambiguous; possibilities:", &possible];
                return Err(self.complain(&line));
            }
        };
        let full = option.long.unwrap_or_default().as_bytes();
        match (option.value, attached) {
            (None, None) => Ok(Typed::Option(option.id, OsString::new())),
            (None, Some(_)) => {
                Err(self.complain(&[b"option '--", full, b"' doesn't allow an argument"]))
            }
            (Some(_), Some(value)) => {
                Ok(Typed::Option(option.id, OsString::from_vec(value.to_vec())))
            }
            (Some(_), None) => match self.take_word() {
                Some(value) => Ok(Typed::Option(option.id, value)),
                None => Err(self.complain(&[b"option '--", full, b"' requires an argument"])),
            },
        }
    }

    /// The next word, whatever it looks like.
    fn take_word(&mut self) -> Option<OsString> {
        let (word, rest) = self.words.split_first()?;
        self.words = rest;
        Some(word.clone())
    }

    fn complain(&self, parts: &[&[u8]]) -> Complaint {
        [&[self.program, b": "], parts].concat().concat()
    }
}

/// Which options a name fits.
enum Resolved {
    None,
    One(&'static Opt),
    Many(Vec<&'static Opt>),
}

/// Finds the option that is called `name`, or whose name alone starts so.
fn resolve(name: &[u8]) -> Resolved {
    let named = |option: &&Opt| option.long.is_some_and(|long| long.as_bytes().starts_with(name));
    let exact = |option: &&Opt| option.long.is_some_and(|long| long.as_bytes() == name);
    if let Some(option) = OPTIONS.iter().find(exact) {
        return Resolved::One(option);
    }
    let mut fitting: Vec<_> = OPTIONS.iter().filter(named).collect();
    if fitting.iter().any(|option| option.is_procps()) {
        fitting.retain(|option| option.is_procps());
    }
    fitting.sort_by_key(|option| GETOPT_ORDER.iter().position(|&id| id == option.id));
    match fitting[..] {
        [] => Resolved::None,
        [option] => Resolved::One(option),
        _ => Resolved::Many(fitting),
    }
}

/// The order in which procps's own table has them, and so lists them where a name is ambiguous.
const GETOPT_ORDER: [Id; 11] = [
    Id::Extended,
    Id::Device,
    Id::Quiet,
    Id::Range,
    Id::Help,
    Id::Version,
    Id::ReadRc,
    Id::ReadRcFrom,
    Id::CreateRc,
    Id::CreateRcTo,
    Id::ShowPath,
];
