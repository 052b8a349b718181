//! Logout tokens: an issuer says that a user has logged out there (OpenID Connect Back-Channel Logout 1.0).

use serde_json::Value;

use crate::{
    domain::Time,
    issuers::{
        Issuer,
        claims::{Claims, are_printable, is_named, seconds, text, time},
    },
};

/// The accepted types of logout tokens. The specification recommends the first; Keycloak writes the second.
pub(super) const TYPES: [&str; 3] = ["logout+jwt", "JWT", ""];

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The maximum age of a logout token without `exp`, in seconds.
const MOST_AGE: i64 = 120;

/// The sessions that a logout token ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedOut {
    /// The name of the issuer.
    pub(crate) iss: String,
    /// The sessions that end.
    pub(crate) ends: Ends,
    /// The id of the logout token, which can be used only once.
    pub(crate) id: String,
    /// The time of the logout. Tokens created until then are no longer accepted.
    pub(crate) at: Time,
    /// The time by which the last earlier token has expired.
    pub(crate) until: Time,
}

/// The sessions that end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ends {
    /// One session.
    Session(String),
    /// All sessions of a user.
    User(String),
}

/// Checks the claims of a signed logout token.
pub(super) fn judge(issuer: &Issuer, claims: &Claims, now: Time) -> Option<LoggedOut> {
    let events = claims.get("events")?.as_object()?;
    // A token with `nonce` could be an ID token.
    let is_logout = events.get(EVENT).is_some_and(Value::is_object) && !claims.contains_key("nonce");
    let number = |name: &str| claims.get(name).map(|value| seconds(value).ok_or(())).transpose().ok();
    let issued = number("iat")??;
    let expires = number("exp")?.unwrap_or(issued.saturating_add(MOST_AGE));
    let at = now.unix_seconds();
    let lives = expires.saturating_sub(issued);
    let is_in_time = (0..=issuer.max_life).contains(&lives)
        && issued <= at.saturating_add(issuer.leeway)
        && at <= expires.saturating_add(issuer.leeway);
    let is_for_us = is_named(claims.get("aud"), &issuer.logout_audience) && are_printable(claims);
    if !(is_logout && is_in_time && is_for_us) {
        return None;
    }
    let ends = match (text(claims, "sid"), text(claims, "sub")) {
        (Some(session), _) => Ends::Session(session),
        (None, Some(user)) => Ends::User(user),
        (None, None) => return None,
    };
    let longest = issuer.max_life + 2 * issuer.leeway;
    Some(LoggedOut {
        iss: issuer.iss.clone(),
        ends,
        id: text(claims, "jti")?,
        at: time(issued)?,
        until: time(at.max(issued) + longest)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::issuers::file;

    const NOW: i64 = 1_764_300_000;

    fn judged(changes: Value) -> Option<LoggedOut> {
        let text =
            "[[issuer]]\niss = \"https://id.example\"\naudience = [\"chat\"]\nlogout_audience = [\"web\"]";
        let issuer = file::parse(text, "verbatim").expect("a file").remove(0);
        let mut claims = json!({
            "iss": "https://id.example", "aud": "web", "iat": NOW, "exp": NOW + 120, "jti": "j", "sid": "s", "sub": "u",
            "events": { EVENT: {} },
        });
        for (name, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        judge(&issuer, claims.as_object().expect("an object"), time(NOW).expect("a time"))
    }

    #[test]
    fn a_logout_token_ends_a_session_else_all_of_the_user() {
        assert_eq!(judged(json!({})).expect("it counts").ends, Ends::Session("s".into()));
        assert_eq!(judged(json!({ "sub": null })).expect("it counts").ends, Ends::Session("s".into()));
        assert_eq!(judged(json!({ "sid": null })).expect("it counts").ends, Ends::User("u".into()));
        assert!(judged(json!({ "exp": null, "iat": NOW - 140 })).is_some(), "within the leeway");
    }

    #[test]
    fn what_is_no_logout_token_ends_nothing() {
        for changes in [
            json!({ "sid": null, "sub": null }),
            json!({ "events": null }),
            json!({ "events": {} }),
            json!({ "events": { EVENT: true } }),
            json!({ "events": [EVENT] }),
            json!({ "nonce": "n" }),
            json!({ "aud": "chat" }),
            json!({ "aud": null }),
            json!({ "jti": null }),
            json!({ "jti": "j\0" }),
            json!({ "sub": "u\0" }),
            json!({ "sid": "s\0" }),
            json!({ "iat": null }),
            json!({ "iat": NOW.to_string() }),
            json!({ "iat": NOW + 31 }),
            json!({ "exp": "soon" }),
            json!({ "exp": NOW - 31, "iat": NOW - 60 }),
            json!({ "exp": NOW + 86_401 }),
            json!({ "exp": null, "iat": NOW - 151 }),
        ] {
            assert_eq!(judged(changes.clone()), None, "{changes}");
        }
    }
}
