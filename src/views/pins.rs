//! Pinned messages.

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Event, Position, Time, UserId},
    views::{
        Fact, Projection, Reader, bigint,
        messages::{self, Place},
        position,
        toggles::{self, Toggles},
    },
};

pub(super) const PROJECTION: Projection = Projection {
    name: "pins",
    tables: &["pin"],
    definition: include_str!("../../migrations/views/pins.sql"),
    indexes: &[],
    apply,
};

/// The projection `messages` comes first and brings the messages to the end of the batch. A pin of a message that is
/// deleted by then is void, or goes with the message.
fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        let mut all: Toggles<Place> = Toggles::new();
        for fact in facts {
            match fact.event() {
                Some(Event::MessagePinned(pinned)) => {
                    let place = (fact.recorded.conversation, pinned.message_position);
                    toggles::put(
                        &mut all,
                        place,
                        (fact.recorded.actor, fact.recorded.position, fact.recorded.time),
                    );
                }
                Some(Event::MessageUnpinned(unpinned)) => {
                    toggles::take(&mut all, (fact.recorded.conversation, unpinned.message_position));
                }
                Some(Event::MessageDeleted(deleted)) => {
                    toggles::take(&mut all, (fact.recorded.conversation, deleted.message_position));
                }
                _ => {}
            }
            for place in messages::erased_by(fact) {
                toggles::take(&mut all, place);
            }
        }
        if all.is_empty() {
            return Ok(());
        }
        let taken = all.iter().filter(|(_, toggle)| toggle.taken).map(|(place, _)| place);
        let (conversations, messages) = messages::columns(taken);
        sqlx::query(
            "delete from pin p using unnest($1::uuid[], $2::bigint[]) as gone (conversation_id, message)
             where p.conversation_id = gone.conversation_id and p.message = gone.message",
        )
        .bind(conversations)
        .bind(messages)
        .execute(&mut *connection)
        .await?;
        let put: Vec<_> = all.iter().filter_map(|(place, toggle)| Some((place, toggle.put?))).collect();
        let (conversations, messages) = messages::columns(put.iter().map(|(place, _)| *place));
        sqlx::query(
            "insert into pin (conversation_id, message, position, pinned_by, pinned_at)
             select new.* from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::timestamptz[])
                 as new (conversation_id, message, position, pinned_by, pinned_at)
             join message m on m.conversation_id = new.conversation_id and m.position = new.message
                               and m.deleted_at is null
             on conflict do nothing",
        )
        .bind(conversations)
        .bind(messages)
        .bind(put.iter().map(|(_, (_, at, _))| bigint(*at)).collect::<Vec<_>>())
        .bind(put.iter().map(|(_, (user, _, _))| user.uuid()).collect::<Vec<_>>())
        .bind(put.iter().map(|(_, (_, _, time))| time.datetime()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    })
}

/// A pinned message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin {
    /// The position of the pinned message.
    pub message: Position,
    /// The position of the pin.
    pub position: Position,
    /// The member with the latest pin.
    pub pinned_by: UserId,
    /// The time of the pin.
    pub pinned_at: Time,
}

/// The pins that a reader may see, the latest pin first, from before a position.
pub(crate) async fn pins(
    pool: &PgPool,
    reader: Reader,
    before: Position,
    limit: i64,
) -> sqlx::Result<Vec<Pin>> {
    let rows: Vec<(i64, i64, Uuid, OffsetDateTime)> = sqlx::query_as(
        "select message, position, pinned_by, pinned_at from pin
         where conversation_id = $1 and message > $2 and position < $3 order by position desc limit $4",
    )
    .bind(reader.conversation.uuid())
    .bind(bigint(reader.visible_from))
    .bind(bigint(before))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let pin = |(message, at, pinned_by, pinned_at)| Pin {
        message: position(message),
        position: position(at),
        pinned_by: UserId::known(pinned_by),
        pinned_at: Time::of(pinned_at),
    };
    Ok(rows.into_iter().map(pin).collect())
}
