//! The stays of a user: in which conversations, since when, and until when.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::{
    domain::{ConversationId, Position, RetentionRules, UserId},
    views::{Checkpoint, Horizon, bigint, horizons, position},
};

/// A user's stay in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// The conversation of the membership.
    pub conversation: ConversationId,
    /// The event that began the stay.
    pub since: Position,
    /// The event that ended the stay, if it has ended.
    pub until: Option<Position>,
    /// The position after which the user may read messages: the beginning of the stay with `since_join`, else that of
    /// the conversation.
    pub visible_from: Position,
    /// The last event of the stay: its end, or else the last event of the conversation.
    pub last: Position,
    /// Whether the views of the conversation stand still, so that they may lack later events.
    pub parked: bool,
}

impl Stay {
    /// Whether an event at this position belongs to the stay. The events that begin and end the stay do.
    pub fn covers(&self, position: Position) -> bool {
        self.since <= position && self.until.is_none_or(|until| position <= until)
    }
}

/// The stays of a user, as far as the views have come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memberships {
    /// The conversations the user is in.
    pub present: Vec<Stay>,
    /// Stays that have ended.
    pub past: Vec<Stay>,
    /// The position of the views in each stream when the stays were read.
    pub at: Vec<Checkpoint>,
    /// The horizons of these conversations, if something has expired.
    pub horizons: HashMap<ConversationId, Horizon>,
}

impl Memberships {
    /// Whether the views had reached these positions in every stream.
    pub fn reach(&self, wanted: &[Checkpoint]) -> bool {
        let has = |wanted: &Checkpoint| {
            wanted.position == Position::START
                || self.at.iter().any(|at| at.stream == wanted.stream && at.position >= wanted.position)
        };
        wanted.iter().all(has)
    }
}

/// The stays of a user that continue, or that ended after `since`. One position counts for all streams, so it has to be
/// the least position of a cursor. Without rules for retention, no horizon is looked up.
pub(crate) async fn memberships(
    pool: &PgPool,
    rules: Option<RetentionRules>,
    user: UserId,
    since: Position,
) -> sqlx::Result<Memberships> {
    type MemberRow = (
        Vec<Uuid>,
        Vec<i64>,
        Vec<i64>,
        Vec<i64>,
        Vec<bool>,
        Vec<Uuid>,
        Vec<i64>,
        Vec<i64>,
        Vec<i64>,
        Vec<i32>,
        Vec<i64>,
        horizons::Rows,
    );
    let horizons = horizons::of_user(rules);
    // One statement sees one state: the lists are as complete as their checkpoints say.
    let row: MemberRow = sqlx::query_as(AssertSqlSafe(format!(
        "select present.*, past.*,
                (select coalesce(array_agg(stream order by stream), '{{}}')
                 from (select stream from checkpoint group by stream) s),
                (select coalesce(array_agg(position order by stream), '{{}}')
                 from (select stream, min(position) as position from checkpoint group by stream) p),
                {horizons}
         from (select coalesce(array_agg(c.id), '{{}}'), coalesce(array_agg(m.since), '{{}}'),
                      coalesce(array_agg(case c.history when 'full' then 0 else m.since end), '{{}}'),
                      coalesce(array_agg(c.head), '{{}}'),
                      coalesce(array_agg(exists (select from parked where conversation = c.id)), '{{}}')
               from member m join conversation c on c.id = m.conversation_id where m.user_id = $1) present,
              (select coalesce(array_agg(p.conversation_id), '{{}}'), coalesce(array_agg(p.since), '{{}}'),
                      coalesce(array_agg(case c.history when 'full' then 0 else p.since end), '{{}}'),
                      coalesce(array_agg(p.until), '{{}}')
               from past_member p left join conversation c on c.id = p.conversation_id
               where p.user_id = $1 and p.until > $2) past"
    )))
    .bind(user.uuid())
    .bind(bigint(since))
    .fetch_one(pool)
    .await?;
    let (present, begun, from, heads, parked, past, since, past_from, untils, streams, positions, horizons) =
        row;
    let present = present.into_iter().zip(begun).zip(from).zip(heads).zip(parked);
    let present = present.map(|((((id, since), visible_from), head), parked)| Stay {
        conversation: ConversationId::known(id),
        since: position(since),
        until: None,
        visible_from: position(visible_from),
        last: position(head),
        parked,
    });
    let past = past.into_iter().zip(since).zip(past_from).zip(untils);
    let past = past.map(|(((id, since), visible_from), until)| Stay {
        conversation: ConversationId::known(id),
        since: position(since),
        until: Some(position(until)),
        visible_from: position(visible_from),
        last: position(until),
        parked: false,
    });
    let at = streams.into_iter().zip(positions);
    let checkpoint = |(stream, at)| Checkpoint { stream: stream as usize, position: position(at) };
    Ok(Memberships {
        present: present.collect(),
        past: past.collect(),
        at: at.map(checkpoint).collect(),
        horizons: horizons::read(horizons),
    })
}
