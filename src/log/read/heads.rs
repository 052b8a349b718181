//! The current heads of conversations: the last event of each lane, which a fold reads first. A look-up costs a
//! subscription, a request and the proof that its answer is complete, however many conversations it names, so readers
//! at the same time share one look-up.

use std::collections::{BTreeSet, HashMap};

use serde_json::json;

use crate::{
    domain::{ConversationId, Position, Recorded},
    log::{
        Log, NotRead, Unavailable,
        read::{fold::FOLDS, look_up::proven},
        subject,
    },
};

impl Log {
    /// The last event of each lane of conversations of one stream, in one look-up. The caller checks for holes
    /// afterwards.
    pub(in crate::log) async fn heads_of(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<Recorded>, NotRead> {
        match conversations {
            [] => Ok(Vec::new()),
            [one] => self.heads_among_others(*one).await,
            [first, ..] => self.heads_at_once(self.stream_of(*first), conversations).await,
        }
    }

    /// The shared look-up begins after this call, so its answer is as fresh as that of a separate look-up.
    async fn heads_among_others(&self, conversation: ConversationId) -> Result<Vec<Recorded>, NotRead> {
        let stream = self.stream_of(conversation);
        let (answer, has_to_ask) = self.gathered[stream].join(conversation);
        if has_to_ask {
            // Other callers wait for it, so it continues when this caller is cancelled.
            let log = self.clone();
            tokio::spawn(async move { log.ask_for_gathered(stream).await });
        }
        answer.await.map_err(|_| Unavailable::because("the process is stopping"))?
    }

    async fn ask_for_gathered(&self, stream: usize) {
        let mut turn = self.gathered[stream].turn();
        while let Some(waiting) = turn.next(FOLDS) {
            let ids: BTreeSet<ConversationId> = waiting.iter().map(|(id, _)| *id).collect();
            let found = self.heads_at_once(stream, &Vec::from_iter(ids)).await;
            let found = found.map(|found| {
                let mut heads: HashMap<ConversationId, Vec<Recorded>> = HashMap::new();
                for recorded in found {
                    heads.entry(recorded.conversation).or_default().push(recorded);
                }
                heads
            });
            for (id, answer) in waiting {
                let own = found.as_ref().map(|heads| heads.get(&id).cloned().unwrap_or_default());
                let _ = answer.send(own.map_err(Clone::clone));
            }
        }
    }

    async fn heads_at_once(
        &self,
        stream: usize,
        conversations: &[ConversationId],
    ) -> Result<Vec<Recorded>, NotRead> {
        let found = proven(|| self.heads_now(conversations)).await?;
        Ok(self.with_erased(stream, conversations, Position::MAX, found))
    }

    pub(in crate::log) async fn heads_now(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Option<Vec<Recorded>>, NotRead> {
        let Some(first) = conversations.first() else { return Ok(Some(Vec::new())) };
        // A replica that has the latest known event has all events before it.
        let latest = self.known(*first).latest();
        let last = latest.map(|latest| latest.conversation).filter(|id| !conversations.contains(id));
        let subjects: Vec<String> =
            conversations.iter().chain(&last).copied().map(subject::all_lanes).collect();
        let mut found = self.direct(self.stream_of(*first), &json!({ "multi_last": subjects })).await?;
        let newest = found.iter().map(|recorded| recorded.position).max().unwrap_or_default();
        found.retain(|recorded| conversations.contains(&recorded.conversation));
        match latest.filter(|latest| newest < latest.position) {
            None => Ok(Some(found)),
            Some(latest) => {
                self.is_there(self.stream_of(*first), latest.position).await?;
                Ok(None)
            }
        }
    }
}
