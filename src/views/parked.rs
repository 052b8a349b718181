//! Parked events. An event that cannot be projected is parked together with its conversation: later events of the
//! conversation wait, and all other conversations continue.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Position},
    views::{bigint, position},
};

pub(super) const TABLE: &str = "parked";
pub(super) const DEFINITION: &str = include_str!("../../migrations/views/parked.sql");

/// An event at which the views of a conversation stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parked {
    /// The position from which the conversation stands still.
    pub position: Position,
    /// The conversation; `None` if the subject of the event names none.
    pub conversation: Option<ConversationId>,
    /// Why the event cannot be projected.
    pub reason: String,
}

/// Parks events of a stream, within the transaction of the events that could be projected.
pub(crate) async fn park(
    connection: &mut PgConnection,
    stream: usize,
    parked: &[Parked],
) -> sqlx::Result<()> {
    for Parked { position, conversation, reason } in parked {
        sqlx::query(
            "insert into parked (stream, position, conversation, reason) values ($1, $2, $3, $4)
             on conflict do nothing",
        )
        .bind(stream as i32)
        .bind(bigint(*position))
        .bind(conversation.map(ConversationId::uuid))
        .bind(reason)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The parked conversations of a stream.
pub(crate) async fn parked(connection: &mut PgConnection, stream: usize) -> sqlx::Result<Vec<Parked>> {
    let rows: Vec<(i64, Option<Uuid>, String)> = sqlx::query_as(
        "select position, conversation, reason from parked where stream = $1 order by position",
    )
    .bind(stream as i32)
    .fetch_all(connection)
    .await?;
    let parked = |(at, conversation, reason): (i64, Option<Uuid>, String)| Parked {
        position: position(at),
        conversation: conversation.map(ConversationId::known),
        reason,
    };
    Ok(rows.into_iter().map(parked).collect())
}

/// The first parked events of all streams, each with its stream.
pub(crate) async fn first_parked(pool: &PgPool, limit: i64) -> sqlx::Result<Vec<(usize, Parked)>> {
    let rows: Vec<(i32, i64, Option<Uuid>, String)> = sqlx::query_as(
        "select stream, position, conversation, reason from parked order by stream, position limit $1",
    )
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let parked = |(stream, at, conversation, reason): (i32, i64, Option<Uuid>, String)| {
        let conversation = conversation.map(ConversationId::known);
        (stream.unsigned_abs() as usize, Parked { position: position(at), conversation, reason })
    };
    Ok(rows.into_iter().map(parked).collect())
}

/// All parked conversations. The views may lack members who have joined them since.
pub(crate) async fn parked_conversations(pool: &PgPool) -> sqlx::Result<Vec<ConversationId>> {
    let found: Vec<Uuid> =
        sqlx::query_scalar("select conversation from parked where conversation is not null order by 1")
            .fetch_all(pool)
            .await?;
    Ok(found.into_iter().map(ConversationId::known).collect())
}

/// Resumes a conversation, from the event at which it was parked.
pub(crate) async fn unpark(connection: &mut PgConnection, conversation: ConversationId) -> sqlx::Result<()> {
    sqlx::query("delete from parked where conversation = $1")
        .bind(conversation.uuid())
        .execute(connection)
        .await
        .map(drop)
}

/// How many events are parked in the views of a schema.
pub(crate) async fn parked_in(connection: &mut PgConnection, schema: &str) -> sqlx::Result<i64> {
    let sql = format!("select count(*) from {schema}.parked");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await
}

/// How many events are parked.
pub(crate) async fn parked_count(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from parked").fetch_one(pool).await
}
