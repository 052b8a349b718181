//! Horizons: the messages of a conversation that are older than its retention. Time moves a horizon, not an event, so
//! no row stores it: each read asks the clock of Postgres, which is the same for all nodes.
//!
//! A horizon is a position: the last message that is too old, with everything before it. So a page of history has no
//! hole, however much the clocks of the nodes differed when they wrote the times.

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgPool, types::Json};
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Position, RetentionRules},
    views::position,
};

/// Whether a message is erased, as a number: an index finds a boolean by its plain column only.
const ERASED: &str = "(case when deleted_at is not null and deleted_by is null then 1 else 0 end)";
/// The messages by their age, the erased ones separately: the eraser looks for the oldest of the others.
pub(super) const INDEX: &str = "create index message_age on message
     (conversation_id, (case when deleted_at is not null and deleted_by is null then 1 else 0 end), sent_at);";
/// The most expired messages of a conversation that are returned at once.
const MOST: i64 = 5_000;
/// A message may exceed its retention by one part in this many before it is looked for, because each search reads the
/// conversation from its oldest message on.
const LATE: u64 = 24;

/// The retention of the conversation `c` in seconds, as SQL; null if its messages are kept for ever.
fn seconds(rules: RetentionRules, c: &str) -> String {
    let RetentionRules { default, least, most } = rules;
    let default = default.map_or("null".to_owned(), |seconds| seconds.to_string());
    let most = most.map_or("null".to_owned(), |seconds| seconds.to_string());
    let wanted = format!("coalesce({c}.retention, {default}::bigint)");
    // `least` ignores nulls, and so does `greatest`.
    format!("least(case when {wanted} is not null then greatest({wanted}, {least}) end, {most}::bigint)")
}

/// The last expired position of the conversation `c`, as SQL; null if there is none.
pub(super) fn expired(rules: RetentionRules, c: &str) -> String {
    expired_after(&seconds(rules, c), c)
}

/// The position after which the member `me` may see the messages of the conversation `c`, as SQL.
pub(super) fn visible_from(rules: RetentionRules) -> String {
    let expired = expired(rules, "c");
    format!("greatest(case c.history when 'full' then 0 else me.since end, {expired})")
}

fn expired_after(seconds: &str, c: &str) -> String {
    let last = |erased: u8| {
        format!(
            "(select position from message
              where conversation_id = {c}.id and {ERASED} = {erased}
                    and sent_at < now() - make_interval(secs => {seconds})
              order by sent_at desc limit 1)"
        )
    };
    // Without a retention, no messages are looked up.
    format!(
        "case when {seconds} is not null then (select max(position) from ({} union all {}) last) end",
        last(0),
        last(1)
    )
}

/// Which conversations may have a retention, as SQL about the table `conversation` under the name `c`.
fn of_those(rules: RetentionRules, c: &str) -> String {
    match rules.of(None) {
        Some(_) => "true".into(),
        None => format!("{c}.retention is not null"),
    }
}

/// The last expired positions of the conversations with these retentions that have one.
pub(crate) async fn expired_in(
    pool: &PgPool,
    conversations: &[(ConversationId, u64)],
) -> sqlx::Result<HashMap<ConversationId, Position>> {
    if conversations.is_empty() {
        return Ok(HashMap::new());
    }
    let expired = expired_after("asked.seconds", "asked");
    let rows: Vec<(Uuid, Option<i64>)> = sqlx::query_as(AssertSqlSafe(format!(
        "select asked.id, {expired} from unnest($1::uuid[], $2::bigint[]) as asked (id, seconds)"
    )))
    .bind(conversations.iter().map(|(id, _)| id.uuid()).collect::<Vec<_>>())
    .bind(conversations.iter().map(|(_, seconds)| seconds.cast_signed()).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let there = |(id, at): (Uuid, Option<i64>)| Some((ConversationId::known(id), position(at?)));
    Ok(rows.into_iter().filter_map(there).collect())
}

/// Expired messages that are not erased, by conversation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The positions of the messages, in order.
    pub due: Vec<(ConversationId, Vec<Position>)>,
    /// The last conversation of this search; `None` if there is none after it.
    pub last: Option<ConversationId>,
}

