//! An event as a message: a CloudEvents 1.0 event in the binary mode of the NATS binding. The headers have its
//! attributes, the payload has its data.

use async_nats::{HeaderMap, HeaderName};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    domain::{ClientId, ConversationId, Event, EventId, Lane, Position, Recorded, Time, UserId},
    log::{errors::Malformed, public_url::PublicUrl, subject},
    telemetry::TraceParent,
};

/// The prefix of our types in `ce-type`.
const PREFIX: &str = "verbatim.";
/// The separator before the version of a type in `ce-type`.
const VERSION: &str = ".v";
/// The version that words leave out: `message.sent` is `verbatim.message.sent.v1`.
const FIRST: &str = "1";

/// The word of a placeholder, which a restore puts where an erasure has deleted an event.
pub(super) const GONE: &str = "gone";
/// The header by which JetStream recognises a retry.
pub(super) static MESSAGE_ID: HeaderName = HeaderName::from_static("Nats-Msg-Id");

// A header name that is a string would be checked and copied at every use.
static SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");
static ID: HeaderName = HeaderName::from_static("ce-id");
static SOURCE: HeaderName = HeaderName::from_static("ce-source");
static TIME: HeaderName = HeaderName::from_static("ce-time");
static CONTENT_TYPE: HeaderName = HeaderName::from_static("ce-datacontenttype");
static ACTOR: HeaderName = HeaderName::from_static("ce-actor");
static VIA: HeaderName = HeaderName::from_static("ce-via");
static SCHEMA: HeaderName = HeaderName::from_static("ce-dataschema");
static TYPE: HeaderName = HeaderName::from_static("ce-type");
pub(super) static TRACE: HeaderName = HeaderName::from_static("traceparent");

/// An event that is to be appended.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The conversation of the event.
    pub conversation: ConversationId,
    /// The id of the event.
    pub id: EventId,
    /// The user who causes the event.
    pub actor: UserId,
    /// The service account through which the user acts, if there is one.
    pub via: Option<UserId>,
    /// The time, for people to read: the log decides the order.
    pub time: Time,
    /// The event itself.
    pub event: Event,
    /// The actor's idempotency key, by which a retry is recognised. Without a key only this same draft is recognised.
    pub key: Option<ClientId>,
    /// The trace of the request.
    pub trace: Option<TraceParent>,
}

/// A hash of user, conversation and idempotency key, for places where the key itself must not appear.
pub(crate) fn client_hash(user: UserId, conversation: ConversationId, key: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(user.uuid().as_bytes());
    hash.update(conversation.uuid().as_bytes());
    hash.update(key.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.finish().as_ref()[..18])
}

/// The id in the headers of a message, even if the message is not an event; the nil id if there is none.
pub(super) fn id(headers: Option<&HeaderMap>) -> EventId {
    let id = headers.and_then(|all| all.get(ID.clone())).and_then(|id| id.as_str().parse().ok());
    id.unwrap_or(EventId::known(Uuid::nil()))
}

/// The type as `ce-type` and the schemas name it: `verbatim.message.sent.v1` for `message.sent`, and
/// `verbatim.message.sent.v2` for `message.sent.v2`.
pub fn type_name(told: &str) -> String {
    let named = format!("{PREFIX}{told}");
    if word(&named).is_some() { named } else { format!("{named}{VERSION}{FIRST}") }
}

/// The word for a type that clients get: `message.sent` for `verbatim.message.sent.v1`. Another version of the type has
/// other data, so it has another word: `message.sent.v2`. `None` if `ce-type` names none of our types.
pub(super) fn word(kind: &str) -> Option<&str> {
    let named = kind.strip_prefix(PREFIX)?;
    let (word, version) = named.rsplit_once(VERSION)?;
    let is_version =
        !version.starts_with('0') && version.parse::<u32>().is_ok_and(|n| n.to_string() == version);
    (!word.is_empty() && is_version).then_some(if version == FIRST { word } else { named })
}

impl Draft {
    /// The subject on which it is published.
    pub fn subject(&self) -> String {
        subject::of(self.conversation, self.event.lane())
    }

    /// Its data as JSON text.
    pub fn payload(&self) -> Bytes {
        self.event.data().expect("an event's data has string keys and no maps, so it is JSON").into()
    }

