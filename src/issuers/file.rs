//! The file in which the operator describes issuers.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use thiserror::Error;

use crate::{
    issuers::{Issuer, issuer::Source},
    outbound::Target,
};

const MOST_BYTES: u64 = 256 * 1024;
const MOST_ISSUERS: usize = 64;
/// The maximum length of a text in the file, in bytes.
const MOST_TEXT: usize = 512;
/// The maximum number of entries of a list or a table.
const MOST_ENTRIES: usize = 64;

/// The accepted algorithms, all with a public key. `HS256` is not among them: an attacker could use a public key as its
/// shared secret.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// The roles that a group of an issuer can give to its members.
const GROUP_WORDS: [&str; 1] = ["operator"];

/// Why the file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct BadFile(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    issuer: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    iss: String,
    audience: Vec<String>,
    logout_audience: Option<Vec<String>>,
    jwks_url: Option<String>,
    #[serde(default = "algorithms")]
    algorithms: Vec<String>,
    #[serde(default = "types")]
    typ: Vec<String>,
    #[serde(default)]
    accept_id_tokens: bool,
    #[serde(default = "max_life")]
    max_life_s: i64,
    #[serde(default = "leeway")]
    leeway_s: i64,
    #[serde(default = "yes")]
    jit: bool,
    #[serde(default)]
    direct: bool,
    #[serde(default = "username_claim")]
    username_claim: String,
    #[serde(default = "display_name_claim")]
    display_name_claim: String,
    #[serde(default)]
    sync: bool,
    #[serde(default)]
    required: BTreeMap<String, String>,
    #[serde(default)]
    groups: BTreeMap<String, String>,
}

fn algorithms() -> Vec<String> {
    ["RS256", "ES256", "EdDSA"].map(str::to_owned).into()
}

fn types() -> Vec<String> {
    ["at+jwt", "JWT"].map(str::to_owned).into()
}

fn max_life() -> i64 {
    86_400
}

fn leeway() -> i64 {
    30
}

fn yes() -> bool {
    true
}

fn username_claim() -> String {
    "preferred_username".to_owned()
}

fn display_name_claim() -> String {
    "name".to_owned()
}

/// Reads the file. `ours` is the issuer name of Verbatim's own tokens, which no other issuer may have.
pub(super) fn read(file: &Path, ours: &str) -> Result<Vec<Issuer>, BadFile> {
    let unreadable = |why| BadFile(format!("{} cannot be read: {why}", file.display()));
    let size = fs::metadata(file).map_err(unreadable)?.len();
    if size > MOST_BYTES {
        return Err(BadFile(format!("{} has more than {MOST_BYTES} bytes: shorten it", file.display())));
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    parse(&text, ours).map_err(|BadFile(why)| BadFile(format!("{}: {why}", file.display())))
}

pub(super) fn parse(text: &str, ours: &str) -> Result<Vec<Issuer>, BadFile> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |at| text[..at.start.min(text.len())].matches('\n').count() + 1);
        BadFile(format!("line {line}: {}", error.message().replace('\n', ", ")))
    })?;
    if file.issuer.is_empty() {
        return Err(BadFile("there is no issuer: start one with `[[issuer]]`".into()));
    }
    if file.issuer.len() > MOST_ISSUERS {
        return Err(BadFile(format!("there are more than {MOST_ISSUERS} issuers: remove some")));
    }
    let mut seen = HashSet::new();
    let mut issuers = Vec::new();
    for entry in file.issuer {
        let iss = entry.iss.clone();
        let bad = |why: String| BadFile(format!("issuer `{iss}`: {why}"));
        if !seen.insert(entry.iss.clone()) {
            return Err(bad("it is described twice: remove one".into()));
        }
        if entry.iss == ours {
            return Err(bad("this is the issuer of this server's own tokens: use another".into()));
        }
        issuers.push(issuer(entry).map_err(bad)?);
    }
    Ok(issuers)
}

