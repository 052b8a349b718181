//! Erasures of messages, titles and accounts, for programs with the scope `admin:erasure`.

use std::time::Duration;

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Body, Caller, Few, Found, Reply, Requested, SignedIn, given,
        http::{
            examples,
            reasons::{AGAIN, sentence},
            values::words,
        },
        operations::tag::Tag,
    },
    domain::{ConversationId, ErasureId, ExternalId, HoldId, Position, Time, UserId, WebhookId},
    erasures::{
        ErasureError, ErasureReceipt, ErasureScope, ErasureState, ErasureTarget, Erasures, MOST_GRACE,
        MOST_MESSAGES, WantedErasure,
    },
    problems::Problem,
};

/// The time before a retry of what an operator has to make possible first.
const NOT_CONFIGURED: Duration = Duration::from_secs(300);

words! {
    /// What is done next: `waiting` for its time, `hiding` (the log is told), `held` (hidden, and legal holds keep what is left),
    /// `erasing`, `verifying` (every position is read again), or `done`
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
    /// Why something is erased. The members of the conversation can read it in `content.erased`
    ErasureReason as "ErasureReason": "request" "retention" "expiry" "moderation";
}

words! {
    /// What is erased: the `content` of messages, an `account` (its messages stay, and nothing says any more whose they are), or
    /// `account_and_content`
    ErasureScope as "ErasureScope": "content" "account" "account_and_content";
}

/// A message or a title, by its place
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
    /// The messages, whose edits are erased with them, and titles
    #[serde(default, deserialize_with = "given")]
    messages: Option<Few<MessagePlace, MOST_MESSAGES>>,
    /// The account, instead of messages
    #[serde(default, deserialize_with = "given")]
    user_id: Option<UserId>,
    /// The account by the id of the host application, instead of messages
    #[serde(default, deserialize_with = "given")]
    external_id: Option<ExternalId>,
    /// What is erased: `content` for messages, and by default `account_and_content` for an account
    #[serde(default, deserialize_with = "given")]
    scope: Option<ErasureScope>,
    /// Why
    reason_code: ErasureReason,
    /// The seconds until the erasure begins: 0 if absent, and at most 30 days
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

/// The numbers of an erasure
#[derive(Serialize, Object)]
struct ErasureCounts {
    /// The number of messages
    messages: u32,
    /// The number of edits of these messages, known once they are hidden
    edits: u32,
    /// The number of titles, if the request names some
    #[serde(skip_serializing_if = "Option::is_none")]
    titles: Option<u32>,
    /// The number of attachments. There are none yet
    attachments: u32,
    /// The number of rows that were emptied or removed with an account
    rows: u32,
}

/// A consumer of the log, and whether it knows
#[derive(Serialize, Object)]
struct ErasureConsumer {
    /// The name of the consumer
    name: String,
    /// Whether the consumer has acknowledged the events that tell of the erasure
    ack_floor_past: bool,
}

/// A webhook, and whether it knows
#[derive(Serialize, Object)]
struct ErasureWebhook {
    /// The webhook
    id: WebhookId,
    /// Whether the events that tell of the erasure were delivered, or parked
    delivered: bool,
}

/// The receipt of an erasure
#[derive(Serialize, Object)]
#[oai(example)]
struct Erasure {
    /// The id of the erasure
    id: ErasureId,
    /// What is done next
    state: ErasureState,
    /// What is erased
    scope: ErasureScope,
    /// The account that is erased, if one is
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    /// Why
    reason_code: String,
    /// The numbers of the erasure
    counts: ErasureCounts,
    /// The time of the request
    requested_at: Time,
    /// The time at which the erasure begins
    starts_at: Time,
    /// The time from which on no reader is given the content
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_at: Option<Time>,
    /// The time at which the views had followed
    #[serde(skip_serializing_if = "Option::is_none")]
    views_done_at: Option<Time>,
    /// The time at which the log had nothing at the positions any more
    #[serde(skip_serializing_if = "Option::is_none")]
    log_done_at: Option<Time>,
    /// The time from which on no Raft log has the content. A log with several replicas does not tell it
    #[serde(skip_serializing_if = "Option::is_none")]
    wal_compacted_at: Option<Time>,
    /// The time at which the archive had nothing of it any more. Without an archiver there is none
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_done_at: Option<Time>,
    /// The time by which operators have removed every backup that was made before
    #[serde(skip_serializing_if = "Option::is_none")]
    backups_gone_by: Option<Time>,
    /// The time at which every position had been read again, on all replicas, and found empty
    #[serde(skip_serializing_if = "Option::is_none")]
    done_at: Option<Time>,
    /// The legal holds that keep all that is left
    holds: Vec<HoldId>,
    /// The consumers that read these streams
    consumers: Vec<ErasureConsumer>,
    /// The webhooks
    webhooks: Vec<ErasureWebhook>,
}