    /// A hash, never a client's raw text: the duplicate window of `Nats-Msg-Id` spans the whole stream.
    pub(super) fn message_id(&self) -> String {
        let Some(key) = &self.key else { return self.id.to_string() };
        client_hash(self.actor, self.conversation, key.as_str())
    }

    /// The attributes of the event. No header has text of a person, and a trace is hex digits only.
    pub fn headers(&self, public_url: Option<&PublicUrl>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let kind = type_name(self.event.word());
        headers.insert(SPEC_VERSION.clone(), "1.0");
        headers.insert(ID.clone(), self.id.to_string());
        headers.insert(SOURCE.clone(), format!("/conversations/{}", self.conversation));
        headers.insert(TIME.clone(), self.time.to_string());
        headers.insert(CONTENT_TYPE.clone(), "application/json");
        headers.insert(ACTOR.clone(), self.actor.to_string());
        if let Some(via) = self.via {
            headers.insert(VIA.clone(), via.to_string());
        }
        if let Some(url) = public_url {
            headers.insert(SCHEMA.clone(), url.schema(&kind));
        }
        headers.insert(TYPE.clone(), kind);
        headers.insert(MESSAGE_ID.clone(), self.message_id());
        if let Some(trace) = &self.trace {
            headers.insert(TRACE.clone(), trace.as_str());
        }
        headers
    }
}

impl Recorded {
    /// Reads a message of the log.
    pub fn read(
        position: u64,
        subject: &str,
        headers: Option<&HeaderMap>,
        data: Bytes,
    ) -> Result<Self, Malformed> {
        let position = Position(position);
        let malformed = |why: &str| Malformed { position, subject: subject.to_owned(), why: why.to_owned() };
        let (conversation, last) =
            subject::conversation(subject).ok_or_else(|| malformed("the subject is not canonical"))?;
        let lane = subject::lane(last).ok_or_else(|| malformed("there is no such lane"))?;
        let header = |name: &HeaderName| {
            headers
                .and_then(|all| all.get(name.clone()))
                .map(async_nats::HeaderValue::as_str)
                .ok_or_else(|| malformed(&format!("the header {name} is missing")))
        };
        let word = word(header(&TYPE)?)
            .ok_or_else(|| malformed("ce-type is not verbatim.<type>.v<version>"))?
            .to_owned();
        // Readers pass on events that they cannot read themselves, and a client's JSON has to be text.
        std::str::from_utf8(&data).map_err(|_| malformed(&format!("the data of {word} are not UTF-8")))?;
        // In a lane whose events this version does not know, a type that it knows from another lane may mean something
        // else.
        let event = if lane.is_read() { Event::read(&word, &data) } else { None }
            .transpose()
            .map_err(|e| malformed(&format!("the data of {word} cannot be read: {e}")))?;
        // Data of a type that this version does not know are passed on as they are.
        if event.is_none() && serde_json::from_slice::<&serde_json::value::RawValue>(&data).is_err() {
            return Err(malformed(&format!("the data of {word} are not JSON")));
        }
        if event.as_ref().is_some_and(|event| event.lane() != lane) {
            return Err(malformed("the event stands in a lane that is not its own"));
        }
        Ok(Self {
            position,
            conversation,
            lane,
            id: header(&ID)?.parse().map_err(|_| malformed("ce-id is not an id"))?,
            actor: header(&ACTOR)?.parse().map_err(|_| malformed("ce-actor is not an id"))?,
            // It decides nothing here, so an event with an unreadable one can still be read.
            via: header(&VIA).ok().and_then(|via| via.parse().ok()),
            time: header(&TIME)?.parse().map_err(|_| malformed("ce-time is not a time"))?,
            word,
            event,
            data,
            poison: None,
            erased: None,
        })
    }

