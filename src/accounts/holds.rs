//! Legal holds, which operators place and lift. The module `kept` has the rules of keeping.

use std::collections::BTreeSet;

use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    accounts::audit::{self, Stamp},
    domain::{Audited, ConversationId, HoldId, HoldLifted, HoldPlaced, Time, UserId},
};

/// The maximum number of active holds.
pub(crate) const MOST_HOLDS: i64 = 100;

/// A legal hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LegalHold {
    /// The id of the hold.
    pub id: HoldId,
    /// The name that operators gave it.
    pub name: String,
    /// The subjects whose content it keeps.
    pub of: HoldSubjects,
    /// The time from which it keeps messages.
    pub from: Option<Time>,
    /// The time from which it keeps no messages.
    pub to: Option<Time>,
    /// When it was placed.
    pub placed_at: Time,
    /// The account that placed it; none for an operator on the machine.
    pub placed_by: Option<UserId>,
    /// When it was lifted.
    pub lifted_at: Option<Time>,
    /// The account that lifted it; none for an operator on the machine.
    pub lifted_by: Option<UserId>,
}

impl LegalHold {
    /// Whether the hold keeps an event of this actor, in this conversation, at this time.
    pub(crate) fn names(&self, actor: UserId, conversation: ConversationId, time: Time) -> bool {
        let is_named = match &self.of {
            HoldSubjects::Users(users) => users.contains(&actor),
            HoldSubjects::Conversations(conversations) => conversations.contains(&conversation),
        };
        is_named && self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }
}

/// The subjects of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HoldSubjects {
    /// Users: their messages and their identities.
    Users(BTreeSet<UserId>),
    /// Conversations: all their messages.
    Conversations(BTreeSet<ConversationId>),
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    name: String,
    users: Vec<Uuid>,
    conversations: Vec<Uuid>,
    begins_at: Option<OffsetDateTime>,
    ends_at: Option<OffsetDateTime>,
    placed_at: OffsetDateTime,
    placed_by: Option<Uuid>,
    lifted_at: Option<OffsetDateTime>,
    lifted_by: Option<Uuid>,
}

impl From<Row> for LegalHold {
    fn from(row: Row) -> Self {
        let of = match row.users.is_empty() {
            false => HoldSubjects::Users(row.users.into_iter().map(UserId::known).collect()),
            true => HoldSubjects::Conversations(
                row.conversations.into_iter().map(ConversationId::known).collect(),
            ),
        };
        Self {
            id: HoldId::known(row.id),
            name: row.name,
            of,
            from: row.begins_at.map(Time::of),
            to: row.ends_at.map(Time::of),
            placed_at: Time::of(row.placed_at),
            placed_by: row.placed_by.map(UserId::known),
            lifted_at: row.lifted_at.map(Time::of),
            lifted_by: row.lifted_by.map(UserId::known),
        }
    }
}

impl HoldSubjects {
    /// The users and the conversations: one of the two is empty.
    pub(crate) fn parts(&self) -> (Vec<UserId>, Vec<ConversationId>) {
        match self {
            Self::Users(users) => (users.iter().copied().collect(), Vec::new()),
            Self::Conversations(conversations) => (Vec::new(), conversations.iter().copied().collect()),
        }
    }
}

/// Places a hold; `false` if too many are active.
pub(crate) async fn place(pool: &PgPool, hold: &LegalHold, stamp: Stamp) -> sqlx::Result<bool> {
    let (users, conversations) = hold.of.parts();
    let placed = HoldPlaced {
        users: users.len().try_into().unwrap_or(u32::MAX),
        conversations: conversations.len().try_into().unwrap_or(u32::MAX),
        from: hold.from,
        to: hold.to,
    };
    let mut transaction = pool.begin().await?;
    // Without the lock, two concurrent transactions could both take the last free place.
    sqlx::query("lock table auth.hold in share row exclusive mode").execute(&mut *transaction).await?;
    let is_placed = sqlx::query(
        "insert into auth.hold (id, name, users, conversations, begins_at, ends_at, placed_at, placed_by)
         select $1, $2, $3, $4, $5, $6, $7, $8
         where (select count(*) from auth.hold where lifted_at is null) < $9",
    )
    .bind(hold.id.uuid())
    .bind(&hold.name)
    .bind(users.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(conversations.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(hold.from.map(Time::datetime))
    .bind(hold.to.map(Time::datetime))
    .bind(hold.placed_at.datetime())
    .bind(hold.placed_by.map(UserId::uuid))
    .bind(MOST_HOLDS)
    .execute(&mut *transaction)
    .await?;
    if is_placed.rows_affected() == 0 {
        return Ok(false);
    }
    audit::note(&mut transaction, stamp, Audited::HoldPlaced(hold.id.uuid().into(), placed)).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Lifts a hold, and gives the eraser the requests that the hold kept back. `false` if there is no such hold; a hold
/// that was lifted before does not change.
pub(crate) async fn lift(pool: &PgPool, id: HoldId, stamp: Stamp) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    let was_active: Option<bool> = sqlx::query_scalar(
        "with known as (select id, lifted_at from auth.hold where id = $1 for update),
              lifted as (update auth.hold hold set lifted_at = $2, lifted_by = $3
                         from known where hold.id = known.id and known.lifted_at is null)
         select lifted_at is null from known",
    )
    .bind(id.uuid())
    .bind(stamp.at.datetime())
    .bind(stamp.by.actor.map(UserId::uuid))
    .fetch_optional(&mut *transaction)
    .await?;
    if was_active == Some(true) {
        // Another hold may still keep the content: the eraser checks this.
        sqlx::query("update auth.erasure set held_by = '{}' where $1 = any(held_by)")
            .bind(id.uuid())
            .execute(&mut *transaction)
            .await?;
        audit::note(&mut transaction, stamp, Audited::HoldLifted(id.uuid().into(), HoldLifted {})).await?;
    }
    transaction.commit().await?;
    Ok(was_active.is_some())
}

/// The hold with this id.
pub(crate) async fn find(pool: &PgPool, id: HoldId) -> sqlx::Result<Option<LegalHold>> {
    let row: Option<Row> =
        sqlx::query_as("select * from auth.hold where id = $1").bind(id.uuid()).fetch_optional(pool).await?;
    Ok(row.map(LegalHold::from))
}

/// The latest holds, active and lifted, from after the hold `after`.
pub(crate) async fn list(pool: &PgPool, after: Option<HoldId>, limit: i64) -> sqlx::Result<Vec<LegalHold>> {
    let rows: Vec<Row> =
        sqlx::query_as("select * from auth.hold where $1::uuid is null or id < $1 order by id desc limit $2")
            .bind(after.map(HoldId::uuid))
            .bind(limit)
            .fetch_all(pool)
            .await?;
    Ok(rows.into_iter().map(LegalHold::from).collect())
}

/// The holds that are not lifted.
pub(crate) async fn active(pool: &PgPool) -> sqlx::Result<Vec<LegalHold>> {
    let rows: Vec<Row> =
        sqlx::query_as("select * from auth.hold where lifted_at is null order by id").fetch_all(pool).await?;
    Ok(rows.into_iter().map(LegalHold::from).collect())
}
