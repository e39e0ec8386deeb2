//! The fixture and `pmap --follow` beside it, compared at every quiet point.

use std::path::PathBuf;

use super::{Followed, Outcome, Replay, Summary, Target, stop};
use crate::common::{compile, require_root, scratch};

/// A followed fixture.
pub struct Pair {
    pub target: Target,
    pub followed: Followed,
    /// Where its files are.
    pub folder: PathBuf,
}

impl Pair {
    /// Starts both; `name` is the test's.
    pub fn start(name: &str, options: &[&str]) -> Self {
        Self::start_with(name, &[], options)
    }

    /// The same, with the fixture compiled with more flags.
    pub fn start_with(name: &str, flags: &[&str], options: &[&str]) -> Self {
        require_root();
        let folder = scratch(name);
        let target = Target::start(&compile("live", flags), &folder);
        let followed = Followed::process(target.pid(), options);
        Self { target, followed, folder }
    }

    /// Lets the fixture do something, and compares at every quiet point of it.
    #[track_caller]
    pub fn perform(&mut self, verb: &str) -> Outcome {
        let Self { target, followed, .. } = self;
        let pid = target.pid();
        target.perform(verb, |when| {
            let _stopped = stop(pid);
            followed.check(pid, when);
        })
    }

    /// The same, and it must be possible here.
    #[track_caller]
    pub fn check(&mut self, verb: &str) {
        assert_eq!(self.perform(verb), Outcome::Done, "{verb}");
    }

    /// Lets the fixture end; checks that nothing was lost or wrong, and that the stream alone
    /// leads from the first table to the last.
    #[track_caller]
    pub fn finish(mut self) -> Summary {
        let last = super::of_process(self.target.pid());
        let first = Replay::of_table(&self.followed.first);
        self.target.end();
        let summary = self.followed.finish();
        summary.assert_clean();
        let mut replay = first;
        let until = summary.changes.iter().take_while(|change| change["op"] != "exit");
        until.for_each(|change| replay.take(change));
        replay.assert_is(&last);
        summary
    }
}
