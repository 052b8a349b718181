//! The claims of a signed token, and whether the token is accepted.

use aws_lc_rs::{
    digest::{Context, SHA256},
    hmac,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{LoginId, Time},
    issuers::Issuer,
};

/// The maximum length of `sub`, `sid` and `jti` in bytes (the limit of OpenID Connect for `sub`).
const MOST_TEXT: usize = 255;
/// The maximum length of a copied name, in bytes.
const MOST_COPIED: usize = 1024;

/// A user of an issuer, as a token proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proven {
    /// The name of the issuer.
    pub(crate) iss: String,
    /// The name of the user at the issuer.
    pub(crate) subject: String,
    /// The session at the issuer, if the token names it.
    pub(crate) session: Option<String>,
    /// The login of the token when it is used directly. It is the same for all tokens of a session.
    pub(crate) login: LoginId,
    /// The time at which the issuer created the token.
    pub(crate) issued_at: Time,
    /// The time at which the token expires, without leeway.
    pub(crate) expires_at: Time,
    /// The user name that the issuer suggests.
    pub(crate) username: Option<String>,
    /// The display name that the issuer suggests.
    pub(crate) display_name: Option<String>,
    /// The roles that follow from the user's groups.
    pub(crate) roles: Vec<String>,
}

impl Proven {
    /// A number that identifies the user as a holder of places to begin a login.
    pub(crate) fn holder(&self) -> u128 {
        login(&[&self.iss, "holder", &self.subject]).uuid().as_u128()
    }

    /// A keyed hash of the issuer and the subject. It distinguishes users without revealing who they are.
    pub(crate) fn origin_hash(&self, pepper: &[u8; 32]) -> String {
        let mut hash = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, pepper));
        hash.update(format!("{}|{}", self.iss, self.subject).as_bytes());
        BASE64URL.encode(hash.sign())
    }
}

/// Why a signed token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    Invalid,
    Expired,
}

pub(super) type Claims = Map<String, Value>;

/// Checks the claims of a signed token.
pub(super) fn judge(issuer: &Issuer, claims: &Claims, now: Time) -> Result<Proven, Unfit> {
    let Times { issued, expires } = times(issuer, claims, now)?;
    let is_for_us = is_named(claims.get("aud"), &issuer.audience) && !is_of_another_kind(issuer, claims);
    let has_all = issuer.required.iter().all(|(name, wanted)| holds(claims, name, wanted));
    if !(is_for_us && has_all && are_printable(claims)) {
        return Err(Unfit::Invalid);
    }
    let subject = text(claims, "sub").ok_or(Unfit::Invalid)?;
    let (session, id) = (text(claims, "sid"), text(claims, "jti"));
    let iat = issued.to_string();
    let login = match (&session, &id) {
        // The user is included, so that two users with the same session never share a login.
        (Some(sid), _) => login(&[&issuer.iss, "sid", sid, &subject]),
        (None, Some(jti)) => login(&[&issuer.iss, "jti", jti, &subject]),
        // The time is included, so that a user who was logged out can come back with a later token.
        (None, None) => login(&[&issuer.iss, "sub", &subject, &iat]),
    };
    let copied = |name: &str| {
        let text = find(claims, name)?.as_str()?.trim();
        (!text.is_empty() && text.len() <= MOST_COPIED).then(|| text.to_owned())
    };
    let groups = issuer.groups.iter().filter(|(group, _)| holds(claims, "groups", group));
    let mut roles: Vec<_> = groups.map(|(_, role)| role.clone()).collect();
    roles.sort_unstable();
    roles.dedup();
    Ok(Proven {
        iss: issuer.iss.clone(),
        subject,
        session,
        login,
        issued_at: time(issued).ok_or(Unfit::Invalid)?,
        expires_at: time(expires).ok_or(Unfit::Invalid)?,
        username: copied(&issuer.username_claim),
        display_name: copied(&issuer.display_name_claim),
        roles,
    })
}

struct Times {
    issued: i64,
    expires: i64,
}

/// The times of a token. `iat` and `exp` are required. A string is not accepted as a time.
fn times(issuer: &Issuer, claims: &Claims, now: Time) -> Result<Times, Unfit> {
    let seconds = |name: &str| claims.get(name).map(|value| seconds(value).ok_or(Unfit::Invalid)).transpose();
    let issued = seconds("iat")?.ok_or(Unfit::Invalid)?;
    let expires = seconds("exp")?.ok_or(Unfit::Invalid)?;
    let begins = seconds("nbf")?.unwrap_or(issued).max(issued);
    let now = now.unix_seconds();
    let lives_too_long = !(0..=issuer.max_life).contains(&expires.saturating_sub(issued));
    if lives_too_long || begins > now.saturating_add(issuer.leeway) {
        return Err(Unfit::Invalid);
    }
    if now > expires.saturating_add(issuer.leeway) {
        return Err(Unfit::Expired);
    }
    Ok(Times { issued, expires })
}

