//! An endpoint: the checks of its settings, and what a delivery needs of it.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    credentials::{MasterKey, SignatureKind, WebhookSecret},
    domain::{ConversationId, Event, Lane, Time, UserId, WebhookId},
    hooks::StoredEndpoint,
    outbound::{BadTarget, Schemes, Target, is_header},
    webhooks::{sender::Sender, told::Told},
};

/// The most headers of an endpoint.
pub(crate) const MAX_HEADERS: usize = 10;
/// The most bytes of the value of a header.
const VALUE: usize = 1_024;
/// The most bytes of a description.
const DESCRIPTION: usize = 256;

/// Names of headers that belong to the connection, or that we set.
const RESERVED: [&str; 20] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// The settings of an endpoint, as a caller gives them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    /// Where events are sent.
    pub url: Option<String>,
    /// The types of events.
    pub types: Option<Vec<String>>,
    /// The lanes of events; none for all.
    pub lanes: Option<Vec<String>>,
    /// The conversations of events; none for all.
    pub conversations: Option<Vec<ConversationId>>,
    /// The service accounts that cause the events; none for all accounts.
    pub services: Option<Vec<UserId>>,
    /// Whether events of a conversation wait for one another.
    pub is_ordered: Option<bool>,
    /// Whether the data is left out.
    pub is_thin: Option<bool>,
    /// The requests in flight at once.
    pub concurrency: Option<u16>,
    /// The headers to send.
    pub headers: Option<Vec<(String, String)>>,
    /// A description for people.
    pub description: Option<String>,
}

/// A setting that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum BadEndpoint {
    /// The URL is not one that we may call.
    #[error("{}{}", .0, and_http(.0))]
    Url(#[from] BadTarget),
    /// There is no such type of events.
    #[error("unknown type of events: see the AsyncAPI document, or use `*` for all")]
    Type(usize),
    /// There is no such lane.
    #[error("unknown lane: use roster, timeline, receipts or control")]
    Lane(usize),
    /// The header belongs to the connection or to Verbatim, appears twice, or its value is not text.
    #[error(
        "the header cannot be sent: use another name, and a value of at most {VALUE} visible ASCII characters"
    )]
    Header(String),
    /// The number is too small or too large.
    #[error("must be 1 to 64")]
    Concurrency,
    /// The text is too long.
    #[error("must have at most {DESCRIPTION} bytes")]
    Description,
    /// There are no types.
    #[error("must have at least one type of events, or `*` for all")]
    NoTypes,
}

impl Shape {
    /// Checks every given setting.
    pub(super) fn check(&self, schemes: Schemes) -> Result<Option<Target>, BadEndpoint> {
        let parse = |url: &String| Target::parse_with(url, schemes == Schemes::HttpToo);
        let target = self.url.as_ref().map(parse).transpose()?;
        if let Some(types) = &self.types {
            if types.is_empty() {
                return Err(BadEndpoint::NoTypes);
            }
            let known = Event::types();
            let is_known = |word: &String| word == "*" || known.iter().any(|kind| kind.word == word);
            if let Some(at) = types.iter().position(|word| !is_known(word)) {
                return Err(BadEndpoint::Type(at));
            }
        }
        let is_lane = |word: &String| Lane::DURABLE.iter().any(|lane| lane.word() == word);
        if let Some(at) = self.lanes.iter().flatten().position(|word| !is_lane(word)) {
            return Err(BadEndpoint::Lane(at));
        }
        let mut names = HashSet::new();
        for (name, value) in self.headers.iter().flatten() {
            let lower = name.to_ascii_lowercase();
            let is_ours = ["webhook-", "verbatim-"].iter().any(|prefix| lower.starts_with(prefix));
            let is_text = value.len() <= VALUE && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            let is_good = !is_ours && !RESERVED.contains(&&*lower) && is_text && is_header(name, value);
            if !is_good || !names.insert(lower) {
                return Err(BadEndpoint::Header(name.clone()));
            }
        }
        if self.concurrency.is_some_and(|number| !(1..=64).contains(&number)) {
            return Err(BadEndpoint::Concurrency);
        }
        if self.description.as_ref().is_some_and(|text| text.len() > DESCRIPTION) {
            return Err(BadEndpoint::Description);
        }
        Ok(target)
    }

