//! Invitations: a user invites a stranger, with whom the user shares no conversation, to a conversation.
//!
//! An invitation is private to two users, so it is not an event of a conversation, which all members could
//! read.

use std::collections::HashSet;

use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{ConversationId, Position, Time, UserId};

/// The maximum number of unexpired invitations that a user has sent. Declined ones count.
pub(crate) const MAX_BY: i64 = 100;
/// The maximum number of unexpired invitations that a user has received. Declined ones count.
pub(crate) const MAX_OF: i64 = 1_000;

/// An invitation of one user by another to a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invitation {
    /// The invited user.
    pub invited: UserId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The inviting user.
    pub by: UserId,
    /// The title of the group at the time of the invitation; `None` for a direct conversation.
    pub title: Option<String>,
    /// Whether the conversation is the direct one of the two users.
    pub is_direct: bool,
    /// The last position of the roster when the invitation was sent: a later event about the invited user voids it.
    /// `None` for a direct conversation, whose members stay, and for an invitation of an earlier version.
    pub roster: Option<Position>,
    /// The time of the invitation.
    pub created_at: Time,
    /// The time from which the invitation can no longer be accepted.
    pub expires_at: Time,
}

/// Why a user was not invited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InviteError {
    /// The inviting user has already sent [`MAX_BY`] invitations, or the invited user has already received
    /// [`MAX_OF`].
    #[error("there are too many open invitations")]
    TooMany,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

#[derive(FromRow)]
struct Row {
    invited_id: Uuid,
    conversation_id: Uuid,
    by_id: Uuid,
    title: Option<String>,
    is_direct: bool,
    roster_position: Option<i64>,
    created_at: OffsetDateTime,
    expires_at: OffsetDateTime,
}

impl From<Row> for Invitation {
    fn from(row: Row) -> Self {
        Self {
            invited: UserId::known(row.invited_id),
            conversation: ConversationId::known(row.conversation_id),
            by: UserId::known(row.by_id),
            title: row.title,
            is_direct: row.is_direct,
            roster: row.roster_position.map(|position| Position(position.cast_unsigned())),
            created_at: Time::of(row.created_at),
            expires_at: Time::of(row.expires_at),
        }
    }
}

/// Invites a user to a conversation; `false` if the user already has an invitation to it. A declined
/// invitation stays until it expires, so that no user is asked again and again.
pub(crate) async fn invite(pool: &PgPool, invitation: &Invitation) -> Result<bool, InviteError> {
    let Invitation { invited, conversation, by, title, is_direct, roster, created_at, expires_at } =
        invitation;
    let mut transaction = pool.begin().await?;
    // The locks on both accounts make the invitations of each happen one after the other, so that the limits
    // hold. The rows are locked in the order of their ids: in different orders, two transactions could
    // deadlock.
    sqlx::query("select 1 from auth.account where id in ($1, $2) order by id for no key update")
        .bind(invited.uuid())
        .bind(by.uuid())
        .execute(&mut *transaction)
        .await?;
    sqlx::query("delete from auth.invitation where (invited_id = $1 or by_id = $2) and expires_at <= $3")
        .bind(invited.uuid())
        .bind(by.uuid())
        .bind(created_at.datetime())
        .execute(&mut *transaction)
        .await?;
    let made = sqlx::query(
        "insert into auth.invitation
             (invited_id, conversation_id, by_id, title, is_direct, roster_position, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
    )
    .bind(invited.uuid())
    .bind(conversation.uuid())
    .bind(by.uuid())
    .bind(title)
    .bind(is_direct)
    .bind(roster.map(|position| position.0.cast_signed()))
    .bind(created_at.datetime())
    .bind(expires_at.datetime())
    .execute(&mut *transaction)
    .await?;
    let (by_one, of_one): (i64, i64) = sqlx::query_as(
        "select (select count(*) from auth.invitation where by_id = $1),
                (select count(*) from auth.invitation where invited_id = $2)",
    )
    .bind(by.uuid())
    .bind(invited.uuid())
    .fetch_one(&mut *transaction)
    .await?;
    if by_one > MAX_BY || of_one > MAX_OF {
        return Err(InviteError::TooMany);
    }
    transaction.commit().await?;
    Ok(made.rows_affected() == 1)
}

/// The open invitations of a user, latest first, from after the invitation that `after` names. Invitations by
/// users whom the user has since blocked are left out.
pub(crate) async fn invitations(
    pool: &PgPool,
    invited: UserId,
    now: Time,
    after: Option<(Time, ConversationId)>,
    limit: i64,
) -> sqlx::Result<Vec<Invitation>> {
    let (time, id) = after.map(|(time, id)| (time.datetime(), id.uuid())).unzip();
    let rows: Vec<Row> = sqlx::query_as(
        "select invited_id, conversation_id, by_id, title, is_direct, roster_position, created_at, expires_at
         from auth.invitation i
         where invited_id = $1 and not declined and expires_at > $2
           and not exists (select from auth.block where account_id = $1 and blocked_id = i.by_id)
           and ($3::timestamptz is null or (created_at, conversation_id) < ($3, $4))
         order by created_at desc, conversation_id desc limit $5",
    )
    .bind(invited.uuid())
    .bind(now.datetime())
    .bind(time)
    .bind(id)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Invitation::from).collect())
}