/// A time of RFC 7519: a number of seconds, which may have a fraction.
pub(super) fn seconds(value: &Value) -> Option<i64> {
    const YEAR_10000: f64 = 253_402_300_800.0;
    if let Some(whole) = value.as_i64() {
        return Some(whole);
    }
    let seconds = value.as_f64()?;
    // In this range, the cast only drops the fraction.
    #[allow(clippy::cast_possible_truncation)]
    (0.0..YEAR_10000).contains(&seconds).then_some(seconds as i64)
}

pub(super) fn time(seconds: i64) -> Option<Time> {
    OffsetDateTime::from_unix_timestamp(seconds).ok().map(Time::of)
}

/// A claim that is a nonempty string of at most [`MOST_TEXT`] bytes.
pub(super) fn text(claims: &Claims, name: &str) -> Option<String> {
    claims.get(name)?.as_str().filter(|text| (1..=MOST_TEXT).contains(&text.len())).map(str::to_owned)
}

/// Whether the names of the user, the session and the token have no control characters. Postgres cannot store all of
/// them.
pub(super) fn are_printable(claims: &Claims) -> bool {
    let text = |name: &&str| claims.get(*name).and_then(Value::as_str);
    !["sub", "sid", "jti"].iter().filter_map(text).any(|text| text.contains(char::is_control))
}

/// Whether a string, or a string in a list, is one of these names.
pub(super) fn is_named(value: Option<&Value>, names: &[String]) -> bool {
    let is_one = |value: &Value| value.as_str().is_some_and(|text| names.iter().any(|name| name == text));
    match value {
        Some(Value::Array(values)) => values.iter().any(is_one),
        Some(value) => is_one(value),
        None => false,
    }
}

/// Whether a token of the issuer has another purpose, such as an ID token or a logout token. Keycloak writes the kind
/// into `typ`.
fn is_of_another_kind(issuer: &Issuer, claims: &Claims) -> bool {
    let kind = claims.get("typ").and_then(Value::as_str);
    let is_id_token = ["nonce", "at_hash", "c_hash"].iter().any(|name| claims.contains_key(*name))
        || kind.is_some_and(|kind| kind.eq_ignore_ascii_case("ID"));
    let is_other = claims.contains_key("events")
        || kind.is_some_and(|kind| {
            ["Refresh", "Offline", "Logout"].iter().any(|other| kind.eq_ignore_ascii_case(other))
        });
    is_other || (is_id_token && !issuer.accept_id_tokens)
}

/// Whether a claim is this string, or a list that contains it.
fn holds(claims: &Claims, name: &str, wanted: &str) -> bool {
    match find(claims, name) {
        Some(Value::Array(values)) => values.iter().any(|value| value.as_str() == Some(wanted)),
        Some(value) => value.as_str() == Some(wanted),
        None => false,
    }
}

/// A claim by its name, or by a path with dots (`realm_access.roles`). A name may itself contain dots.
fn find<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}