    /// Puts the given settings into an endpoint. Returns the names of the fields that differ now.
    pub(super) fn put_into(self, endpoint: &mut StoredEndpoint, master: &MasterKey) -> Vec<String> {
        let mut changed = Vec::new();
        let Self { url, types, lanes, conversations, services, is_ordered, is_thin, concurrency, .. } = self;
        put(&mut changed, "url", &mut endpoint.url, url);
        put(&mut changed, "types", &mut endpoint.types, types);
        put(&mut changed, "lanes", &mut endpoint.lanes, lanes);
        put(&mut changed, "conversations", &mut endpoint.conversations, conversations);
        put(&mut changed, "services", &mut endpoint.services, services);
        put(&mut changed, "order", &mut endpoint.is_ordered, is_ordered);
        put(&mut changed, "thin", &mut endpoint.is_thin, is_thin);
        put(&mut changed, "concurrency", &mut endpoint.concurrency, concurrency);
        put(&mut changed, "description", &mut endpoint.description, self.description);
        if let Some(headers) = self.headers {
            let names = headers.iter().map(|(name, _)| name.clone()).collect();
            endpoint.headers = seal_headers(endpoint.id, headers, master);
            endpoint.header_names = names;
            changed.push("headers".to_owned());
        }
        changed
    }
}

fn put<T: PartialEq>(changed: &mut Vec<String>, name: &str, field: &mut T, new: Option<T>) {
    if let Some(new) = new.filter(|new| new != field) {
        *field = new;
        changed.push(name.to_owned());
    }
}

#[derive(Serialize, Deserialize)]
struct Headers(Vec<(String, String)>);

fn seal_headers(id: WebhookId, headers: Vec<(String, String)>, master: &MasterKey) -> Vec<u8> {
    let text = serde_json::to_vec(&Headers(headers)).expect("texts are JSON");
    master.seal(&format!("webhook headers {id}"), &text)
}

/// Seals a secret of an endpoint.
pub(super) fn seal_secret(id: WebhookId, secret: &WebhookSecret, master: &MasterKey) -> Vec<u8> {
    master.seal(&format!("webhook secret {id}"), secret.bytes())
}

fn open_secret(
    id: WebhookId,
    kind: SignatureKind,
    sealed: &[u8],
    master: &MasterKey,
) -> Option<WebhookSecret> {
    WebhookSecret::known(kind, &master.open(&format!("webhook secret {id}"), sealed).ok()?)
}

fn open_headers(id: WebhookId, sealed: &[u8], master: &MasterKey) -> Option<Headers> {
    let text = master.open(&format!("webhook headers {id}"), sealed).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Replaces the secret of an endpoint. The old one also signs until `until`.
///
/// What another master key has sealed can never be opened again, so it is dropped: an old secret, and all headers.
/// Returns the names of dropped headers.
pub(super) fn put_secret(
    endpoint: &mut StoredEndpoint,
    secret: &WebhookSecret,
    until: Time,
    master: &MasterKey,
) -> Vec<String> {
    let id = endpoint.id;
    let old = std::mem::replace(&mut endpoint.secret, seal_secret(id, secret, master));
    let opens = SignatureKind::named(&endpoint.signature)
        .is_some_and(|kind| open_secret(id, kind, &old, master).is_some());
    endpoint.old_secret = opens.then_some((old, until));
    if open_headers(id, &endpoint.headers, master).is_some() {
        return Vec::new();
    }
    endpoint.headers = seal_headers(id, Vec::new(), master);
    std::mem::take(&mut endpoint.header_names)
}

/// What a delivery needs of an endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) id: WebhookId,
    pub(super) target: Target,
    types: Option<HashSet<String>>,
    lanes: Option<HashSet<String>>,
    conversations: Option<HashSet<ConversationId>>,
    services: Option<HashSet<UserId>>,
    pub(super) is_ordered: bool,
    pub(super) is_thin: bool,
    pub(super) concurrency: usize,
    pub(super) headers: Vec<(String, String)>,
    secret: WebhookSecret,
    old_secret: Option<(WebhookSecret, Time)>,
}

/// Why a stored endpoint cannot be used.
#[derive(Debug, Error)]
pub(super) enum Unusable {
    /// There is no master key.
    #[error("its secret is encrypted, and VERBATIM_MASTER_KEY_FILE is not set")]
    NoKey,
    /// Another master key has sealed its secrets or headers.
    #[error(
        "its secret or its headers were encrypted with another key than that in VERBATIM_MASTER_KEY_FILE"
    )]
    Sealed,
    /// The settings no longer allow its URL.
    #[error("its URL is no longer allowed: {}{}", .0, and_http(.0))]
    Url(#[from] BadTarget),
}

/// The end of a sentence about a URL: where `http` is allowed, too.
pub(super) fn and_http(bad: &BadTarget) -> &'static str {
    match bad {
        BadTarget::Scheme => ", or http if the nodes have VERBATIM_WEBHOOK_ALLOW_HTTP=true",
        _ => "",
    }
}