    /// The same for readers that have to continue: a message that cannot be read is poison. A message whose subject
    /// names no conversation is assigned to the nil conversation, which has no members.
    pub(super) fn read_or_poison(
        position: u64,
        subject: &str,
        headers: Option<&HeaderMap>,
        data: Bytes,
    ) -> Self {
        let why = match Self::read(position, subject, headers, data.clone()) {
            Ok(recorded) => return recorded,
            Err(malformed) => malformed.why,
        };
        let named = subject::conversation(subject).and_then(|(id, last)| Some((id, subject::lane(last)?)));
        let kind = headers.and_then(|all| all.get(TYPE.clone()));
        let is_gone = kind.is_some_and(|kind| word(kind.as_str()) == Some(GONE));
        let (conversation, lane) = named.unwrap_or((ConversationId::known(Uuid::nil()), Lane::Timeline));
        Self {
            position: Position(position),
            conversation,
            lane,
            id: id(headers),
            actor: UserId::known(Uuid::nil()),
            via: None,
            time: Time::of(time::OffsetDateTime::UNIX_EPOCH),
            word: if is_gone { GONE.into() } else { String::new() },
            event: None,
            data: if is_gone { Bytes::from_static(b"{}") } else { data },
            poison: (!is_gone).then_some(why),
            erased: None,
        }
    }