/// Marks an invitation as accepted, and returns it; `None` if the user has no open invitation to the
/// conversation.
pub(crate) async fn accept(
    pool: &PgPool,
    invited: UserId,
    conversation: ConversationId,
    now: Time,
) -> sqlx::Result<Option<Invitation>> {
    let row: Option<Row> = sqlx::query_as(
        "update auth.invitation set accepted = true
         where invited_id = $1 and conversation_id = $2 and not declined and expires_at > $3
         returning invited_id, conversation_id, by_id, title, is_direct, roster_position, created_at, expires_at",
    )
    .bind(invited.uuid())
    .bind(conversation.uuid())
    .bind(now.datetime())
    .fetch_optional(pool)
    .await?;
    Ok(row.map(Invitation::from))
}

/// Marks an invitation as declined; `false` if the user has no open invitation to the conversation.
pub(crate) async fn decline(
    pool: &PgPool,
    invited: UserId,
    conversation: ConversationId,
    now: Time,
) -> sqlx::Result<bool> {
    let declined = sqlx::query(
        "update auth.invitation set declined = true, accepted = false
         where invited_id = $1 and conversation_id = $2 and not declined and expires_at > $3",
    )
    .bind(invited.uuid())
    .bind(conversation.uuid())
    .bind(now.datetime())
    .execute(pool)
    .await?;
    Ok(declined.rows_affected() == 1)
}

/// Deletes the open invitation of a user to a conversation. A declined one stays, because otherwise the user could be
/// asked again and again.
pub(crate) async fn withdraw(
    pool: &PgPool,
    invited: UserId,
    conversation: ConversationId,
) -> sqlx::Result<()> {
    sqlx::query("delete from auth.invitation where invited_id = $1 and conversation_id = $2 and not declined")
        .bind(invited.uuid())
        .bind(conversation.uuid())
        .execute(pool)
        .await
        .map(drop)
}

/// The position of the roster at which a user was invited to a group, whether the invitation is open or declined.
pub(crate) async fn sent_at(
    pool: &PgPool,
    invited: UserId,
    conversation: ConversationId,
) -> sqlx::Result<Option<Position>> {
    let roster: Option<Option<i64>> = sqlx::query_scalar(
        "select roster_position from auth.invitation where invited_id = $1 and conversation_id = $2",
    )
    .bind(invited.uuid())
    .bind(conversation.uuid())
    .fetch_optional(pool)
    .await?;
    Ok(roster.flatten().map(|position| Position(position.cast_unsigned())))
}

/// Deletes the invitations of users to a conversation that they have joined or left at a position. An invitation that
/// was made after that stays: another node may have made it already.
pub(crate) async fn end(
    pool: &PgPool,
    users: &[UserId],
    conversation: ConversationId,
    at: Position,
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from auth.invitation where invited_id = any($1) and conversation_id = $2
         and (roster_position is null or roster_position < $3)",
    )
    .bind(users.iter().map(|user| user.uuid()).collect::<Vec<_>>())
    .bind(conversation.uuid())
    .bind(at.0.cast_signed())
    .execute(pool)
    .await
    .map(drop)
}

/// Removes the titles from the invitations to a conversation, except the given title.
pub(crate) async fn keep_title(
    pool: &PgPool,
    conversation: ConversationId,
    title: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update auth.invitation set title = null
         where conversation_id = $1 and title is not null and title is distinct from $2",
    )
    .bind(conversation.uuid())
    .bind(title)
    .execute(pool)
    .await
    .map(drop)
}

/// The users among `users` who consent to a direct conversation with the user `by`. A user consents by accepting an
/// invitation of `by`, or by having invited `by`. To a group, only the command that accepts an invitation consents: an
/// older consent may be from before the user left.
pub(crate) async fn consenting(
    pool: &PgPool,
    by: UserId,
    users: &[UserId],
    conversation: ConversationId,
    now: Time,
) -> sqlx::Result<HashSet<UserId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select case when by_id = $1 then invited_id else by_id end from auth.invitation
         where conversation_id = $3 and is_direct and expires_at > $4
           and ((by_id = $1 and invited_id = any($2) and accepted) or (invited_id = $1 and by_id = any($2)))",
    )
    .bind(by.uuid())
    .bind(users.iter().map(|user| user.uuid()).collect::<Vec<_>>())
    .bind(conversation.uuid())
    .bind(now.datetime())
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(UserId::known).collect())
}
