//! Writes rate limits into the headers of a response, in the format of the IETF draft ratelimit-headers.

use std::fmt::Write as _;

use poem::http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::{AppliedPolicy, Noted};

/// The header with the limits that applied: `"send";q=300;w=60`.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The header with the remaining units of these limits: `"send";r=12;t=1`.
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Writes both headers, unless no limit applied.
pub(in crate::api) fn write(noted: &Noted, headers: &mut HeaderMap) {
    let (mut policies, mut left) = (String::new(), String::new());
    for AppliedPolicy { policy, rate, remaining, next } in noted.iter() {
        let between = if policies.is_empty() { "" } else { ", " };
        let word = policy.word();
        let seconds = next.as_secs() + u64::from(next.subsec_nanos() > 0);
        // Writing into a String does not fail.
        let _ = write!(policies, "{between}\"{word}\";q={};w={}", rate.quota, rate.seconds);
        let _ = write!(left, "{between}\"{word}\";r={remaining};t={seconds}");
    }
    for (name, value) in [(POLICY, policies), (LEFT, left)] {
        if let (false, Ok(value)) = (value.is_empty(), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}
