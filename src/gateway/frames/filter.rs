//! Selects the events that one socket receives. A filter does not affect the user's other sockets.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::ConversationId;

/// The most conversations that a filter can name.
const MOST: usize = 100;

/// The conversations whose events this socket receives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "EventFilter")]
pub struct Filter {
    /// The conversations, at most 100. If the user joins one of them later, it is included from then on.
    #[serde(deserialize_with = "few")]
    #[schemars(extend("maxItems" = MOST))]
    conversations: HashSet<ConversationId>,
}

impl Filter {
    /// Whether the filter names a conversation.
    pub fn wants(&self, id: ConversationId) -> bool {
        self.conversations.contains(&id)
    }
}

fn few<'de, D: serde::Deserializer<'de>>(from: D) -> Result<HashSet<ConversationId>, D::Error> {
    let ids: Vec<ConversationId> = Vec::deserialize(from)?;
    match ids.len() {
        0..=MOST => Ok(ids.into_iter().collect()),
        _ => Err(serde::de::Error::custom(format_args!("at most {MOST} conversations can be named"))),
    }
}
