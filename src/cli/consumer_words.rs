//! Parsers for names, positions and durations in the arguments of `consumers`.

use std::time::Duration;

use crate::{domain::Time, log::StartAt};

/// Parses the name of a consumer.
pub(super) fn name(text: &str) -> Result<String, &'static str> {
    let is_of = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = text.starts_with(|first: char| first.is_ascii_lowercase());
    match begins && (2..=32).contains(&text.len()) && text.bytes().all(is_of) {
        true => Ok(text.to_owned()),
        false => Err("expected a letter a-z and then 1 to 31 of a-z, 0-9 and -"),
    }
}

/// Parses the point from which a consumer reads.
pub(super) fn start(text: &str) -> Result<StartAt, &'static str> {
    match text {
        "start" => Ok(StartAt::First),
        "now" => Ok(StartAt::Now),
        _ => {
            let time = || text.parse::<Time>().ok().map(StartAt::Time);
            let found = text.parse().ok().map(StartAt::Position).or_else(time);
            found.ok_or("expected `start`, `now`, a position, or a time like 2026-11-28T12:00:00Z")
        }
    }
}

/// Parses a duration of at most ten years.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const BAD: &str = "expected a number and a unit: 30s, 15m, 24h or 90d";
    let unit = text.chars().last().ok_or(BAD)?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| BAD)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(BAD),
    };
    let whole = number.checked_mul(seconds).filter(|whole| (1..=315_360_000).contains(whole));
    whole.map(Duration::from_secs).ok_or("expected at least one second and at most ten years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_or_refused() {
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for bad in ["", "s", "1", "0s", "-1s", "1w", "999999999999999999d", "1\u{e9}"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(start("12"), Ok(StartAt::Position(12)));
        assert!(matches!(start("2026-11-28T12:00:00Z"), Ok(StartAt::Time(_))));
        for bad in ["", "end", "-1", "yesterday"] {
            assert!(start(bad).is_err(), "{bad}");
        }
        assert!(name("t1").is_ok() && name("a-b").is_ok());
        for bad in ["", "a", "1a", "A1", "a.b", "a*", "t>", "a b", "aé"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
