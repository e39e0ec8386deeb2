//! The rc file: which columns `-c` and `-C` show.
//!
//! Its form is procps's: sections in brackets, a key a line, `#` before a comment.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The longest line, in bytes.
const LONGEST_LINE: usize = 1024;

/// What an rc file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rc {
    /// The fields to show, as they are spelt in the headings.
    pub fields: Vec<Vec<u8>>,
    /// Whether whole paths are shown where they were not, and the other way round.
    pub toggles_path: bool,
    /// What was odd about it; none of it keeps the rest from being used.
    pub complaints: Vec<Complaint>,
}

/// Something odd in a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    what: Oddity,
    line: usize,
}

/// What can be odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Oddity {
    Section,
    Syntax,
    Length,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Oddity::Section => "unsupported section found in the config",
            Oddity::Syntax => "syntax error found in the config",
            Oddity::Length => "config line too long",
        };
        write!(f, "{what} - line {}", self.line)
    }
}

/// The section that a line stands in.
#[derive(Clone, Copy)]
enum Section {
    None,
    Fields,
    Mapping,
    Unsupported,
}

/// Parses an rc file; any bytes.
pub fn parse(text: &[u8]) -> Rc {
    let mut rc = Rc::default();
    let mut section = Section::None;
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let mut complain = |what| rc.complaints.push(Complaint { what, line: index + 1 });
        if line.len() >= LONGEST_LINE {
            complain(Oddity::Length);
        }
        let line = &line[..line.len().min(LONGEST_LINE)];
        let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
        let mut rest = trim_start(line);
        if is_over(rest) {
            continue;
        }
        if rest[0] == b'[' {
            if let Some(tail) = rest.strip_prefix(b"[Fields Display]") {
                (section, rest) = (Section::Fields, tail);
            } else if let Some(tail) = rest.strip_prefix(b"[Mapping]") {
                (section, rest) = (Section::Mapping, tail);
            } else if let Some(close) = rest.iter().position(|&byte| byte == b']') {
                (section, rest) = (Section::Unsupported, &rest[close + 1..]);
                complain(Oddity::Section);
            } else {
                complain(Oddity::Syntax);
                continue;
            }
            rest = trim_start(rest);
            if is_over(rest) {
                continue;
            }
            complain(Oddity::Syntax);
        }
        let mut words =
            rest.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let word = words.next().unwrap_or_default();
        let has_tail = words.next().is_some_and(|tail| tail[0] != b'#');
        match section {
            Section::None => complain(Oddity::Syntax),
            Section::Unsupported => {}
            Section::Fields | Section::Mapping => {
                if has_tail {
                    complain(Oddity::Syntax);
                }
                if matches!(section, Section::Fields) {
                    rc.fields.push(word.to_vec());
                } else {
                    rc.toggles_path ^= word == b"ShowPath";
                }
            }
        }
    }
    rc
}

fn trim_start(text: &[u8]) -> &[u8] {
    let count = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[count..]
}

/// Whether nothing but a comment follows.
fn is_over(text: &[u8]) -> bool {
    matches!(text.first(), None | Some(b'#'))
}

/// Why a template was not written.
#[derive(Debug)]
pub enum CreateError {
    /// There is a file already.
    Exists,
    /// The system refused.
    Io(io::Error),
}

/// Writes the template to a new file at `path`.
pub fn create(path: &Path) -> Result<(), CreateError> {
    if File::open(path).is_ok() {
        return Err(CreateError::Exists);
    }
    File::create(path).and_then(|mut file| file.write_all(TEMPLATE)).map_err(CreateError::Io)
}

/// The template of procps: every field, commented out.
pub const TEMPLATE: &[u8] = b"# pmap's Config File

# All the entries are case sensitive.
# Unsupported entries are ignored!

[Fields Display]

# To enable a field uncomment its entry

#Perm
#Offset
#Device
#Inode
#Size
#Rss
#Pss
#Shared_Clean
#Shared_Dirty
#Private_Clean
#Private_Dirty
#Referenced
#Anonymous
#AnonHugePages
#Swap
#KernelPageSize
#MMUPageSize
#Locked
#VmFlags
#Mapping


[Mapping]

# to show paths in the mapping column uncomment the following line
#ShowPath

";