impl Endpoint {
    /// Opens the sealed values.
    pub(super) fn open(stored: &StoredEndpoint, sender: &Sender) -> Result<Self, Unusable> {
        let master = sender.master.as_deref().ok_or(Unusable::NoKey)?;
        let id = stored.id;
        let kind = SignatureKind::named(&stored.signature).ok_or(Unusable::Sealed)?;
        let opened = |sealed: &[u8]| open_secret(id, kind, sealed, master).ok_or(Unusable::Sealed);
        let Headers(headers) = open_headers(id, &stored.headers, master).ok_or(Unusable::Sealed)?;
        let old_secret = match &stored.old_secret {
            Some((sealed, until)) => Some((opened(sealed)?, *until)),
            None => None,
        };
        let some = |words: &Vec<String>| (!words.is_empty()).then(|| words.iter().cloned().collect());
        let is_all = stored.types.iter().any(|word| word == "*");
        Ok(Self {
            id,
            target: Target::parse_with(&stored.url, sender.schemes == Schemes::HttpToo)?,
            types: (!is_all).then(|| stored.types.iter().cloned().collect()),
            lanes: some(&stored.lanes),
            conversations: (!stored.conversations.is_empty())
                .then(|| stored.conversations.iter().copied().collect()),
            services: (!stored.services.is_empty()).then(|| stored.services.iter().copied().collect()),
            is_ordered: stored.is_ordered,
            is_thin: stored.is_thin,
            concurrency: stored.concurrency.into(),
            headers,
            secret: opened(&stored.secret)?,
            old_secret,
        })
    }

    /// Whether the endpoint wants an event.
    pub(super) fn wants(&self, told: &Told) -> bool {
        let recorded = &told.recorded;
        let is_in = |words: &Option<HashSet<String>>, word: &str| {
            words.as_ref().is_none_or(|words| words.contains(word))
        };
        is_in(&self.types, &recorded.word)
            && is_in(&self.lanes, recorded.lane.word())
            && self.conversations.as_ref().is_none_or(|ids| ids.contains(&recorded.conversation))
            && self.services.as_ref().is_none_or(|ids| {
                ids.contains(&recorded.actor) || recorded.via.is_some_and(|via| ids.contains(&via))
            })
    }

    /// The signatures of a request: by the secret, and by the previous secret while that is valid.
    pub(super) fn sign(&self, id: &str, now: Time, body: &[u8]) -> String {
        let seconds = now.unix_seconds();
        let new = self.secret.sign(id, seconds, body);
        match &self.old_secret {
            Some((old, until)) if *until > now => format!("{new} {}", old.sign(id, seconds, body)),
            _ => new,
        }
    }

    /// The public key, if the endpoint signs with a key pair.
    pub(super) fn public_key(&self) -> Option<String> {
        self.secret.public_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(shape: Shape) -> String {
        format!("{:?}", shape.check(Schemes::Https).expect_err("it is refused"))
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_where_they_stand() {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let http = Shape { url: Some("http://x.example/".into()), ..Shape::default() };
        assert_eq!(refused(http.clone()), "Url(Scheme)");
        assert!(http.check(Schemes::HttpToo).is_ok());
        assert_eq!(refused(Shape { types: words(&["*", "message.sang"]), ..Shape::default() }), "Type(1)");
        assert_eq!(refused(Shape { types: words(&[]), ..Shape::default() }), "NoTypes");
        assert_eq!(refused(Shape { lanes: words(&["presence"]), ..Shape::default() }), "Lane(0)");
        assert_eq!(refused(Shape { concurrency: Some(0), ..Shape::default() }), "Concurrency");
        assert_eq!(refused(Shape { concurrency: Some(65), ..Shape::default() }), "Concurrency");
        for (name, value) in [
            ("Connection", "x"),
            ("HOST", "x"),
            ("webhook-id", "x"),
            ("Verbatim-Attempt", "x"),
            ("content-type", "x"),
            ("a b", "x"),
            ("", "x"),
            ("x", "a\r\nb: c"),
            ("x", "é"),
        ] {
            let headers = Some(vec![(name.to_owned(), value.to_owned())]);
            assert!(refused(Shape { headers, ..Shape::default() }).starts_with("Header"), "{name}: {value}");
        }
        let twice = Some(vec![("a".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())]);
        assert!(refused(Shape { headers: twice, ..Shape::default() }).starts_with("Header"));
        let headers = Some(vec![("Authorization".to_owned(), "Bearer x".to_owned())]);
        assert!(Shape { headers, ..Shape::default() }.check(Schemes::Https).is_ok());
    }
}
