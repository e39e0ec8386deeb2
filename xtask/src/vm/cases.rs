//! What runs in a machine: a case is a file `xtask/vm/cases/NAME.sh`.
//!
//! It exits with 0 for a pass and with 77 for a skip, and its last line of output says why.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// A name and a script.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) script: Vec<u8>,
}

/// The cases of the checkout, by name; or the one that runs `command`, where one is given.
pub(super) fn read(root: &Path, command: &[String]) -> Result<Vec<Case>> {
    if !command.is_empty() {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        let script = words.join(" ").into_bytes();
        return Ok(vec![Case { name: "command".to_owned(), script }]);
    }
    let folder = root.join("xtask/vm/cases");
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut cases = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
            bail!("a case's name must be plain text: rename {}", path.display());
        };
        let script = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        cases.push(Case { name: name.to_owned(), script });
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(cases)
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
