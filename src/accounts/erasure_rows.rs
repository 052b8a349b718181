//! The rows of requests for erasure.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::{
        erasure_request::{ErasurePart, ErasureRequest},
        erasure_scope::ErasureScope,
    },
    domain::{ConversationId, ErasureId, EventId, HoldId, Position, Time, UserId},
};

/// A row of `auth.erasure`.
#[derive(FromRow)]
pub(super) struct Row {
    id: Uuid,
    scope: String,
    account_id: Option<Uuid>,
    rows: i32,
    reason: String,
    actor: Uuid,
    requested_at: OffsetDateTime,
    starts_at: OffsetDateTime,
    messages: i32,
    edits: i32,
    hidden_at: Option<OffsetDateTime>,
    views_done_at: Option<OffsetDateTime>,
    log_done_at: Option<OffsetDateTime>,
    wal_compacted_at: Option<OffsetDateTime>,
    archive_done_at: Option<OffsetDateTime>,
    done_at: Option<OffsetDateTime>,
    held_by: Vec<Uuid>,
    waits_for: Vec<String>,
}

/// Its columns.
pub(super) const COLUMNS: &str = "id, scope, account_id, rows, reason, actor, requested_at, starts_at, messages, edits, \
                       hidden_at, views_done_at, log_done_at, wal_compacted_at, archive_done_at, done_at, held_by, \
                       waits_for";

/// The requests of some rows, with their parts.
pub(super) async fn with_parts(pool: &PgPool, rows: Vec<Row>) -> sqlx::Result<Vec<ErasureRequest>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = pool.acquire().await?;
    let mut parts = parts(&mut connection, &rows).await?;
    let erasure = |row: Row| ErasureRequest {
        id: ErasureId::known(row.id),
        scope: ErasureScope::of(&row.scope),
        account: row.account_id.map(UserId::known),
        rows: row.rows.cast_unsigned(),
        reason: row.reason,
        actor: UserId::known(row.actor),
        requested_at: Time::of(row.requested_at),
        starts_at: Time::of(row.starts_at),
        messages: row.messages.cast_unsigned(),
        edits: row.edits.cast_unsigned(),
        hidden_at: row.hidden_at.map(Time::of),
        views_done_at: row.views_done_at.map(Time::of),
        log_done_at: row.log_done_at.map(Time::of),
        wal_compacted_at: row.wal_compacted_at.map(Time::of),
        archive_done_at: row.archive_done_at.map(Time::of),
        done_at: row.done_at.map(Time::of),
        held_by: row.held_by.into_iter().map(HoldId::known).collect(),
        waits_for: row.waits_for,
        parts: parts.remove(&row.id).unwrap_or_default(),
    };
    Ok(rows.into_iter().map(erasure).collect())
}

#[derive(FromRow)]
struct PartRow {
    erasure_id: Uuid,
    conversation_id: Uuid,
    positions: Vec<i64>,
    events: Vec<Uuid>,
    told_at: Option<i64>,
}

async fn parts(connection: &mut PgConnection, rows: &[Row]) -> sqlx::Result<HashMap<Uuid, Vec<ErasurePart>>> {
    let found: Vec<PartRow> = sqlx::query_as(
        "select erasure_id, conversation_id, positions, events, told_at from auth.erasure_conversation
         where erasure_id = any($1) order by conversation_id",
    )
    .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut parts: HashMap<Uuid, Vec<ErasurePart>> = HashMap::new();
    for row in found {
        parts.entry(row.erasure_id).or_default().push(ErasurePart {
            conversation: ConversationId::known(row.conversation_id),
            positions: row.positions.into_iter().map(position).collect(),
            events: row.events.into_iter().map(EventId::known).collect(),
            told_at: row.told_at.map(position),
        });
    }
    Ok(parts)
}

pub(super) fn bigint(position: Position) -> i64 {
    position.0.cast_signed()
}

fn position(bigint: i64) -> Position {
    Position(bigint.cast_unsigned())
}

pub(super) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
