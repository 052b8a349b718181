//! The end of a certificate's validity, which is the only field that we parse ourselves (RFC 5280, section 4.1).

use time::{Date, Month, OffsetDateTime, Time};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;

/// The end of the validity of a certificate in DER. `None` if the bytes are not a certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<OffsetDateTime> {
    let mut whole = Der(certificate).inside(SEQUENCE)?;
    let mut signed = whole.inside(SEQUENCE)?;
    if signed.0.first() == Some(&VERSION) {
        signed.inside(VERSION)?;
    }
    signed.inside(INTEGER)?;
    let (_algorithm, _issuer) = (signed.inside(SEQUENCE)?, signed.inside(SEQUENCE)?);
    let mut validity = signed.inside(SEQUENCE)?;
    let (_from, (kind, until)) = (validity.value()?, validity.value()?);
    let (year, rest) = match kind {
        UTC_TIME => {
            let year = number(until.get(..2)?)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, until.get(2..)?)
        }
        GENERALIZED_TIME => (number(until.get(..4)?)?, until.get(4..)?),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8]
        .map(|at| rest.get(at..at + 2).and_then(number).and_then(|two| u8::try_from(two).ok()));
    let date = Date::from_calendar_date(year, Month::try_from(month?).ok()?, day?).ok()?;
    let time = Time::from_hms(hour?, minute?, second?).ok()?;
    if &rest[10..] == b"Z" { Some(OffsetDateTime::new_utc(date, time)) } else { None }
}

fn number(digits: &[u8]) -> Option<i32> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| 10 * number + i32::from(digit - b'0')))
}

/// The unread rest of a sequence of DER values.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the next value, with its tag.
    fn value(&mut self) -> Option<(u8, &'a [u8])> {
        let (&kind, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((kind, value))
    }

    fn inside(&mut self, kind: u8) -> Option<Self> {
        self.value().filter(|(found, _)| *found == kind).map(|(_, value)| Self(value))
    }
}