/// Looks for expired messages that are neither erased nor pinned, in the next conversations by id, without those of
/// `but`.
pub(crate) async fn expired_messages(
    pool: &PgPool,
    rules: RetentionRules,
    after: Option<ConversationId>,
    but: &[ConversationId],
    limit: i64,
) -> sqlx::Result<Expired> {
    let of_those = of_those(rules, "conversation");
    let (seconds, conversation) = (seconds(rules, "c"), ConversationId::uuid);
    let due = format!(
        "from message m
         where m.conversation_id = c.id and {ERASED} = 0 and m.sent_at < now() - make_interval(secs => c.seconds)
               and not exists (
                   select from pin where conversation_id = m.conversation_id and message = m.position)
         order by m.sent_at limit"
    );
    let rows: Vec<(Uuid, Option<Vec<i64>>)> = sqlx::query_as(AssertSqlSafe(format!(
        "with looked as materialized (
             select id, retention from conversation where ($1::uuid is null or id > $1) and {of_those} order by id limit $2
         ),
         c as materialized (select id, {seconds} as seconds from looked c)
         select c.id, case when c.id <> all($3) and oldest.sent_at < now() - make_interval(secs => c.seconds * {late})
                           then array(select position from (select position {due} {MOST}) due order by position) end
         from c left join lateral (select sent_at {due} 1) oldest on true
         order by c.id",
        late = (LATE + 1) as f64 / LATE as f64,
    )))
    .bind(after.map(conversation))
    .bind(limit)
    .bind(but.iter().copied().map(conversation).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let is_over = (rows.len() as i64) < limit;
    let last = rows.last().filter(|_| !is_over).map(|(id, _)| ConversationId::known(*id));
    let due = |(id, positions): (Uuid, Option<Vec<i64>>)| {
        let positions: Vec<Position> = positions?.into_iter().map(position).collect();
        Some((ConversationId::known(id), positions))
    };
    Ok(Expired { due: rows.into_iter().filter_map(due).collect(), last })
}

/// The horizons of the conversations of the user `$1`, including those that the user has left after `$2`, as SQL.
pub(super) fn of_user(rules: Option<RetentionRules>) -> String {
    let Some(rules) = rules else { return "'[]'::json".into() };
    let (expired, of_those) = (expired(rules, "c"), of_those(rules, "c"));
    // An installation without a retention only pays for one look-up in an index.
    let is_any = match rules.of(None) {
        Some(_) => "true",
        None => "exists (select from conversation where retention is not null)",
    };
    format!(
        "(case when {is_any} then (select coalesce(json_agg(json_build_object(
                    'conversation', conversation, 'expired', expired, 'pinned', array(
                        select message from pin where conversation_id = conversation and message <= expired))), '[]')
          from (select c.id as conversation, {expired} as expired
                from (select conversation_id from member where user_id = $1 union
                      select conversation_id from past_member where user_id = $1 and until > $2) stay
                join conversation c on c.id = stay.conversation_id and {of_those} offset 0) horizon
          where expired is not null) else '[]'::json end)"
    )
}

/// Horizons as a statement returns them.
pub(super) type Rows = Json<Vec<Row>>;

#[derive(Deserialize)]
pub(super) struct Row {
    conversation: Uuid,
    expired: i64,
    pinned: Vec<i64>,
}

pub(super) fn read(Json(rows): Rows) -> HashMap<ConversationId, Horizon> {
    let horizon = |Row { conversation, expired, pinned }: Row| {
        let pinned = pinned.into_iter().map(position).collect();
        (ConversationId::known(conversation), Horizon { expired: position(expired), pinned })
    };
    rows.into_iter().map(horizon).collect()
}

/// The part of a conversation that a user no longer gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Horizon {
    /// The last expired position.
    pub expired: Position,
    /// The expired messages that are still shown, because they are pinned.
    pub pinned: Vec<Position>,
}

impl Horizon {
    /// Whether a message at a position is not shown.
    pub fn hides(&self, message: Position) -> bool {
        message <= self.expired && !self.pinned.contains(&message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_horizon_hides_what_is_expired_and_not_pinned() {
        let horizon = Horizon { expired: Position(9), pinned: vec![Position(7)] };
        assert_eq!([7, 8, 9, 10].map(|at| horizon.hides(Position(at))), [false, true, true, false]);
    }
}