/// An id of version 7, made from a hash of these texts. Its time has no meaning.
fn login(parts: &[&str]) -> LoginId {
    let mut hash = Context::new(&SHA256);
    hash.update(b"verbatim: login of an external token");
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
    // The first bit is 0, so that the time is before the year 10000.
    bytes[0] &= 0x7f;
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    LoginId::known(Uuid::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::issuers::file;

    const NOW: i64 = 1_764_300_000;

    fn issuer(more: &str) -> Issuer {
        let text =
            format!("[[issuer]]\niss = \"https://id.example\"\naudience = [\"chat\", \"app\"]\n{more}");
        file::parse(&text, "verbatim").expect("a file").remove(0)
    }

    fn good() -> Value {
        json!({
            "iss": "https://id.example", "aud": "chat", "sub": "u1", "iat": NOW, "exp": NOW + 300, "sid": "s1",
            "jti": "j1", "preferred_username": "ana", "name": "Ana María", "email": "ana@example.com",
        })
    }

    fn judged(issuer: &Issuer, changes: Value) -> Result<Proven, Unfit> {
        let mut claims = good().as_object().expect("an object").clone();
        for (name, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => claims.remove(name),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
        judge(issuer, &claims, time(NOW).expect("a time"))
    }

    #[test]
    fn a_good_token_tells_its_user() {
        let proven = judged(&issuer(""), json!({})).expect("a user");
        assert_eq!((&*proven.iss, &*proven.subject), ("https://id.example", "u1"));
        assert_eq!(proven.session.as_deref(), Some("s1"));
        assert_eq!(
            (proven.username.as_deref(), proven.display_name.as_deref()),
            (Some("ana"), Some("Ana María"))
        );
        assert_eq!((proven.issued_at.unix_seconds(), proven.expires_at.unix_seconds()), (NOW, NOW + 300));
        assert!(proven.login.to_string().parse::<LoginId>().is_ok(), "an id like ours: {}", proven.login);
    }

    #[test]
    fn a_login_is_a_session_else_a_token() {
        let issuer = issuer("");
        let login = |changes| judged(&issuer, changes).expect("a user").login;
        assert_eq!(login(json!({})), login(json!({ "jti": "j2", "iat": NOW - 9 })), "one session");
        assert_ne!(login(json!({})), login(json!({ "sid": "s2" })));
        assert_eq!(login(json!({ "sid": null })), login(json!({ "sid": null, "iat": NOW - 9 })), "one token");
        assert_ne!(login(json!({ "sid": null })), login(json!({ "sid": null, "jti": "j2" })));
        let neither = json!({ "sid": null, "jti": null });
        assert_ne!(login(neither.clone()), login(json!({ "sid": null, "jti": null, "sub": "u2" })));
        assert_ne!(login(neither), login(json!({ "sid": null, "jti": null, "iat": NOW - 9 })));
        assert_ne!(login(json!({ "sid": "x", "jti": null })), login(json!({ "sid": null, "jti": "x" })));
    }

    #[test]
    fn a_token_for_others_or_of_another_kind_does_not_count() {
        let issuer = issuer("required = { \"groups\" = \"chat\" }");
        let with = |changes: Value| {
            let mut changes = changes;
            let groups = changes.as_object().expect("an object").contains_key("groups");
            if !groups {
                changes["groups"] = json!(["chat"]);
            }
            judged(&issuer, changes).err()
        };
        for changes in [
            json!({}),
            json!({ "aud": ["other", "app"] }),
            json!({ "groups": "chat" }),
            json!({ "groups": ["a", "chat"] }),
            json!({ "typ": "Bearer" }),
            json!({ "exp": NOW as f64 + 299.5 }),
            json!({ "exp": NOW - 30, "iat": NOW - 60 }),
            json!({ "iat": NOW + 30, "exp": NOW + 60 }),
            json!({ "nbf": NOW + 30 }),
            json!({ "exp": NOW + 86_400 }),
        ] {
            assert_eq!(with(changes.clone()), None, "{changes}");
        }
        for changes in [
            json!({ "aud": null }),
            json!({ "aud": "other" }),
            json!({ "aud": [] }),
            json!({ "aud": [7] }),
            json!({ "aud": { "chat": true } }),
            json!({ "aud": "Chat" }),
            json!({ "groups": "chatter" }),
            json!({ "groups": [] }),
            json!({ "groups": { "chat": true } }),
            json!({ "sub": null }),
            json!({ "sub": "" }),
            json!({ "sub": 7 }),
            json!({ "sub": "u".repeat(256) }),
            json!({ "sub": "u\0" }),
            json!({ "sid": "s\0" }),
            json!({ "jti": "j\n" }),
            json!({ "nonce": "n" }),
            json!({ "at_hash": "h" }),
            json!({ "typ": "ID" }),
            json!({ "typ": "Refresh" }),
            json!({ "typ": "Logout" }),
            json!({ "events": {} }),
            json!({ "exp": null }),
            json!({ "exp": (NOW + 300).to_string() }),
            json!({ "exp": [NOW + 300] }),
            json!({ "exp": 1e300 }),
            json!({ "exp": -1.5 }),
            json!({ "exp": NOW + 86_401 }),
            json!({ "exp": NOW + 30 * 86_400 }),
            json!({ "exp": i64::MAX }),
            json!({ "exp": NOW - 1 }),
            json!({ "iat": null }),
            json!({ "iat": "1" }),
            json!({ "iat": NOW + 31, "exp": NOW + 60 }),
            json!({ "nbf": NOW + 31 }),
            json!({ "nbf": "1" }),
        ] {
            assert_eq!(with(changes.clone()), Some(Unfit::Invalid), "{changes}");
        }
        assert_eq!(with(json!({ "exp": NOW - 31, "iat": NOW - 60 })), Some(Unfit::Expired));
    }

    #[test]
    fn an_id_token_counts_where_the_operator_says_so() {
        let issuer = issuer("accept_id_tokens = true");
        assert!(judged(&issuer, json!({ "nonce": "n", "at_hash": "h", "typ": "ID" })).is_ok());
        assert_eq!(judged(&issuer, json!({ "events": {} })).err(), Some(Unfit::Invalid));
    }

    #[test]
    fn a_claim_is_found_by_its_name_or_by_a_path() {
        let issuer = issuer(
            "required = { \"realm_access.roles\" = \"chat\", \"https://app.example/plan\" = \"pro\" }\n\
             groups = { \"chat-admins\" = \"operator\" }\nusername_claim = \"profile.nick\"",
        );
        let claims = json!({
            "realm_access": { "roles": ["chat"] }, "https://app.example/plan": "pro", "groups": ["chat-admins"],
            "profile": { "nick": " zoë " },
        });
        let proven = judged(&issuer, claims.clone()).expect("a user");
        assert_eq!((proven.username.as_deref(), proven.roles), (Some("zoë"), vec!["operator".to_owned()]));
        let mut without = claims;
        without["realm_access"] = json!({ "roles": [] });
        assert_eq!(judged(&issuer, without).err(), Some(Unfit::Invalid));
    }
}
