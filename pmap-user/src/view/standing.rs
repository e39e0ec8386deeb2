//! What is said of a live table above its mappings.

use std::{io::Write as _, time::Duration};

/// Where a live table stands when it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Number of the address space.
    pub space: u64,
    /// The version that it shows.
    pub version: u64,
    /// How many versions the kernel is ahead of it.
    pub behind: u64,
    /// Whether something of it is going to be read again.
    pub in_doubt: bool,
    /// Age of its figures of smaps; `None` where they have not been read.
    pub smaps_age: Option<Duration>,
}

impl Standing {
    /// Appends a line for the eye.
    pub(super) fn push_text(&self, out: &mut Vec<u8>, pid: u32) {
        let mut line = format!("# live table of process {pid}, version {}", self.version);
        if self.behind > 0 {
            line += &format!(", {} behind the kernel", self.behind);
        }
        if self.in_doubt {
            line += ", being read again";
        }
        line += "; figures of smaps: ";
        match self.smaps_age {
            Some(age) => line += &format!("{:.1} s old\n", age.as_secs_f64()),
            None => line += "not yet read\n",
        }
        out.extend_from_slice(line.as_bytes());
    }

    /// Appends a field `live`, as `docs/json.md` has it.
    pub(super) fn push_json(&self, out: &mut Vec<u8>) {
        let Self { space, version, behind, in_doubt, smaps_age } = self;
        let age = smaps_age.map_or("null".into(), |age| age.as_millis().to_string());
        // A vector takes everything.
        let _ = write!(
            out,
            ",\"live\":{{\"space\":{space},\"version\":{version},\"behind\":{behind},\
             \"in_doubt\":{in_doubt},\"smaps_age_ms\":{age}}}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURE: Standing = Standing {
        space: 7,
        version: 26,
        behind: 0,
        in_doubt: false,
        smaps_age: Some(Duration::from_millis(1250)),
    };
    const UNSURE: Standing = Standing { behind: 3, in_doubt: true, smaps_age: None, ..SURE };

    fn pushed(push: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_line() {
        assert_eq!(
            pushed(|out| SURE.push_text(out, 9)),
            "# live table of process 9, version 26; figures of smaps: 1.2 s old\n"
        );
        assert_eq!(
            pushed(|out| UNSURE.push_text(out, 9)),
            "# live table of process 9, version 26, 3 behind the kernel, being read again; \
             figures of smaps: not yet read\n"
        );
    }

    #[test]
    fn the_field() {
        assert_eq!(
            pushed(|out| SURE.push_json(out)),
            r#","live":{"space":7,"version":26,"behind":0,"in_doubt":false,"smaps_age_ms":1250}"#
        );
        assert_eq!(
            pushed(|out| UNSURE.push_json(out)),
            r#","live":{"space":7,"version":26,"behind":3,"in_doubt":true,"smaps_age_ms":null}"#
        );
    }
}
