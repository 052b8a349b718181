//! Memberships: who is in a conversation, and who was.

use std::{
    collections::{BTreeMap, HashMap},
    mem::discriminant,
};

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Event, Membership, Role, Time, UserId},
    views::{
        Fact, Moment, Projection, Reader, bigint,
        moment::{self, with_moment},
        position, read_word, word,
    },
};

pub(super) const PROJECTION: Projection = Projection {
    name: "members",
    tables: &["member", "past_member"],
    definition: include_str!("../../migrations/views/members.sql"),
    indexes: &[],
    apply,
};

fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        let changes: Vec<(&Fact, Change)> = facts.iter().flat_map(changes).collect();
        // Consecutive changes of one kind go into one statement.
        for run in changes.chunk_by(|(_, one), (_, next)| discriminant(one) == discriminant(next)) {
            match run[0].1 {
                Change::Added(..) => add(connection, run).await?,
                Change::Removed(_) => remove(connection, run).await?,
                Change::Became(..) => change_roles(connection, run).await?,
            }
        }
        Ok(())
    })
}

#[derive(Clone, Copy)]
enum Change {
    Added(UserId, Role),
    Removed(UserId),
    Became(UserId, Role),
}

fn changes(fact: &Fact) -> Vec<(&Fact, Change)> {
    let changes = match fact.event() {
        Some(Event::ConversationCreated(created)) => {
            created.members.iter().map(|member| Change::Added(member.user_id, member.role)).collect()
        }
        Some(Event::MemberAdded(added)) => vec![Change::Added(added.user_id, added.role)],
        Some(Event::MemberRemoved(removed)) => vec![Change::Removed(removed.user_id)],
        Some(Event::MemberRoleChanged(changed)) => vec![Change::Became(changed.user_id, changed.role)],
        _ => Vec::new(),
    };
    changes.into_iter().map(|change| (fact, change)).collect()
}

async fn add(connection: &mut PgConnection, run: &[(&Fact, Change)]) -> sqlx::Result<()> {
    let (mut conversations, mut users, mut roles) = (Vec::new(), Vec::new(), Vec::new());
    let (mut positions, mut times) = (Vec::new(), Vec::new());
    for (fact, change) in run {
        let Change::Added(user, role) = change else { continue };
        conversations.push(fact.recorded.conversation.uuid());
        users.push(user.uuid());
        roles.push(word(role));
        positions.push(bigint(fact.recorded.position));
        times.push(fact.recorded.time.datetime());
    }
    sqlx::query(
        "insert into member (conversation_id, user_id, role, since, joined_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[])
         on conflict (conversation_id, user_id) do nothing",
    )
    .bind(conversations)
    .bind(users)
    .bind(roles)
    .bind(positions)
    .bind(times)
    .execute(connection)
    .await?;
    Ok(())
}

async fn remove(connection: &mut PgConnection, run: &[(&Fact, Change)]) -> sqlx::Result<()> {
    let mut first: BTreeMap<(Uuid, Uuid), i64> = BTreeMap::new();
    for (fact, change) in run {
        let Change::Removed(user) = change else { continue };
        first
            .entry((fact.recorded.conversation.uuid(), user.uuid()))
            .or_insert(bigint(fact.recorded.position));
    }
    let (mut conversations, mut users, mut positions) = (Vec::new(), Vec::new(), Vec::new());
    for ((conversation, user), position) in first {
        conversations.push(conversation);
        users.push(user);
        positions.push(position);
    }
    sqlx::query(
        "with gone as (
             delete from member m
             using unnest($1::uuid[], $2::uuid[], $3::bigint[]) as old (conversation_id, user_id, until)
             where m.conversation_id = old.conversation_id and m.user_id = old.user_id
             returning m.conversation_id, m.user_id, m.since, old.until
         )
         insert into past_member (conversation_id, user_id, since, until)
         select conversation_id, user_id, since, until from gone on conflict do nothing",
    )
    .bind(conversations)
    .bind(users)
    .bind(positions)
    .execute(connection)
    .await?;
    Ok(())
}

async fn change_roles(connection: &mut PgConnection, run: &[(&Fact, Change)]) -> sqlx::Result<()> {
    let mut last: BTreeMap<(Uuid, Uuid), String> = BTreeMap::new();
    for (fact, change) in run {
        let Change::Became(user, role) = change else { continue };
        last.insert((fact.recorded.conversation.uuid(), user.uuid()), word(role));
    }
    let (mut conversations, mut users, mut roles) = (Vec::new(), Vec::new(), Vec::new());
    for ((conversation, user), role) in last {
        conversations.push(conversation);
        users.push(user);
        roles.push(role);
    }
    sqlx::query(
        "update member m set role = new.role
         from unnest($1::uuid[], $2::uuid[], $3::text[]) as new (conversation_id, user_id, role)
         where m.conversation_id = new.conversation_id and m.user_id = new.user_id",
    )
    .bind(conversations)
    .bind(users)
    .bind(roles)
    .execute(connection)
    .await?;
    Ok(())
}

