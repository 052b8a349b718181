//! Snapshots of rosters, so that a long roster does not have to be read from its beginning.

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    domain::{
        ContentErased, Conversation, ConversationId, Event, EventId, Fold, Membership, Point, Position,
        Snapshot, UserId,
    },
    views::{Fact, Projection, bigint, position, read_word, titled, word},
};

pub(super) const PROJECTION: Projection = Projection {
    name: "rosters",
    tables: &["roster"],
    definition: include_str!("../../migrations/views/rosters.sql"),
    indexes: &[],
    apply,
};

/// The number of roster events between two snapshots. A fold reads at most this many events. The largest roster is
/// written once for this many events, which is about 1 KB for each event.
const EVERY: u64 = 256;

/// The snapshot after the event that a fold has just applied, if a snapshot is due there.
pub(crate) fn snapshot_due(fold: &Fold, event: EventId) -> Option<Snapshot> {
    let Fold { conversation, roster, changes, read, .. } = fold;
    let is_due = roster == read && changes.is_multiple_of(EVERY);
    let at = Point { position: *roster, event };
    is_due.then(|| Snapshot { at, changes: *changes, conversation: conversation.clone() })
}

fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        for fact in facts {
            if let Some(snapshot) = &fact.snapshot {
                keep(connection, fact.recorded.conversation, snapshot).await?;
            }
            if let Some(Event::ContentErased(erased)) = fact.event() {
                blank_titles(connection, fact.recorded.conversation, erased).await?;
            }
        }
        Ok(())
    })
}

async fn keep(connection: &mut PgConnection, id: ConversationId, snapshot: &Snapshot) -> sqlx::Result<()> {
    let Snapshot { at, changes, conversation } = snapshot;
    let (mut members, mut roles, mut sinces) = (Vec::new(), Vec::new(), Vec::new());
    for (user, Membership { role, since }) in conversation.members() {
        members.push(user.uuid());
        roles.push(word(role));
        sinces.push(bigint(since));
    }
    sqlx::query(
        "insert into roster (conversation_id, position, event, changes, kind, title, titled_at, history, retention,
                             members, roles, sinces)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict do nothing",
    )
    .bind(id.uuid())
    .bind(bigint(at.position))
    .bind(at.event.uuid())
    .bind(changes.cast_signed())
    .bind(word(conversation.kind()))
    .bind(conversation.title())
    .bind(conversation.titled().map(|titled| bigint(titled.at)))
    .bind(word(conversation.history()))
    .bind(conversation.retention().map(u64::cast_signed))
    .bind(members)
    .bind(roles)
    .bind(sinces)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the erased titles of a conversation in all of its snapshots.
async fn blank_titles(
    connection: &mut PgConnection,
    id: ConversationId,
    erased: &ContentErased,
) -> sqlx::Result<()> {
    let given: Vec<i64> = erased.titles().map(bigint).collect();
    if given.is_empty() {
        return Ok(());
    }
    sqlx::query("update roster set title = null where conversation_id = $1 and titled_at = any($2)")
        .bind(id.uuid())
        .bind(given)
        .execute(connection)
        .await
        .map(drop)
}

/// The last snapshot of a conversation's roster up to and including a position.
pub(crate) async fn snapshot(
    pool: &PgPool,
    conversation: ConversationId,
    up_to: Position,
) -> sqlx::Result<Option<Snapshot>> {
    type RosterRow = (
        i64,
        Uuid,
        i64,
        String,
        Option<String>,
        Option<i64>,
        String,
        Option<i64>,
        Vec<Uuid>,
        Vec<String>,
        Vec<i64>,
    );
    let row: Option<RosterRow> = sqlx::query_as(
        "select position, event, changes, kind, title, titled_at, history, retention, members, roles, sinces from roster
         where conversation_id = $1 and position <= $2 order by position desc limit 1",
    )
    .bind(conversation.uuid())
    .bind(bigint(up_to))
    .fetch_optional(pool)
    .await?;
    let Some((at, event, changes, kind, title, titled_at, history, retention, members, roles, sinces)) = row
    else {
        return Ok(None);
    };
    let member = |((user, role), since)| {
        Ok((UserId::known(user), Membership { role: read_word(role)?, since: position(since) }))
    };
    let members = members.into_iter().zip(roles).zip(sinces).map(member).collect::<sqlx::Result<_>>()?;
    let (kind, history, retention) =
        (read_word(kind)?, read_word(history)?, retention.map(i64::cast_unsigned));
    Ok(Some(Snapshot {
        at: Point { position: position(at), event: EventId::known(event) },
        changes: changes.cast_unsigned(),
        conversation: Conversation::restored(kind, titled(title, titled_at), history, retention, members)
            .into(),
    }))
}