fn issuer(entry: Entry) -> Result<Issuer, String> {
    let tables = [&entry.required, &entry.groups];
    let in_tables = tables.iter().flat_map(|table| table.iter().flat_map(|(key, value)| [key, value]));
    let logout = entry.logout_audience.as_deref().unwrap_or_default();
    let in_lists = entry.audience.iter().chain(logout).chain(&entry.algorithms).chain(&entry.typ);
    let single = [&entry.iss, &entry.username_claim, &entry.display_name_claim];
    if in_tables.chain(in_lists).chain(single).any(|text| text.len() > MOST_TEXT) {
        return Err(format!("a text has at most {MOST_TEXT} bytes: shorten it"));
    }
    let lists = [entry.audience.len(), logout.len(), entry.algorithms.len(), entry.typ.len()];
    if lists.into_iter().chain(tables.map(BTreeMap::len)).any(|length| length > MOST_ENTRIES) {
        return Err(format!("a list or a table has at most {MOST_ENTRIES} entries: shorten it"));
    }
    if entry.iss.is_empty() {
        return Err("`iss` is empty: write the `iss` of the tokens".into());
    }
    if entry.audience.is_empty() || entry.audience.iter().any(String::is_empty) {
        return Err("`audience` is empty: name what the tokens for this server have in `aud`".into());
    }
    if entry.typ.is_empty() {
        return Err("`typ` is empty: name the types of the tokens, or leave it out".into());
    }
    let at = |name: &str, url: &str| Target::parse(url).map_err(|bad| format!("{name} {url}: {bad}"));
    let source = match &entry.jwks_url {
        Some(url) => Source::Keys(at("jwks_url", url)?),
        None => Source::Discovery(at("without `jwks_url`, the keys are found by", &discovery(&entry.iss))?),
    };
    let known = |name: &String| {
        let known = ALGORITHMS.iter().find(|(known, _)| known == name).map(|(_, algorithm)| *algorithm);
        let names = ALGORITHMS.map(|(name, _)| name).join(", ");
        known.ok_or_else(|| format!("the algorithm {name} is not accepted: use some of {names}"))
    };
    let algorithms = entry.algorithms.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    if algorithms.is_empty() {
        return Err("`algorithms` is empty: name those of the keys, or leave it out".into());
    }
    if !(1..=604_800).contains(&entry.max_life_s) {
        return Err("`max_life_s` is from 1 to 604800 (a week)".into());
    }
    if !(0..=300).contains(&entry.leeway_s) {
        return Err("`leeway_s` is from 0 to 300".into());
    }
    if let Some(word) = entry.groups.values().find(|word| !GROUP_WORDS.contains(&word.as_str())) {
        return Err(format!("a group cannot be mapped to `{word}`: use {}", GROUP_WORDS.join(", ")));
    }
    Ok(Issuer {
        iss: entry.iss,
        logout_audience: entry.logout_audience.unwrap_or_else(|| entry.audience.clone()),
        audience: entry.audience,
        source,
        algorithms,
        types: entry.typ,
        accept_id_tokens: entry.accept_id_tokens,
        max_life: entry.max_life_s,
        leeway: entry.leeway_s,
        jit: entry.jit,
        direct: entry.direct,
        username_claim: entry.username_claim,
        display_name_claim: entry.display_name_claim,
        sync: entry.sync,
        required: entry.required,
        groups: entry.groups,
    })
}

