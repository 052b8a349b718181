//! Reactions to messages.

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Emoji, Event, Position, Time, UserId},
    views::{
        Fact, Moment, Projection, bigint, messages,
        moment::{self, with_moment},
        position,
        toggles::{self, Toggles},
    },
};

pub(super) const PROJECTION: Projection = Projection {
    name: "reactions",
    tables: &["reaction"],
    definition: include_str!("../../migrations/views/reactions.sql"),
    indexes: &[],
    apply,
};

/// The projection `messages` comes first and brings the messages to the end of the batch. A reaction to a message that
/// is deleted by then is void, or goes with the message.
fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        let mut all: Toggles<Of> = Toggles::new();
        for fact in facts {
            let (conversation, user) = (fact.recorded.conversation, fact.recorded.actor);
            match fact.event() {
                Some(Event::ReactionAdded(added)) => {
                    let key =
                        (conversation, added.message_position, Emoji::compared(added.emoji.as_str()), user);
                    toggles::put(&mut all, key, (user, fact.recorded.position, fact.recorded.time));
                }
                Some(Event::ReactionRemoved(removed)) => {
                    let key = (
                        conversation,
                        removed.message_position,
                        Emoji::compared(removed.emoji.as_str()),
                        user,
                    );
                    toggles::take(&mut all, key);
                }
                _ => {}
            }
        }
        take(connection, &all).await?;
        put(connection, &all).await?;
        let Some((conversations, messages)) = messages::deleted(facts) else { return Ok(()) };
        sqlx::query(
            "delete from reaction r using unnest($1::uuid[], $2::bigint[]) as gone (conversation_id, message)
             where r.conversation_id = gone.conversation_id and r.message = gone.message",
        )
        .bind(conversations)
        .bind(messages)
        .execute(connection)
        .await?;
        Ok(())
    })
}

/// Emojis are compared in one form, whatever form an older version has stored.
type Of = (ConversationId, Position, String, UserId);

async fn take(connection: &mut PgConnection, all: &Toggles<Of>) -> sqlx::Result<()> {
    let taken: Vec<&Of> = all.iter().filter(|(_, toggle)| toggle.taken).map(|(of, _)| of).collect();
    if taken.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from reaction r
         using unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[])
             as gone (conversation_id, message, emoji, user_id)
         where r.conversation_id = gone.conversation_id and r.message = gone.message
               and r.emoji = gone.emoji and r.user_id = gone.user_id",
    )
    .bind(taken.iter().map(|of| of.0.uuid()).collect::<Vec<_>>())
    .bind(taken.iter().map(|of| bigint(of.1)).collect::<Vec<_>>())
    .bind(taken.iter().map(|of| of.2.as_str()).collect::<Vec<_>>())
    .bind(taken.iter().map(|of| of.3.uuid()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn put(connection: &mut PgConnection, all: &Toggles<Of>) -> sqlx::Result<()> {
    let put: Vec<_> = all.iter().filter_map(|(of, toggle)| Some((of, toggle.put?))).collect();
    if put.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into reaction (conversation_id, message, emoji, user_id, position, reacted_at)
         select new.* from unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[], $5::bigint[],
                                  $6::timestamptz[])
             as new (conversation_id, message, emoji, user_id, position, reacted_at)
         join message m on m.conversation_id = new.conversation_id and m.position = new.message
                           and m.deleted_at is null
         on conflict do nothing",
    )
    .bind(put.iter().map(|(of, _)| of.0.uuid()).collect::<Vec<_>>())
    .bind(put.iter().map(|(of, _)| bigint(of.1)).collect::<Vec<_>>())
    .bind(put.iter().map(|(of, _)| of.2.as_str()).collect::<Vec<_>>())
    .bind(put.iter().map(|(of, _)| of.3.uuid()).collect::<Vec<_>>())
    .bind(put.iter().map(|(_, (_, at, _))| bigint(*at)).collect::<Vec<_>>())
    .bind(put.iter().map(|(_, (_, _, time))| time.datetime()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// A reaction of a member to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// The reacting member.
    pub user: UserId,
    /// The emoji.
    pub emoji: String,
    /// The position of the reaction, not of the message.
    pub position: Position,
    /// The time of the reaction.
    pub reacted_at: Time,
}

/// The reactions to a message, the oldest first, from after a position.
pub(crate) async fn reactions(
    pool: &PgPool,
    conversation: ConversationId,
    message: Position,
    after: Position,
    limit: i64,
) -> sqlx::Result<(Vec<Reaction>, Moment)> {
    let rows = sqlx::query(with_moment(
        "select user_id, emoji, position, reacted_at from reaction
         where conversation_id = $1 and message = $2 and position > $3 order by position limit $4",
    ))
    .bind(conversation.uuid())
    .bind(bigint(message))
    .bind(bigint(after))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let (rows, moment) = moment::read::<(Uuid, String, i64, OffsetDateTime)>(&rows)?;
    let reaction = |(user, emoji, at, reacted_at)| Reaction {
        user: UserId::known(user),
        emoji,
        position: position(at),
        reacted_at: Time::of(reacted_at),
    };
    Ok((rows.into_iter().map(reaction).collect(), moment))
}