/// The members of conversations, for folds.
pub(super) async fn rosters(
    connection: &mut PgConnection,
    conversations: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, BTreeMap<UserId, Membership>>> {
    let rows: Vec<(Uuid, Uuid, String, i64)> = sqlx::query_as(
        "select conversation_id, user_id, role, since from member where conversation_id = any($1)",
    )
    .bind(conversations)
    .fetch_all(connection)
    .await?;
    let mut rosters: HashMap<Uuid, BTreeMap<UserId, Membership>> = HashMap::new();
    for (conversation, user, role, since) in rows {
        let membership = Membership { role: read_word(role)?, since: position(since) };
        rosters.entry(conversation).or_default().insert(UserId::known(user), membership);
    }
    Ok(rosters)
}

/// A member as others see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member.
    pub user: UserId,
    /// The current role.
    pub role: Role,
    /// The time at which the current membership began.
    pub joined_at: Time,
}

/// The members of a conversation by id, from after `after`.
pub(crate) async fn members(
    pool: &PgPool,
    conversation: ConversationId,
    after: Option<UserId>,
    limit: i64,
) -> sqlx::Result<(Vec<Member>, Moment)> {
    let rows = sqlx::query(with_moment(
        "select user_id, role, joined_at from member
         where conversation_id = $1 and ($2::uuid is null or user_id > $2) order by user_id limit $3",
    ))
    .bind(conversation.uuid())
    .bind(after.map(UserId::uuid))
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let (rows, moment) = moment::read(&rows)?;
    Ok((rows.into_iter().map(member).collect::<sqlx::Result<_>>()?, moment))
}

/// The first members of each of these conversations by id, at most `limit`.
pub(crate) async fn first_members(
    pool: &PgPool,
    readers: &[Reader],
    limit: i64,
) -> sqlx::Result<Vec<(ConversationId, Member)>> {
    let rows: Vec<(Uuid, Uuid, String, OffsetDateTime)> = sqlx::query_as(
        "select c.id, m.user_id, m.role, m.joined_at from unnest($1::uuid[]) as c (id)
         cross join lateral (
             select user_id, role, joined_at from member where conversation_id = c.id order by user_id limit $2
         ) m
         order by c.id, m.user_id",
    )
    .bind(readers.iter().map(|reader| reader.conversation.uuid()).collect::<Vec<_>>())
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|(id, user, role, at)| Ok((ConversationId::known(id), member((user, role, at))?)))
        .collect()
}

fn member((user, role, joined_at): (Uuid, String, OffsetDateTime)) -> sqlx::Result<Member> {
    Ok(Member { user: UserId::known(user), role: read_word(role)?, joined_at: Time::of(joined_at) })
}

/// The conversations of a user, the latest message first, without conversations of more than `crowd` members.
pub(crate) async fn latest_of(
    pool: &PgPool,
    user: UserId,
    limit: i64,
    crowd: i64,
) -> sqlx::Result<Vec<ConversationId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "with latest as materialized (
             select c.id from member m join conversation c on c.id = m.conversation_id
             where m.user_id = $1 order by c.active_at desc limit $2
         )
         select id from latest
         where not exists (select from member m where m.conversation_id = latest.id offset $3)",
    )
    .bind(user.uuid())
    .bind(limit)
    .bind(crowd)
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(ConversationId::known).collect())
}

/// Whether one of these users is in at least this many conversations.
pub(crate) async fn any_is_in_as_many(pool: &PgPool, users: &[UserId], many: i64) -> sqlx::Result<bool> {
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    sqlx::query_scalar(
        "select exists (select from unnest($1::uuid[]) as asked (id)
                        where exists (select from member m where m.user_id = asked.id offset $2 - 1))",
    )
    .bind(users)
    .bind(many)
    .fetch_one(pool)
    .await
}

/// Conversations that a user shares with each of `users`: at most `most` for each.
pub(crate) async fn shared_with_each(
    pool: &PgPool,
    of: UserId,
    users: &[UserId],
    most: i64,
) -> sqlx::Result<Vec<(UserId, ConversationId)>> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "select asked.id, shared.conversation_id
         from unnest($2::uuid[]) as asked (id)
         cross join lateral (select conversation_id from member a join member b using (conversation_id)
                             where a.user_id = $1 and b.user_id = asked.id limit $3) shared",
    )
    .bind(of.uuid())
    .bind(users.iter().map(|user| user.uuid()).collect::<Vec<_>>())
    .bind(most)
    .fetch_all(pool)
    .await?;
    let pair = |(user, id)| (UserId::known(user), ConversationId::known(id));
    Ok(rows.into_iter().map(pair).collect())
}

/// Conversations that two users share, the latest message first.
pub(crate) async fn shared_conversations(
    pool: &PgPool,
    one: UserId,
    other: UserId,
    most: i64,
) -> sqlx::Result<Vec<ConversationId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "select c.id from member a join member b using (conversation_id) join conversation c on c.id = conversation_id
         where a.user_id = $1 and b.user_id = $2 order by c.active_at desc limit $3",
    )
    .bind(one.uuid())
    .bind(other.uuid())
    .bind(most)
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(ConversationId::known).collect())
}
