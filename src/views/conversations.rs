//! The conversations: their titles, their heads, and their folds for the projector. `mine.rs` has the queries of a
//! member.

use std::{
    collections::{BTreeMap, HashMap},
    mem::discriminant,
};

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        ContentErased, Conversation, ConversationCreated, ConversationId, ConversationUpdated, Event, Fold,
        History, Lane, Position, Recorded, Time,
    },
    views::{Fact, Projection, bigint, members, position, read_word, titled, word},
};

pub(super) const PROJECTION: Projection = Projection {
    name: "conversations",
    tables: &["conversation"],
    definition: include_str!("../../migrations/views/conversations.sql"),
    indexes: &["create index conversation_retention on conversation (id) where retention is not null;"],
    apply,
};

fn apply<'a>(connection: &'a mut PgConnection, facts: &'a [Fact]) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(async move {
        let mut changes = Vec::new();
        for fact in facts {
            match fact.event() {
                Some(Event::ConversationCreated(created)) => changes.push((fact, Change::Created(created))),
                Some(Event::ConversationUpdated(updated)) => changes.push((fact, Change::Updated(updated))),
                Some(Event::ContentErased(erased)) => changes.push((fact, Change::Erased(erased))),
                _ => {}
            }
        }
        // Consecutive changes of one kind go into one statement.
        for run in changes.chunk_by(|(_, one), (_, next)| discriminant(one) == discriminant(next)) {
            let created = run.iter().filter_map(|(fact, change)| match change {
                Change::Created(created) => Some((*fact, *created)),
                Change::Updated(_) | Change::Erased(_) => None,
            });
            create(connection, created.collect()).await?;
            let updated = run.iter().filter_map(|(fact, change)| match change {
                Change::Updated(updated) => Some((&fact.recorded, *updated)),
                Change::Created(_) | Change::Erased(_) => None,
            });
            update(connection, updated.collect()).await?;
            let erased = run.iter().filter_map(|(fact, change)| match change {
                Change::Erased(erased) => Some((fact.recorded.conversation, *erased)),
                Change::Created(_) | Change::Updated(_) => None,
            });
            blank_titles(connection, erased).await?;
        }
        heads(connection, facts).await
    })
}

enum Change<'a> {
    Created(&'a ConversationCreated),
    Updated(&'a ConversationUpdated),
    Erased(&'a ContentErased),
}

async fn create(
    connection: &mut PgConnection,
    created: Vec<(&Fact, &ConversationCreated)>,
) -> sqlx::Result<()> {
    if created.is_empty() {
        return Ok(());
    }
    let (mut ids, mut kinds, mut titles, mut histories) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut creators, mut times) = (Vec::new(), Vec::new());
    let (mut positions, mut changes) = (Vec::new(), Vec::new());
    for (fact, created) in created {
        ids.push(fact.recorded.conversation.uuid());
        kinds.push(word(created.kind));
        titles.push(created.title.as_deref());
        histories.push(word(created.history));
        creators.push(fact.recorded.actor.uuid());
        times.push(fact.recorded.time.datetime());
        positions.push(bigint(fact.recorded.position));
        changes.push(fact.changes.cast_signed());
    }
    sqlx::query(
        "insert into conversation
             (id, kind, title, titled_at, history, created_by, created_at, roster, changes, head, active_at)
         select id, kind, nullif(title, ''), case when title is not null then position end, history, by, time,
                position, changes, position, time
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::timestamptz[], $7::bigint[],
                     $8::bigint[])
             as new (id, kind, title, history, by, time, position, changes)
         on conflict (id) do nothing",
    )
    .bind(ids)
    .bind(kinds)
    .bind(titles)
    .bind(histories)
    .bind(creators)
    .bind(times)
    .bind(positions)
    .bind(changes)
    .execute(connection)
    .await?;
    Ok(())
}

/// The changes to a conversation: title with the event that gives it, history setting and retention.
type Update<'a> = (Option<(&'a str, Position)>, Option<History>, Option<u64>);

