//! The difference of two lists of regions, address by address: how the kernel cuts a range into
//! regions does not show in it, what stands at each address does.

use super::space::Entry;

/// What became of a stretch of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not mapped before.
    Added(Entry),
    /// It is no longer mapped.
    Removed(Entry),
    /// It is mapped in another way: before, after.
    Changed(Entry, Entry),
    /// It is mapped as before.
    Kept(Entry),
}

/// A stretch of addresses with one verdict, as long as it can be.
pub type Piece = Verdict;

/// Adds the difference of two ascending lists to `pieces`.
pub(super) fn diff(
    old: impl Iterator<Item = Entry>,
    new: impl Iterator<Item = Entry>,
    pieces: &mut Vec<Piece>,
) {
    let from = pieces.len();
    let (mut old, mut new) = (old, new);
    let (mut a, mut b) = (old.next(), new.next());
    loop {
        let verdict = match (a, b) {
            (None, None) => break,
            (Some(x), None) => {
                a = old.next();
                Verdict::Removed(x)
            }
            (None, Some(y)) => {
                b = new.next();
                Verdict::Added(y)
            }
            (Some(x), Some(y)) if x.start < y.start => {
                let end = x.end.min(y.start);
                a = rest(x, end).or_else(|| old.next());
                Verdict::Removed(x.part(x.start, end))
            }
            (Some(x), Some(y)) if y.start < x.start => {
                let end = y.end.min(x.start);
                b = rest(y, end).or_else(|| new.next());
                Verdict::Added(y.part(y.start, end))
            }
            (Some(x), Some(y)) => {
                let end = x.end.min(y.end);
                a = rest(x, end).or_else(|| old.next());
                b = rest(y, end).or_else(|| new.next());
                let (x, y) = (x.part(x.start, end), y.part(y.start, end));
                if x == y { Verdict::Kept(x) } else { Verdict::Changed(x, y) }
            }
        };
        push(pieces, from, verdict);
    }
}

/// Adds that nothing changed.
pub(super) fn unchanged(entries: &[Entry], pieces: &mut Vec<Piece>) {
    let from = pieces.len();
    for entry in entries {
        push(pieces, from, Verdict::Kept(*entry));
    }
}

fn rest(entry: Entry, from: u64) -> Option<Entry> {
    (from < entry.end).then(|| entry.part(from, entry.end))
}

/// Adds a verdict, joined to the one before it (from `from` on) where it goes on.
fn push(pieces: &mut Vec<Piece>, from: usize, verdict: Verdict) {
    if pieces.len() > from
        && let Some(last) = pieces.last_mut()
    {
        match (last, verdict) {
            (Verdict::Added(x), Verdict::Added(y))
            | (Verdict::Removed(x), Verdict::Removed(y))
            | (Verdict::Kept(x), Verdict::Kept(y))
                if x.goes_on_in(&y) =>
            {
                x.end = y.end;
                return;
            }
            (Verdict::Changed(x, a), Verdict::Changed(y, b))
                if x.goes_on_in(&y) && a.goes_on_in(&b) =>
            {
                x.end = y.end;
                a.end = b.end;
                return;
            }
            _ => {}
        }
    }
    pieces.push(verdict);
}
