//! Erasures of messages, titles and accounts, for programs with the scope `admin:erasure`.

use std::time::Duration;

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Body, Caller, Few, Found, Reply, Requested, SignedIn, given, given_word,
        http::{
            examples,
            reasons::{NOT_CONFIGURED, sentence},
            values::words,
        },
        operations::tag::Tag,
    },
    domain::{ConversationId, ErasureId, ExternalId, HoldId, Position, Time, UserId, WebhookId, word},
    erasures::{
        ErasureError, ErasureReceipt, ErasureScope, ErasureState, ErasureTarget, Erasures, MOST_GRACE,
        MOST_MESSAGES, WantedErasure,
    },
    problems::Problem,
};

words! {
    /// `waiting`: the erasure begins at `starts_at`; `hiding`: events announce the erasure to all readers; `held`:
    /// the content is hidden, and legal holds keep what is left; `erasing`: the log is being overwritten;
    /// `verifying`: every position is being read again; `done`: nothing is left to do
    ErasureState as "ErasureState": "waiting" "hiding" "held" "erasing" "verifying" "done";
}

/// Why something is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ErasureReason {
    Request,
    Retention,
    Expiry,
    Moderation,
}

words! {
    /// The reason for an erasure. The members of the conversation can read it in `content.erased`
    ErasureReason as "ErasureReason": "request" "retention" "expiry" "moderation";
}

words! {
    /// What is erased: the `content` of messages, an `account` (its messages stay, but no longer show whose they
    /// are), or `account_and_content`
    ErasureScope as "ErasureScope": "content" "account" "account_and_content";
}

/// The location of a message or a title
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct MessagePlace {
    /// The conversation
    conversation_id: ConversationId,
    /// The position of the message, or of the event `conversation.created` or `conversation.updated` that gave the title
    position: Position,
}

impl Example for MessagePlace {
    fn example() -> Self {
        Self { conversation_id: examples::conversation(), position: examples::position() }
    }
}

/// A request for an erasure of messages and titles, or of one account
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewErasure {
    /// The messages and titles to erase. The edits of a message are erased with it
    #[serde(default, deserialize_with = "given")]
    messages: Option<Few<MessagePlace, MOST_MESSAGES>>,
    /// The account to erase, instead of messages
    #[serde(default, deserialize_with = "given")]
    user_id: Option<UserId>,
    /// The account to erase by its id in the host application, instead of messages
    #[serde(default, deserialize_with = "given")]
    external_id: Option<ExternalId>,
    /// What is erased: required for an account. For messages it is `content`
    #[serde(default, deserialize_with = "given_word")]
    scope: Option<ErasureScope>,
    /// The reason for the erasure
    #[serde(deserialize_with = "word")]
    reason_code: ErasureReason,
    /// The seconds until the erasure begins, at most 30 days. The default is 0
    #[serde(default, deserialize_with = "given")]
    grace_s: Option<u32>,
}

impl Example for NewErasure {
    fn example() -> Self {
        Self {
            messages: Some([MessagePlace::example()].into_iter().collect()),
            user_id: None,
            external_id: None,
            scope: None,
            reason_code: ErasureReason::Request,
            grace_s: Some(0),
        }
    }
}

/// The counts of an erasure
#[derive(Serialize, Object)]
struct ErasureCounts {
    /// The number of messages
    messages: u32,
    /// The number of edits of these messages, known once they are hidden
    edits: u32,
    /// The number of titles; absent if there are none
    #[serde(skip_serializing_if = "Option::is_none")]
    titles: Option<u32>,
    /// The number of attachments: 0, because there are no attachments yet
    attachments: u32,
    /// The number of database rows that were cleared, or deleted with an account
    rows: u32,
}

/// A consumer of the log, and whether it was told of the erasure
#[derive(Serialize, Object)]
struct ErasureConsumer {
    /// The name of the consumer; that of a copy of the log, like a mirror, while the erasure waits for it
    name: String,
    /// Whether the consumer has acknowledged the events that announce the erasure. `false` for a copy of the log
    ack_floor_past: bool,
}

/// A webhook, and whether it was told of the erasure
#[derive(Serialize, Object)]
struct ErasureWebhook {
    /// The webhook
    id: WebhookId,
    /// Whether the receiver has taken the events that announce the erasure. Parked events were not taken
    delivered: bool,
}

