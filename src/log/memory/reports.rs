//! Whether the servers report their Raft logs to this process.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// What this process has learned about the reports so far. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::log) struct Reports(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The account of this process, which the request for a report names.
    account: OnceLock<String>,
    /// Whether there has been a report.
    have_come: AtomicBool,
    /// Whether this process has stopped asking, because there never was a report.
    are_given_up: AtomicBool,
    /// Whether a log line has told that there are none.
    is_told: AtomicBool,
}

impl Reports {
    pub(in crate::log) fn account(&self) -> &OnceLock<String> {
        &self.0.account
    }

    /// There was a report: from now on, silence is an outage.
    pub(in crate::log) fn came(&self) {
        self.0.have_come.store(true, Relaxed);
    }

    pub(in crate::log) fn have_come(&self) -> bool {
        self.0.have_come.load(Relaxed)
    }

    /// There never was a report, and this process asks for none any more.
    pub(in crate::log) fn give_up(&self) {
        self.0.are_given_up.store(true, Relaxed);
    }

    pub(in crate::log) fn are_given_up(&self) -> bool {
        self.0.are_given_up.load(Relaxed)
    }

    /// Whether this is the first time that somebody tells that there are no reports.
    pub(in crate::log) fn is_news(&self) -> bool {
        !self.0.is_told.swap(true, Relaxed)
    }
}
