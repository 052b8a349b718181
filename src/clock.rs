//! Time and ids. They are passed down from the caller, so that a test can set the time.

use std::sync::Arc;

use time::OffsetDateTime;
use uuid::{Timestamp, Uuid};

use crate::domain::Time;

/// A source of time and ids. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> OffsetDateTime + Send + Sync>);

impl Clock {
    /// The clock of this machine.
    #[expect(clippy::disallowed_methods, reason = "this is where the time of the machine comes in")]
    pub fn system() -> Self {
        Self(Arc::new(OffsetDateTime::now_utc))
    }

    /// Another clock, for tests.
    pub fn new(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    pub fn now(&self) -> Time {
        Time::of((self.0)())
    }

    /// The time now in nanoseconds since 1970, for the spans of traces.
    pub(crate) fn unix_nanos(&self) -> u64 {
        u64::try_from((self.0)().unix_timestamp_nanos()).unwrap_or(0)
    }

    /// A new id of any kind, ordered by time.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where ids are made, of the time that the clock tells"
    )]
    pub fn id<T>(&self, kind: impl FnOnce(Uuid) -> T) -> T {
        let now = (self.0)();
        let seconds = now.unix_timestamp().try_into().unwrap_or_default();
        kind(Uuid::new_v7(Timestamp::from_unix(uuid::NoContext, seconds, now.nanosecond())))
    }
}

/// A unique name on which no decision depends, for a request, a consumer or a process.
#[expect(clippy::disallowed_methods, reason = "no test has to foresee such a name")]
pub(crate) fn name() -> Uuid {
    Uuid::now_v7()
}
