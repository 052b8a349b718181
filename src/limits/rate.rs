//! A limit in the notation of the settings: `300/60:30` or `off`.

use std::{fmt, str::FromStr, time::Duration};

use super::gcra::Pace;

/// A rate limit: `quota` units in `seconds` in the long run, and `burst` units at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The units of a window.
    pub quota: u32,
    /// The window, in seconds.
    pub seconds: u32,
    /// The most units at once.
    pub burst: u32,
}

/// The most units of a window, and of a burst.
const MOST: u32 = 1_000_000;
/// The longest window, and the longest time in which a budget fills: 31 days.
const LONGEST: u32 = 31 * 24 * 60 * 60;

impl Rate {
    /// The time in which the budget grows by one unit.
    pub fn interval(self) -> Duration {
        Duration::from_secs(self.seconds.into()) / self.quota.max(1)
    }

    pub(super) fn pace(self) -> Pace {
        Pace::new(self.quota, u64::from(self.seconds) * 1_000_000_000, self.burst)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.quota, self.seconds, self.burst)
    }
}

/// The limit that an operator sets for a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyLimit {
    /// No limit.
    Off,
    /// A limit. Without a burst, the default's burst applies, but never more than the quota.
    Of {
        /// The units of a window.
        quota: u32,
        /// The window, in seconds.
        seconds: u32,
        /// The most units at once.
        burst: Option<u32>,
    },
}

impl PolicyLimit {
    /// Parses a limit that must not be `off`.
    pub fn never_off(text: &str) -> Result<Self, BadLimit> {
        match text.parse()? {
            Self::Off => Err(BadLimit::Off),
            limit => Ok(limit),
        }
    }

    /// The rate of a policy whose default is `default`; `None` without a limit.
    pub(super) fn of(self, default: Rate) -> Option<Rate> {
        match self {
            Self::Off => None,
            Self::Of { quota, seconds, burst } => {
                Some(Rate { quota, seconds, burst: burst.unwrap_or(default.burst.min(quota)) })
            }
        }
    }
}

impl From<Rate> for PolicyLimit {
    fn from(Rate { quota, seconds, burst }: Rate) -> Self {
        Self::Of { quota, seconds, burst: Some(burst) }
    }
}

impl fmt::Display for PolicyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Of { quota, seconds, burst: Some(burst) } => write!(f, "{quota}/{seconds}:{burst}"),
            Self::Of { quota, seconds, burst: None } => write!(f, "{quota}/{seconds}"),
        }
    }
}

/// The reason why a text is not a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLimit {
    /// The text does not have the form of a limit.
    #[error(
        "not a rate limit: write QUOTA/SECONDS or QUOTA/SECONDS:BURST in whole numbers, like `300/60:30`, or `off`"
    )]
    Form,
    /// The text is `off` for a limit that must not be off.
    #[error(
        "this rate limit cannot be `off`, because it protects passwords: write a high limit, like `1000/60:1000`"
    )]
    Off,
    /// A number is 0.
    #[error("a rate limit cannot have a 0: write `off` for no limit")]
    Zero,
    /// A number is too large.
    #[error(
        "the rate limit is too large: quota and burst are at most 1000000, and neither the window nor the time in \
         which the burst refills is longer than 31 days (2678400 s)"
    )]
    Large,
}

impl FromStr for PolicyLimit {
    type Err = BadLimit;

    fn from_str(text: &str) -> Result<Self, BadLimit> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let number = |text: &str| match text.parse::<u64>() {
            _ if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.is_empty() => Err(BadLimit::Form),
            Ok(0) => Err(BadLimit::Zero),
            Ok(number) => u32::try_from(number).map_err(|_| BadLimit::Large),
            Err(_) => Err(BadLimit::Large),
        };
        // People write `0` alone for `off` or for no requests at all, so it gets its own error.
        let (quota, rest) = match text.split_once('/') {
            Some(parts) => parts,
            None => return Err(number(text).err().unwrap_or(BadLimit::Form)),
        };
        let (seconds, burst) = match rest.split_once(':') {
            Some((seconds, burst)) => (seconds, Some(burst)),
            None => (rest, None),
        };
        let (quota, seconds) = (number(quota)?, number(seconds)?);
        let burst = burst.map(number).transpose()?;
        let fills = u64::from(burst.unwrap_or(1)) * u64::from(seconds) / u64::from(quota);
        let is_large = quota > MOST
            || burst.is_some_and(|burst| burst > MOST)
            || seconds > LONGEST
            || fills > u64::from(LONGEST);
        if is_large { Err(BadLimit::Large) } else { Ok(Self::Of { quota, seconds, burst }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PolicyLimit, BadLimit> {
        text.parse()
    }

    #[test]
    fn a_limit_is_read_as_it_is_written() {
        for text in ["300/60", "300/60:30", "1/3:2", "off", "1000000/1:1000000"] {
            assert_eq!(read(text).map(|limit| limit.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn nought_is_not_off_and_nonsense_is_refused() {
        for text in ["0", "0/60", "10/0", "10/60:0", "00/1"] {
            assert_eq!(read(text), Err(BadLimit::Zero), "{text}");
        }
        for text in [
            "",
            "10",
            "/",
            "10/",
            "/60",
            "-1/60",
            "+1/60",
            "1.5/60",
            "10/60:",
            "10/60:5:5",
            "Off",
            " off",
            "10/60s",
        ] {
            assert_eq!(read(text), Err(BadLimit::Form), "{text}");
        }
        for text in ["1000001/1", "1/2678401", "1/1:1000001", "1/2000000:2", "99999999999999999999999/1"] {
            assert_eq!(read(text), Err(BadLimit::Large), "{text}");
        }
    }

    #[test]
    fn a_limit_that_has_to_be_there_is_not_off() {
        assert_eq!(PolicyLimit::never_off("off"), Err(BadLimit::Off));
        assert_eq!(PolicyLimit::never_off("0"), Err(BadLimit::Zero));
        assert_eq!(PolicyLimit::never_off("10/60:5").ok(), read("10/60:5").ok());
    }

    #[test]
    fn a_burst_that_is_not_written_is_that_of_the_default() {
        let default = Rate { quota: 300, seconds: 60, burst: 30 };
        let of = |text: &str| read(text).expect("a limit").of(default).map(|rate| rate.to_string());
        assert_eq!(of("600/60").as_deref(), Some("600/60:30"));
        assert_eq!(of("5/60").as_deref(), Some("5/60:5"));
        assert_eq!(of("5/60:9").as_deref(), Some("5/60:9"));
        assert_eq!(of("off"), None);
    }
}