/// The receipt of an erasure
#[derive(Serialize, Object)]
#[oai(example)]
struct Erasure {
    /// The id of the erasure
    id: ErasureId,
    /// The state of the erasure
    state: ErasureState,
    /// What is erased
    scope: ErasureScope,
    /// The erased account; absent if the erasure is of messages and titles
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    /// The reason for the erasure
    reason_code: String,
    /// The counts of the erasure
    counts: ErasureCounts,
    /// When the erasure was requested
    requested_at: Time,
    /// When the erasure begins
    starts_at: Time,
    /// When the content was hidden from all readers
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_at: Option<Time>,
    /// When the views had caught up with the erasure
    #[serde(skip_serializing_if = "Option::is_none")]
    views_done_at: Option<Time>,
    /// When the content was gone from the log
    #[serde(skip_serializing_if = "Option::is_none")]
    log_done_at: Option<Time>,
    /// When no Raft log of a cluster had the content either. Absent if the servers do not report their Raft logs
    #[serde(skip_serializing_if = "Option::is_none")]
    wal_compacted_at: Option<Time>,
    /// When the content was gone from the archive. Absent without an archiver
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_done_at: Option<Time>,
    /// When operators must have removed every backup that was made before the content was gone
    #[serde(skip_serializing_if = "Option::is_none")]
    backups_gone_by: Option<Time>,
    /// When every position had been read again on all replicas and found empty
    #[serde(skip_serializing_if = "Option::is_none")]
    done_at: Option<Time>,
    /// The legal holds that keep what is left
    holds: Vec<HoldId>,
    /// The consumers that read the affected streams, and the copies of the log for which the erasure waits
    consumers: Vec<ErasureConsumer>,
    /// The webhooks that get events of these conversations, and whether they were told
    webhooks: Vec<ErasureWebhook>,
}

impl From<ErasureReceipt> for Erasure {
    fn from(receipt: ErasureReceipt) -> Self {
        let backups_gone_by = receipt.backups_gone_by();
        let titles = receipt.erasure.titles();
        let ErasureReceipt { erasure, state, consumers, webhooks, .. } = receipt;
        let consumer = |(name, ack_floor_past)| ErasureConsumer { name, ack_floor_past };
        let webhook = |(id, delivered)| ErasureWebhook { id, delivered };
        Self {
            id: erasure.id,
            state,
            scope: erasure.scope,
            user_id: erasure.account,
            reason_code: erasure.reason,
            counts: ErasureCounts {
                messages: erasure.messages,
                edits: erasure.edits,
                titles,
                attachments: 0,
                rows: erasure.rows,
            },
            requested_at: erasure.requested_at,
            starts_at: erasure.starts_at,
            hidden_at: erasure.hidden_at,
            views_done_at: erasure.views_done_at,
            log_done_at: erasure.log_done_at,
            wal_compacted_at: erasure.wal_compacted_at,
            archive_done_at: erasure.archive_done_at,
            backups_gone_by,
            done_at: erasure.done_at,
            holds: erasure.held_by,
            consumers: consumers.into_iter().map(consumer).collect(),
            webhooks: webhooks.into_iter().map(webhook).collect(),
        }
    }
}

impl Example for Erasure {
    fn example() -> Self {
        let at = examples::time();
        Self {
            id: examples::erasure(),
            state: ErasureState::Done,
            scope: ErasureScope::Content,
            user_id: None,
            reason_code: "request".into(),
            counts: ErasureCounts { messages: 1, edits: 2, titles: None, attachments: 0, rows: 0 },
            requested_at: at,
            starts_at: at,
            hidden_at: Some(at),
            views_done_at: Some(at),
            log_done_at: Some(at),
            wal_compacted_at: Some(at),
            archive_done_at: Some(at),
            backups_gone_by: Some(at.plus(Duration::from_secs(35 * 86_400))),
            done_at: Some(at),
            holds: Vec::new(),
            consumers: vec![ErasureConsumer { name: "archiver".into(), ack_floor_past: true }],
            webhooks: vec![ErasureWebhook { id: examples::webhook(), delivered: true }],
        }
    }
}

impl From<ErasureError> for Problem {
    fn from(error: ErasureError) -> Self {
        match error {
            ErasureError::NotFound => Self::not_found(),
            ErasureError::NoMessage(number) => {
                Self::invalid(format!("/messages/{number}/position"), "no_message", error.to_string())
            }
            ErasureError::NoAccount(field) => Self::invalid(field, "no_account", error.to_string()),
            ErasureError::OldReaders => Self::unavailable("not_configured", sentence(error), NOT_CONFIGURED),
            ErasureError::Database(outage) => outage.into(),
            ErasureError::Unavailable(outage) => outage.into(),
        }
    }
}

