//! Times for people to read: UTC with milliseconds. A time never decides the order of events.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::datetime};

/// A point in time in UTC, whole milliseconds, `2026-11-24T13:10:00.000Z` in JSON. It is in the years 1 to
/// 9999: JSON, Postgres and its clients write other years differently or not at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(OffsetDateTime);

impl Time {
    /// The first time.
    pub const MIN: Self = Self(datetime!(0001-01-01 0:00 UTC));
    /// The last time.
    pub const MAX: Self = Self(datetime!(9999-12-31 23:59:59.999 UTC));

    /// A time in UTC, truncated to milliseconds. A time that is too early or too late becomes [`Time::MIN`]
    /// or [`Time::MAX`].
    pub fn of(time: OffsetDateTime) -> Self {
        Self::exactly(time).unwrap_or(if time.year() < 5_000 { Self::MIN } else { Self::MAX })
    }

    /// A time in UTC, truncated to milliseconds; `None` if the time is too early or too late. Converted to
    /// UTC, a time can be in a year that even the `time` crate does not support.
    fn exactly(time: OffsetDateTime) -> Option<Self> {
        let utc = time.checked_to_offset(UtcOffset::UTC)?;
        let cut = utc.replace_nanosecond(utc.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(utc);
        (Self::MIN.0..=Self::MAX.0).contains(&cut).then_some(Self(cut))
    }

    /// The time in the type that Postgres takes.
    pub fn datetime(self) -> OffsetDateTime {
        self.0
    }

    /// Whole seconds since 1970.
    pub fn unix_seconds(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// The time `while_` later; at most [`Time::MAX`].
    pub fn plus(self, while_: std::time::Duration) -> Self {
        Self::of(self.0.saturating_add(Duration::try_from(while_).unwrap_or(Duration::MAX)))
    }

    /// The time `while_` earlier; at least [`Time::MIN`].
    pub fn minus(self, while_: std::time::Duration) -> Self {
        Self::of(self.0.saturating_sub(Duration::try_from(while_).unwrap_or(Duration::MAX)))
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        (self.0 - earlier.0).try_into().unwrap_or_default()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.0;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.millisecond()
        )
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATime;

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a time: it must be in RFC 3339, like 2026-11-24T13:10:00Z, from the year 1 to 9999 in UTC, without leap \
             seconds",
        )
    }
}

impl std::error::Error for NotATime {}

impl std::str::FromStr for Time {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        // The parser takes a leap second for the end of the second before, which is another time.
        if text.get(17..19) == Some("60") {
            return Err(NotATime);
        }
        OffsetDateTime::parse(text, &Rfc3339).ok().and_then(Self::exactly).ok_or(NotATime)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_milliseconds_in_utc() {
        let time: Time = "2026-11-24T15:10:00.123987+02:00".parse().expect("time");
        assert_eq!(time.to_string(), "2026-11-24T13:10:00.123Z");
        assert_eq!(serde_json::to_string(&time).expect("json"), "\"2026-11-24T13:10:00.123Z\"");
    }

    #[test]
    fn a_time_lies_in_the_years_1_to_9999_of_utc() {
        for (text, written) in [
            ("0001-01-01T00:00:00Z", Time::MIN.to_string()),
            ("9999-12-31T23:59:59.9999+00:00", Time::MAX.to_string()),
            ("9999-12-31T23:59:59-00:00", "9999-12-31T23:59:59.000Z".into()),
            ("0000-12-31T23:59:59-23:59", "0001-01-01T23:58:59.000Z".into()),
        ] {
            assert_eq!(text.parse::<Time>().map(|time| time.to_string()), Ok(written), "{text}");
        }
        for text in [
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:60-00:01",
            "2016-12-31T23:59:60Z",
            "2017-01-01T01:59:60+02:00",
            "0001-01-01T00:00:00+00:01",
            "0000-06-01T00:00:00Z",
            "0000-01-01T00:00:00+23:59",
            "10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-24",
            "",
        ] {
            assert_eq!(text.parse::<Time>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn reckoning_ends_at_the_first_and_the_last_time() {
        let forever = std::time::Duration::MAX;
        assert_eq!((Time::MIN.plus(forever), Time::MAX.plus(forever)), (Time::MAX, Time::MAX));
        assert_eq!(Time::MIN.since(Time::MAX), std::time::Duration::ZERO);
        assert!(Time::MAX.since(Time::MIN).as_secs() > 315_000_000_000);
        for offset in [UtcOffset::from_hms(-23, 59, 0), UtcOffset::from_hms(23, 59, 0)] {
            let offset = offset.expect("an offset");
            assert!(Time::of(datetime!(9999-12-31 23:59:59.999999 UTC).replace_offset(offset)) <= Time::MAX);
            assert!(Time::of(datetime!(0001-01-01 0:00 UTC).replace_offset(offset)) >= Time::MIN);
        }
    }
}