    /// Reads a message with these headers, for tests of damaged and foreign messages.
    #[cfg(test)]
    pub(crate) fn planted(position: u64, subject: &str, headers: &[(&str, &str)], data: Bytes) -> Self {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        Self::read_or_poison(position, subject, Some(&all), data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Fold, MessageSent};

    fn draft() -> Draft {
        let id = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";
        Draft {
            conversation: id.parse().expect("id"),
            id: id.parse().expect("id"),
            actor: id.parse().expect("id"),
            via: None,
            time: "2026-11-24T13:10:00.123Z".parse().expect("time"),
            event: Event::MessageSent(MessageSent {
                message_id: id.parse().expect("id"),
                client_id: "client-1".into(),
                text: "hi\r\nNats-Msg-Id: x".into(),
                reply_to: None,
                reply_to_position: None,
                metadata: None,
                mentions: Vec::new(),
            }),
            key: Some("client-1".to_owned().try_into().expect("key")),
            trace: None,
        }
    }

    #[test]
    fn data_that_are_not_json_make_an_event_poison_also_of_a_type_that_is_not_known() {
        let (draft, mut headers) = (draft(), draft().headers(None));
        headers.insert(TYPE.clone(), "verbatim.message.weighed.v1");
        let read = |data: &'static str| {
            Recorded::read(7, &draft.subject(), Some(&headers), Bytes::from_static(data.as_bytes()))
        };
        assert_eq!(read(r#"{"grams":7}"#).map(|recorded| recorded.event), Ok(None));
        for data in ["", "{", "{} {}", "seven"] {
            let why = read(data).expect_err(data).why;
            assert!(why.contains("not JSON"), "{why}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let draft = draft();
        let read =
            Recorded::read(7, &draft.subject(), Some(&draft.headers(None)), draft.payload()).expect("event");
        assert_eq!(read.event, Some(draft.event));
        assert_eq!(
            (read.position, read.id, read.actor, read.time),
            (Position(7), draft.id, draft.actor, draft.time)
        );
        assert_eq!(read.word, "message.sent");
    }

    #[test]
    fn a_program_that_acts_is_named_beside_the_actor() {
        let mut draft = draft();
        assert!(draft.headers(None).get(VIA.clone()).is_none());
        draft.via = "01930f3c-5a7b-7c3d-8e4f-0123456789ac".parse().ok();
        let headers = draft.headers(None);
        let named = headers.get(VIA.clone()).map(async_nats::HeaderValue::as_str);
        assert_eq!(named, Some("01930f3c-5a7b-7c3d-8e4f-0123456789ac"));
        let read = Recorded::read(7, &draft.subject(), Some(&headers), draft.payload()).expect("event");
        assert_eq!((read.actor, read.via), (draft.actor, draft.via));
    }

    #[test]
    fn nothing_typed_is_in_subject_or_headers() {
        let draft = draft();
        let written = format!("{} {:?}", draft.subject(), draft.headers(None));
        assert!(!written.contains("hi\n") && !written.contains("client-1"), "{written}");
    }

    #[test]
    fn a_retry_has_the_same_message_id_and_nobody_else_has() {
        let first = draft();
        let mut retry = draft();
        retry.time = retry.time.plus(std::time::Duration::from_secs(9));
        assert_eq!(first.message_id(), retry.message_id());
        retry.actor = "01930f3c-5a7b-7c3d-8e4f-0123456789ac".parse().expect("id");
        assert_ne!(first.message_id(), retry.message_id());
    }

    #[test]
    fn an_event_in_the_wrong_lane_is_malformed() {
        let draft = draft();
        let subject = draft.subject().replace("timeline", "roster");
        assert!(Recorded::read(7, &subject, Some(&draft.headers(None)), draft.payload()).is_err());
    }

    #[test]
    fn a_type_of_a_newer_version_is_kept_unread() {
        let draft = draft();
        let mut headers = draft.headers(None);
        headers.insert("ce-type", "verbatim.message.sung.v1");
        let read = Recorded::read(7, &draft.subject(), Some(&headers), draft.payload()).expect("event");
        assert_eq!((read.event, read.word.as_str()), (None, "message.sung"));
    }

    #[test]
    fn another_version_of_a_type_is_kept_unread_under_a_word_of_its_own() {
        let (draft, mut headers) = (draft(), draft().headers(None));
        let mut read = |kind: &'static str, data: &'static str| {
            headers.insert(TYPE.clone(), kind);
            Recorded::read(7, &draft.subject(), Some(&headers), Bytes::from_static(data.as_bytes()))
        };
        let recorded = read("verbatim.message.sent.v2", r#"{"body":7}"#).expect("an event");
        assert_eq!((recorded.event, recorded.word.as_str()), (None, "message.sent.v2"));
        assert_eq!(read("verbatim.message.sung.v17", "{}").expect("an event").word, "message.sung.v17");
        for kind in ["verbatim.message.sang.v1", "verbatim.message.sent.v2", "verbatim.message.sung.v17"] {
            assert_eq!(type_name(&read(kind, "{}").expect(kind).word), kind);
        }
        for kind in [
            "message.sent.v2",
            "verbatim.v2",
            "verbatim.message.sent",
            "verbatim.message.sent.v",
            "verbatim..v2",
            "verbatim.message.sent.v0",
            "verbatim.message.sent.v02",
            "verbatim.message.sent.v+2",
            "verbatim.message.sent.two",
        ] {
            assert!(read(kind, "{}").is_err(), "{kind}");
        }
    }

    #[test]
    fn an_event_of_a_lane_that_is_not_read_always_counts_and_is_kept_unread() {
        let (draft, mut headers) = (draft(), draft().headers(None));
        for lane in ["control", "sealed"] {
            let subject = draft.subject().replace("timeline", lane);
            for kind in ["verbatim.content.erased.v3", "verbatim.message.weighed.v1"] {
                headers.insert(TYPE.clone(), kind);
                let read =
                    Recorded::read(7, &subject, Some(&headers), Bytes::from_static(b"{}")).expect(kind);
                assert_eq!((&read.event, read.lane.word()), (&None, lane));
                // Nobody is a member of a conversation that has not begun.
                let mut fold = Fold::default();
                assert_eq!(read.apply_to(&mut fold), Some(Position::START));
                assert_eq!((fold.head, fold.roster, fold.changes), (Position(7), Position::START, 0));
            }
        }
        for token in ["typing", "Sealed", "sealed2", "abcdefghijklmnopq"] {
            let subject = draft.subject().replace("timeline", token);
            assert!(Recorded::read(7, &subject, Some(&headers), draft.payload()).is_err(), "{token}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_poison_of_its_conversation_and_void() {
        let draft = draft();
        let headers = draft.headers(None);
        let read = |subject: &str, data: &'static [u8]| {
            Recorded::read_or_poison(7, subject, Some(&headers), Bytes::from_static(data))
        };
        let poison = read(&draft.subject(), b"{");
        assert_eq!((poison.conversation, poison.lane), (draft.conversation, Lane::Timeline));
        assert!(poison.poison.as_ref().is_some_and(|why| why.contains("message.sent")), "{poison:?}");
        let mut fold = Fold::default();
        assert_eq!(poison.apply_to(&mut fold), None);
        assert_eq!((fold.read, fold.head), (Position(7), Position::START));
        assert!(!read("chat.00.lunch.timeline", b"{}").has_conversation());
    }
}