/// The target that a request names: messages or one account, with a matching scope.
fn target(
    messages: Option<Few<MessagePlace, MOST_MESSAGES>>,
    user_id: Option<UserId>,
    external_id: Option<ExternalId>,
    scope: Option<ErasureScope>,
) -> Result<ErasureTarget, Problem> {
    let of_account = || {
        let expected = "must be `account` or `account_and_content` for an account";
        match scope {
            // Nothing widens an erasure by being forgotten.
            None => Err(Problem::invalid("/scope", "missing", expected)),
            Some(ErasureScope::Content) => Err(Problem::invalid("/scope", "unfit", expected)),
            Some(scope) => Ok(scope),
        }
    };
    match (messages, user_id, external_id) {
        (Some(messages), None, None) => {
            if scope.is_some_and(|scope| scope != ErasureScope::Content) {
                return Err(Problem::invalid("/scope", "unfit", "must be `content` for messages"));
            }
            let places = messages.into_vec().into_iter().map(|place| (place.conversation_id, place.position));
            match places.collect::<Vec<_>>() {
                places if places.is_empty() => {
                    Err(Problem::invalid("/messages", "too_few", "must name at least one message"))
                }
                places => Ok(ErasureTarget::Messages(places)),
            }
        }
        (None, Some(id), None) => Ok(ErasureTarget::Account(id, of_account()?)),
        (None, None, Some(id)) => Ok(ErasureTarget::External(id, of_account()?)),
        _ => {
            let detail = "send exactly one of `messages`, `user_id` and `external_id`";
            Err(Problem::invalid("/messages", "ambiguous", detail))
        }
    }
}

pub(in crate::api) struct ErasureOperations {
    pub(in crate::api) erasures: Erasures,
}

#[OpenApi(tag = "Tag::Erasures")]
impl ErasureOperations {
    /// Erase messages, titles or an account
    ///
    /// Requests the erasure of messages and their edits: they are hidden from every reader within seconds of
    /// `starts_at`, then overwritten in the log. Only ids, times and types remain. The title that an event gave to a
    /// conversation is erased by the position of that event; everything else about the event remains, and the
    /// conversation has no title until a member sets another. The erasure of an account erases no titles. An erased
    /// account is suspended and its logins end. Its row keeps the id and a meaningless name, and it cannot be
    /// reactivated. The response comes before anything is erased: read the receipt to follow the erasure. A message
    /// that is erased already may be named again. An account has one request at a time: another request may bring it
    /// forward. Needs the scope `admin:erasure`.
    #[oai(path = "/admin/erasures", method = "post", operation_id = "request_erasure")]
    async fn request(&self, caller: Caller, body: Body<NewErasure>) -> Result<Requested<Erasure>, SignedIn> {
        let NewErasure { messages, user_id, external_id, scope, reason_code, grace_s } = body.0;
        let target = target(messages, user_id, external_id, scope)?;
        let grace = Duration::from_secs(grace_s.unwrap_or(0).into());
        if grace > MOST_GRACE {
            let detail = format!("must be at most {} seconds", MOST_GRACE.as_secs());
            return Err(Problem::invalid("/grace_s", "out_of_range", detail).into());
        }
        let reason = match reason_code {
            ErasureReason::Request => "request",
            ErasureReason::Retention => "retention",
            ErasureReason::Expiry => "expiry",
            ErasureReason::Moderation => "moderation",
        };
        let wanted = WantedErasure { target, reason: reason.into(), grace, actor: caller.user };
        let erasure: Erasure = self.erasures.request(wanted, caller.by()).await?.into();
        Ok(Requested { location: format!("/v1/admin/erasures/{}", erasure.id), body: erasure })
    }

    /// Get an erasure
    ///
    /// Returns the receipt of an erasure: how far it has progressed, and which consumers and webhooks have been told.
    /// Needs the scope `admin:erasure`.
    #[oai(path = "/admin/erasures/:id", method = "get", operation_id = "get_erasure")]
    async fn get(&self, _caller: Caller, id: Path<ErasureId>) -> Result<Reply<Erasure>, Found> {
        Ok(Reply(self.erasures.find(id.0).await?.into()))
    }
}