impl From<ErasureReceipt> for Erasure {
    fn from(receipt: ErasureReceipt) -> Self {
        let (wal_compacted_at, backups_gone_by) = (receipt.wal_compacted_at(), receipt.backups_gone_by());
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
            wal_compacted_at,
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
            ErasureError::NoAccount => Self::invalid("/user_id", "no_account", error.to_string()),
            ErasureError::OldReaders => Self::unavailable("not_configured", sentence(error), NOT_CONFIGURED),
            ErasureError::Database(outage) => outage.into(),
            ErasureError::Unavailable(outage) => {
                tracing::warn!(error = %outage, "a request failed: the log did not answer");
                let again = "The server cannot do this at the moment: send the same request again.";
                Self::unavailable("unavailable", again, AGAIN)
            }
        }
    }
}

/// What a request names: messages or one account, and a scope that fits.
fn target(
    messages: Option<Few<MessagePlace, MOST_MESSAGES>>,
    user_id: Option<UserId>,
    external_id: Option<ExternalId>,
    scope: Option<ErasureScope>,
) -> Result<ErasureTarget, Problem> {
    let of_account = match scope {
        None => Ok(ErasureScope::AccountAndContent),
        Some(ErasureScope::Content) => {
            Err(Problem::invalid("/scope", "unfit", "this is no scope of an account"))
        }
        Some(scope) => Ok(scope),
    };
    match (messages, user_id, external_id) {
        (Some(messages), None, None) => {
            if scope.is_some_and(|scope| scope != ErasureScope::Content) {
                return Err(Problem::invalid("/scope", "unfit", "messages have the scope `content` only"));
            }
            let places = messages.into_vec().into_iter().map(|place| (place.conversation_id, place.position));
            match places.collect::<Vec<_>>() {
                places if places.is_empty() => {
                    Err(Problem::invalid("/messages", "too_few", "name at least one message"))
                }
                places => Ok(ErasureTarget::Messages(places)),
            }
        }
        (None, Some(id), None) => Ok(ErasureTarget::Account(id, of_account?)),
        (None, None, Some(id)) => Ok(ErasureTarget::External(id, of_account?)),
        _ => {
            let detail = "name either `messages`, or `user_id`, or `external_id`";
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
    /// Requests that messages and their edits are erased: hidden from every reader within seconds of their time, then
    /// overwritten in the log. What stays is a skeleton: ids, times and types. The title that an event gave to a conversation is
    /// erased by the position of that event, of which all else stays: the conversation has no title until somebody gives it
    /// another. The erasure of an account takes no titles. An erased account is suspended, its logins end,
    /// its row keeps the id and a name that says nothing, and it cannot be reactivated. The answer comes before anything is
    /// erased; look at the receipt. A message that is erased already may be named again. An account has one request at a time:
    /// another one may bring it forward. Needs the scope `admin:erasure`.
    #[oai(path = "/admin/erasures", method = "post", operation_id = "request_erasure")]
    async fn request(&self, caller: Caller, body: Body<NewErasure>) -> Result<Requested<Erasure>, SignedIn> {
        let NewErasure { messages, user_id, external_id, scope, reason_code, grace_s } = body.0;
        let target = target(messages, user_id, external_id, scope)?;
        let grace = Duration::from_secs(grace_s.unwrap_or(0).into());
        if grace > MOST_GRACE {
            let detail = format!("at most {} seconds are accepted", MOST_GRACE.as_secs());
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
    /// Returns the receipt of an erasure: how far it has come, and which consumers and webhooks have been told. Needs the
    /// scope `admin:erasure`.
    #[oai(path = "/admin/erasures/:id", method = "get", operation_id = "get_erasure")]
    async fn get(&self, _caller: Caller, id: Path<ErasureId>) -> Result<Reply<Erasure>, Found> {
        Ok(Reply(self.erasures.find(id.0).await?.into()))
    }
}
