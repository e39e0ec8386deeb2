use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::table::Verdict;

const PAGE: u64 = 4096;

fn entry(start: u64, pages: u64, what: u32, perms: u8) -> Entry {
    let offset = if what == 0 { 0 } else { start * PAGE };
    Entry {
        start: start * PAGE,
        end: (start + pages) * PAGE,
        offset,
        what: if what == 0 { What::default() } else { What::file(what) },
        perms: Perms::from_bits(perms),
    }
}

/// What stands on a page: what, which of its pages, with which permissions.
type Page = (What, u64, Perms);

/// The simple model: a page at a time.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pages(BTreeMap<u64, Page>);

impl Pages {
    fn replace(&mut self, lo: u64, hi: u64, entries: &[Entry]) {
        self.0.retain(|page, _| *page < lo || *page >= hi);
        for e in entries {
            for page in (e.start..e.end).step_by(PAGE as usize) {
                self.0.insert(page, (e.what, e.offset_at(page), e.perms));
            }
        }
    }

    fn of(space: &AddressSpace) -> Self {
        let mut pages = Self::default();
        let entries: Vec<_> = space.iter().collect();
        pages.replace(0, 0, &entries);
        pages
    }
}

/// Replays pieces on the pages of before: gives the pages of after, and says whether each piece
/// told the truth about before.
fn replay(before: &Pages, pieces: &[Piece]) -> Option<Pages> {
    let mut pages = before.clone();
    for piece in pieces {
        let (old, new) = match piece {
            Verdict::Added(y) => (None, Some(y)),
            Verdict::Removed(x) => (Some(x), None),
            Verdict::Changed(x, y) => (Some(x), Some(y)),
            Verdict::Kept(x) => (Some(x), Some(x)),
        };
        let at = old.or(new)?;
        for page in (at.start..at.end).step_by(PAGE as usize) {
            let value = |e: &Entry| (e.what, e.offset_at(page), e.perms);
            if pages.0.get(&page).copied() != old.map(value) {
                return None;
            }
            match new {
                Some(e) => pages.0.insert(page, value(e)),
                None => pages.0.remove(&page),
            };
        }
    }
    Some(pages)
}

/// Regions in ascending order inside 64 pages, and the range that they speak for.
fn observation() -> impl Strategy<Value = (u64, u64, Vec<Entry>)> {
    let step = (0u64..4, 1u64..6, 0u32..3, 0u8..16);
    (0u64..64, prop::collection::vec(step, 0..6), 0u64..5).prop_map(|(lo, steps, after)| {
        let mut at = lo;
        let mut entries = Vec::new();
        for (gap, pages, what, perms) in steps {
            entries.push(entry(at + gap, pages, what, perms));
            at += gap + pages;
        }
        (lo * PAGE, (at + after) * PAGE, entries)
    })
}

proptest! {
    /// Check that after any row of observations the table holds what the simple model holds, that
    /// the pieces lead from each state to the next, and that saying it again changes nothing.
    #[test]
    fn the_table_is_the_model(observations in prop::collection::vec(observation(), 1..24)) {
        let (mut space, mut pages) = (AddressSpace::default(), Pages::default());
        for (lo, hi, entries) in &observations {
            let before = pages.clone();
            let mut pieces = Vec::new();
            space.replace(*lo, *hi, entries, &mut pieces);
            pages.replace(*lo, *hi, entries);
            prop_assert_eq!(&Pages::of(&space), &pages);
            prop_assert_eq!(replay(&before, &pieces), Some(pages.clone()));
            prop_assert_eq!(space.bytes(), pages.0.len() as u64 * PAGE);
            let inside: Vec<_> = space.overlapping(*lo, *hi).collect();
            prop_assert!(entries.is_empty() || inside == *entries);

            let mut again = Vec::new();
            space.replace(*lo, *hi, entries, &mut again);
            prop_assert!(again.iter().all(|piece| matches!(piece, Verdict::Kept(_))));
            prop_assert_eq!(&Pages::of(&space), &pages);
        }
    }

    /// Check that regions never overlap and stand in order, whatever is told.
    #[test]
    fn regions_do_not_overlap(observations in prop::collection::vec(observation(), 1..24)) {
        let mut space = AddressSpace::default();
        for (lo, hi, entries) in &observations {
            space.replace(*lo, *hi, entries, &mut Vec::new());
            let regions: Vec<_> = space.iter().collect();
            prop_assert!(regions.iter().all(|r| r.start < r.end));
            prop_assert!(regions.windows(2).all(|w| w[0].end <= w[1].start));
        }
    }
}

/// Check that a mapping which the kernel merged with its neighbour is told as the new part alone.
#[test]
fn a_merge_is_an_addition() {
    let mut space = AddressSpace::default();
    space.replace(0, 100 * PAGE, &[entry(10, 2, 0, 3)], &mut Vec::new());
    let mut pieces = Vec::new();
    space.replace(10 * PAGE, 15 * PAGE, &[entry(10, 4, 0, 3)], &mut pieces);
    assert_eq!(pieces, [Verdict::Kept(entry(10, 2, 0, 3)), Verdict::Added(entry(12, 2, 0, 3))]);
    assert_eq!(space.len(), 1);
}

/// Check that a change in the middle of a file's mapping keeps the offsets of the parts.
#[test]
fn a_split_keeps_offsets() {
    let mut space = AddressSpace::default();
    space.replace(0, 100 * PAGE, &[entry(10, 6, 1, 1)], &mut Vec::new());
    let parts = [entry(10, 2, 1, 1), entry(12, 2, 1, 3), entry(14, 2, 1, 1)];
    let mut pieces = Vec::new();
    space.replace(10 * PAGE, 16 * PAGE, &parts, &mut pieces);
    assert_eq!(
        pieces,
        [
            Verdict::Kept(entry(10, 2, 1, 1)),
            Verdict::Changed(entry(12, 2, 1, 1), entry(12, 2, 1, 3)),
            Verdict::Kept(entry(14, 2, 1, 1)),
        ]
    );
}

/// Check that figures stay with a region that a change beside it leaves alone, and no longer.
#[test]
fn figures_stay_with_their_region() {
    let mut space = AddressSpace::default();
    let (a, b) = (entry(10, 2, 0, 3), entry(12, 2, 0, 1));
    space.replace(0, 100 * PAGE, &[a, b], &mut Vec::new());
    assert!(space.note_usage(a.start, a.end, 8, 4));
    assert!(space.note_usage(b.start, b.end, 8, 4));
    assert!(!space.note_usage(a.start, b.end, 8, 4));
    space.replace(10 * PAGE, 14 * PAGE, &[a, entry(12, 2, 0, 0)], &mut Vec::new());
    let usage: Vec<_> = space.iter_usage().map(|(_, u)| u).collect();
    assert_eq!(usage, [Some((8, 4)), None]);
}
