//! News for all nodes at once, sent over core NATS, at most once. No stream stores it.

use async_nats::{Message, Subscriber};
use futures_util::{StreamExt as _, stream::SelectAll};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    domain::{ConversationId, LoginId, UserId},
    log::{Log, Unavailable, subject},
};

const REVOKED: &str = "verbatim.login.revoked";
const INVITED: &str = "verbatim.invitation.made";
const ACTIVITY: &str = "verbatim.account.activity";
const BLOCKED: &str = "verbatim.blocks.changed";
const CHANGED: &str = "verbatim.user.changed";

/// News for every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A user is typing in a conversation.
    Typing {
        /// The conversation in which the user types.
        conversation: ConversationId,
        /// The typing user.
        user: UserId,
    },
    /// A login or an API key is no longer valid. A node remembers it until the last access token has expired.
    Revoked {
        /// The login or key that was ended.
        login: LoginId,
        /// The account, if the login ends because the account was deactivated.
        suspended: Option<UserId>,
    },
    /// An account was deactivated: none of its proofs is valid any more.
    Suspended {
        /// The account.
        user: UserId,
    },
    /// A deactivated account is active again.
    Restored {
        /// The account.
        user: UserId,
    },
    /// A user has blocked or unblocked others.
    Blocked {
        /// The user whose block list has changed.
        by: UserId,
    },
    /// The public part of a user's profile has changed: the name, or the picture.
    UserChanged {
        /// The user.
        user: UserId,
    },
    /// A user was invited into a conversation.
    Invited {
        /// The user.
        user: UserId,
        /// The inviting user.
        by: UserId,
        /// The conversation.
        conversation: ConversationId,
    },
}

#[derive(Serialize, Deserialize)]
struct Invited {
    user_id: UserId,
    invited_by: UserId,
    conversation_id: ConversationId,
}

/// The payload of a signal whose subject says the rest.
#[derive(Serialize, Deserialize)]
struct OfUser {
    user_id: UserId,
}

#[derive(Serialize, Deserialize)]
struct Revoked {
    login_id: LoginId,
    /// Repeated here, because a node receives the signals of two subjects in any order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspended: Option<UserId>,
}

#[derive(Serialize, Deserialize)]
struct Activity {
    user_id: UserId,
    is_active: bool,
}

/// The signals of all nodes, including this one.
pub struct Signals(SelectAll<Subscriber>);

impl Log {
    /// Sends a signal to all nodes, including this one.
    pub async fn tell(&self, signal: Signal) -> Result<(), Unavailable> {
        let (subject, payload) = match signal {
            Signal::Typing { conversation, user } => {
                (subject::typing(conversation), serde_json::to_vec(&OfUser { user_id: user }))
            }
            Signal::Revoked { login, suspended } => {
                (REVOKED.to_owned(), serde_json::to_vec(&Revoked { login_id: login, suspended }))
            }
            Signal::Suspended { user } => activity(user, false),
            Signal::Restored { user } => activity(user, true),
            Signal::Blocked { by } => (BLOCKED.to_owned(), serde_json::to_vec(&OfUser { user_id: by })),
            Signal::UserChanged { user } => {
                (CHANGED.to_owned(), serde_json::to_vec(&OfUser { user_id: user }))
            }
            Signal::Invited { user, by, conversation } => {
                let invited = Invited { user_id: user, invited_by: by, conversation_id: conversation };
                (INVITED.to_owned(), serde_json::to_vec(&invited))
            }
        };
        let payload = payload.map_err(Unavailable::because)?.into();
        self.client.publish(subject, payload).await.map_err(Unavailable::because)
    }

    /// Waits until the server has all signals of this process, for a process that is about to end.
    pub async fn flush(&self) -> Result<(), Unavailable> {
        self.client.flush().await.map_err(Unavailable::because)
    }

    /// Listens to all nodes. The subscription outlives reconnects, but signals that are sent in the meantime are lost.
    /// A listener that must not miss a revocation or a block reads them again after [`Log::connections`] has changed.
    pub async fn signals(&self) -> Result<Signals, Unavailable> {
        let mut all = SelectAll::new();
        for subject in [&*subject::all_typing(), REVOKED, ACTIVITY, BLOCKED, CHANGED, INVITED] {
            all.push(self.client.subscribe(subject.to_owned()).await.map_err(Unavailable::because)?);
        }
        Ok(Signals(all))
    }
}

impl Signals {
    /// The next signal; `None` when the connection is closed for good. Safe to cancel.
    pub async fn next(&mut self) -> Option<Signal> {
        loop {
            let message = self.0.next().await?;
            match read(&message) {
                Some(signal) => return Some(signal),
                None => tracing::warn!(subject = %message.subject, "could not read a signal; ignored it"),
            }
        }
    }
}

fn activity(user: UserId, is_active: bool) -> (String, serde_json::Result<Vec<u8>>) {
    (ACTIVITY.to_owned(), serde_json::to_vec(&Activity { user_id: user, is_active }))
}

fn read(message: &Message) -> Option<Signal> {
    let payload = &message.payload;
    Some(match message.subject.as_str() {
        REVOKED => {
            let Revoked { login_id: login, suspended } = said(payload)?;
            Signal::Revoked { login, suspended }
        }
        ACTIVITY => match said(payload)? {
            Activity { user_id: user, is_active: true } => Signal::Restored { user },
            Activity { user_id: user, is_active: false } => Signal::Suspended { user },
        },
        BLOCKED => Signal::Blocked { by: user(payload)? },
        CHANGED => Signal::UserChanged { user: user(payload)? },
        INVITED => {
            let Invited { user_id: user, invited_by: by, conversation_id: conversation } = said(payload)?;
            Signal::Invited { user, by, conversation }
        }
        typing => {
            let (conversation, _) = subject::conversation(typing)?;
            Signal::Typing { conversation, user: user(payload)? }
        }
    })
}

fn said<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    serde_json::from_slice(payload).ok()
}

fn user(payload: &[u8]) -> Option<UserId> {
    said(payload).map(|OfUser { user_id }| user_id)
}