/// A statement may touch a row once, so the changes of one conversation are folded first.
async fn update(
    connection: &mut PgConnection,
    updated: Vec<(&Recorded, &ConversationUpdated)>,
) -> sqlx::Result<()> {
    if updated.is_empty() {
        return Ok(());
    }
    let mut last: BTreeMap<ConversationId, Update<'_>> = BTreeMap::new();
    for (Recorded { conversation, position, .. }, updated) in updated {
        let (title, history, retention) = last.entry(*conversation).or_default();
        *title = updated.title.as_deref().map(|title| (title, *position)).or(*title);
        *history = updated.history.or(*history);
        *retention = updated.retention_s.or(*retention);
    }
    let (mut ids, mut titles, mut titled) = (Vec::new(), Vec::new(), Vec::new());
    let (mut histories, mut retentions) = (Vec::new(), Vec::new());
    for (id, (title, history, retention)) in last {
        ids.push(id.uuid());
        titles.push(title.map(|(title, _)| title));
        titled.push(title.map(|(_, at)| bigint(at)));
        histories.push(history.map(word));
        retentions.push(retention.map(u64::cast_signed));
    }
    sqlx::query(
        "update conversation c set title = nullif(coalesce(new.title, c.title), ''),
             titled_at = coalesce(new.titled_at, c.titled_at), history = coalesce(new.history, c.history),
             retention = nullif(coalesce(new.retention, c.retention), 0)
         from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bigint[])
             as new (id, title, titled_at, history, retention)
         where c.id = new.id",
    )
    .bind(ids)
    .bind(titles)
    .bind(titled)
    .bind(histories)
    .bind(retentions)
    .execute(connection)
    .await?;
    Ok(())
}

/// Blanks erased titles, unless a later event has given another title.
async fn blank_titles<'a>(
    connection: &mut PgConnection,
    erased: impl Iterator<Item = (ConversationId, &'a ContentErased)>,
) -> sqlx::Result<()> {
    let given = |(id, erased): (ConversationId, &'a ContentErased)| erased.titles().map(move |at| (id, at));
    let (ids, positions): (Vec<Uuid>, Vec<i64>) =
        erased.flat_map(given).map(|(id, at)| (id.uuid(), bigint(at))).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update conversation c set title = null from unnest($1::uuid[], $2::bigint[]) as gone (id, position)
         where c.id = gone.id and c.titled_at = gone.position",
    )
    .bind(ids)
    .bind(positions)
    .execute(connection)
    .await
    .map(drop)
}

/// The last position of each conversation in the batch, and the time of its last message, in one statement. A change to
/// an old message does not bring its conversation to the front of a list.
async fn heads(connection: &mut PgConnection, facts: &[Fact]) -> sqlx::Result<()> {
    let mut last: BTreeMap<ConversationId, (Position, u64, Position, Option<Time>)> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.counts) {
        let (head, changes, roster, time) = last.entry(fact.recorded.conversation).or_insert((
            fact.recorded.position,
            0,
            Position::START,
            None,
        ));
        (*head, *changes) = (fact.recorded.position, fact.changes);
        if matches!(fact.event(), Some(Event::MessageSent(_))) {
            *time = Some(fact.recorded.time);
        }
        if fact.recorded.lane == Lane::Roster {
            *roster = fact.recorded.position;
        }
    }
    let mut ids = Vec::new();
    let (mut heads, mut counts, mut rosters, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, (head, changes, roster, time)) in last {
        ids.push(id.uuid());
        heads.push(bigint(head));
        counts.push(changes.cast_signed());
        rosters.push(bigint(roster));
        times.push(time.map(Time::datetime));
    }
    sqlx::query(
        "update conversation c
         set head = new.head, changes = new.changes, roster = greatest(c.roster, new.roster),
             active_at = coalesce(new.time, c.active_at)
         from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
             as new (id, head, changes, roster, time)
         where c.id = new.id and c.head < new.head",
    )
    .bind(ids)
    .bind(heads)
    .bind(counts)
    .bind(rosters)
    .bind(times)
    .execute(connection)
    .await?;
    Ok(())
}

/// The folds of conversations as the views have them. The projector continues from these.
pub(crate) async fn folds(
    connection: &mut PgConnection,
    ids: &[ConversationId],
) -> sqlx::Result<HashMap<ConversationId, Fold>> {
    type FoldRow = (Uuid, String, Option<String>, Option<i64>, String, Option<i64>, i64, i64, i64);
    let uuids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows: Vec<FoldRow> = sqlx::query_as(
        "select id, kind, title, titled_at, history, retention, roster, changes, head from conversation
         where id = any($1)",
    )
    .bind(&uuids)
    .fetch_all(&mut *connection)
    .await?;
    let mut rosters = members::rosters(connection, &uuids).await?;
    let fold = |(id, kind, title, titled_at, history, retention, roster, changes, head): FoldRow| {
        let members = rosters.remove(&id).unwrap_or_default();
        let (kind, history, retention) =
            (read_word(kind)?, read_word(history)?, retention.map(i64::cast_unsigned));
        let conversation =
            Conversation::restored(kind, titled(title, titled_at), history, retention, members);
        let fold = Fold {
            conversation: conversation.into(),
            roster: position(roster),
            changes: changes.cast_unsigned(),
            head: position(head),
            read: position(head),
        };
        Ok((ConversationId::known(id), fold))
    };
    rows.into_iter().map(fold).collect()
}
