//! Mentions of messages.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use sqlx::PgConnection;

use crate::{
    domain::{Event, UserId},
    views::{
        Fact, Projection, bigint,
        messages::{self, Place},
    },
};

pub(super) const PROJECTION: Projection = Projection {
    name: "mentions",
    tables: &["mention"],
    definition: include_str!("../../migrations/views/mentions.sql"),
    indexes: &[],
    apply,
};

/// The projection `messages` comes first and brings the messages to the end of the batch. A message that is deleted by
/// then mentions no member, and the last text of a message counts.
fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        // The mentions of an earlier text are removed first.
        let mut over: BTreeSet<Place> = BTreeSet::new();
        let mut named: BTreeMap<Place, &[UserId]> = BTreeMap::new();
        for fact in facts {
            match fact.event() {
                Some(Event::MessageSent(sent)) if !sent.mentions.is_empty() => {
                    named.insert((fact.recorded.conversation, fact.recorded.position), &sent.mentions);
                }
                Some(Event::MessageEdited(edited)) => {
                    over.insert((fact.recorded.conversation, edited.message_position));
                    named.insert((fact.recorded.conversation, edited.message_position), &edited.mentions);
                }
                Some(Event::MessageDeleted(deleted)) => {
                    over.insert((fact.recorded.conversation, deleted.message_position));
                }
                _ => {}
            }
            over.extend(messages::erased_by(fact));
        }
        if !over.is_empty() {
            let (conversations, messages) = messages::columns(over.iter());
            sqlx::query(
                "delete from mention x using unnest($1::uuid[], $2::bigint[]) as gone (conversation_id, message)
                 where x.conversation_id = gone.conversation_id and x.message = gone.message",
            )
            .bind(conversations)
            .bind(messages)
            .execute(&mut *connection)
            .await?;
        }
        let rows: Vec<(&Place, UserId)> =
            named.iter().flat_map(|(place, users)| users.iter().map(move |user| (place, *user))).collect();
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "insert into mention (conversation_id, user_id, message, sender)
             select new.*, m.sender from unnest($1::uuid[], $2::uuid[], $3::bigint[])
                 as new (conversation_id, user_id, message)
             join message m on m.conversation_id = new.conversation_id and m.position = new.message
                               and m.deleted_at is null
             on conflict do nothing",
        )
        .bind(rows.iter().map(|(place, _)| place.0.uuid()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, user)| user.uuid()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(place, _)| bigint(place.1)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    })
}