/// The address of an issuer's document (OpenID Connect Discovery 1.0, section 4).
fn discovery(iss: &str) -> String {
    format!("{}/.well-known/openid-configuration", iss.strip_suffix('/').unwrap_or(iss))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        [[issuer]]
        iss = "https://id.example.com/realms/acme"
        audience = ["verbatim"]
        jwks_url = "https://id.example.com/keys"
        algorithms = ["RS256", "ES256", "EdDSA"]
        typ = ["at+jwt", "JWT"]
        accept_id_tokens = true
        max_life_s = 3600
        leeway_s = 10
        jit = false
        direct = true
        username_claim = "nickname"
        display_name_claim = "given_name"
        sync = true
        required = { "groups" = "chat" }
        groups = { "chat-admins" = "operator" }
    "#;

    #[test]
    fn every_field_is_read_and_has_a_default() {
        let whole = parse(WHOLE, "verbatim").expect("a file").remove(0);
        assert!(
            matches!(&whole.source, Source::Keys(url) if url.to_string() == "https://id.example.com/keys")
        );
        assert_eq!(
            (whole.max_life, whole.leeway, whole.jit, whole.direct, whole.sync),
            (3600, 10, false, true, true)
        );
        assert_eq!((&*whole.username_claim, &*whole.display_name_claim), ("nickname", "given_name"));
        assert_eq!(whole.required.get("groups").map(String::as_str), Some("chat"));

        let least = "[[issuer]]\niss = \"https://tenant.auth0.example/\"\naudience = [\"https://chat\"]";
        let least = parse(least, "verbatim").expect("a file").remove(0);
        let found = "https://tenant.auth0.example/.well-known/openid-configuration";
        assert!(matches!(&least.source, Source::Discovery(url) if url.to_string() == found), "{least:?}");
        assert_eq!(least.algorithms, [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]);
        assert_eq!(least.types, ["at+jwt", "JWT"]);
        assert_eq!((least.max_life, least.leeway), (86_400, 30));
        assert!(least.jit && !least.direct && !least.sync && !least.accept_id_tokens);
        assert_eq!((&*least.username_claim, &*least.display_name_claim), ("preferred_username", "name"));
    }

    #[test]
    fn a_file_that_cannot_be_meant_is_refused_with_the_place() {
        let one =
            |more: &str| format!("[[issuer]]\niss = \"https://id.example\"\naudience = [\"chat\"]\n{more}");
        for (text, says) in [
            (String::new(), "no issuer"),
            ("nonsense".into(), "line 1"),
            (one("audiance = []"), "line 4: unknown field `audiance`"),
            ("[[issuers]]\niss = \"x\"".into(), "unknown field `issuers`"),
            ("[[issuer]]\niss = \"https://id.example\"".into(), "missing field `audience`"),
            ("[[issuer]]\niss = \"https://id.example\"\naudience = []".into(), "`audience` is empty"),
            ("[[issuer]]\niss = \"https://id.example\"\naudience = \"chat\"".into(), "line 3"),
            ("[[issuer]]\niss = \"\"\naudience = [\"chat\"]".into(), "`iss` is empty"),
            ("[[issuer]]\niss = \"acme\"\naudience = [\"chat\"]".into(), "without `jwks_url`"),
            ("[[issuer]]\niss = \"http://id.example\"\naudience = [\"chat\"]".into(), "https"),
            (one("jwks_url = \"http://id.example/keys\""), "https"),
            (one("jwks_url = \"https://a:b@id.example/keys\""), "must not have a user name"),
            (one("algorithms = [\"HS256\"]"), "HS256 is not accepted"),
            (one("algorithms = [\"none\"]"), "none is not accepted"),
            (one("algorithms = [\"rs256\"]"), "rs256 is not accepted"),
            (one("algorithms = []"), "`algorithms` is empty"),
            (one("typ = []"), "`typ` is empty"),
            (one("max_life_s = 0"), "max_life_s"),
            (one("max_life_s = 604801"), "max_life_s"),
            (one("leeway_s = -1"), "leeway_s"),
            (one("leeway_s = 301"), "leeway_s"),
            (one("jit = \"yes\""), "line 4"),
            (one("groups = { \"chat-admins\" = \"owner\" }"), "cannot be mapped to `owner`"),
            (one(&one("")), "described twice"),
            ("[[issuer]]\niss = \"verbatim\"\naudience = [\"chat\"]".into(), "own tokens"),
            (one(&format!("username_claim = \"{}\"", "x".repeat(513))), "at most 512 bytes"),
        ] {
            let refused = parse(&text, "verbatim").expect_err(&text).to_string();
            assert!(refused.contains(says), "{text}\n{refused}");
        }
    }
}
