//! A list together with its moment, by one statement: the list has all events up to some positions, and no event after
//! them.

use sqlx::{AssertSqlSafe, FromRow, Row as _, ValueRef as _, postgres::PgRow};
use uuid::Uuid;

use crate::{
    domain::{ConversationId, EventId, Point, Position},
    views::position,
};

/// The position that the views have to reach in one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The stream.
    pub stream: usize,
    /// The position in that stream.
    pub position: Position,
}

/// The position of the views at the time of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The positions in the streams that the views know.
    at: Vec<(usize, Point)>,
    /// The conversations whose views stand still before these positions.
    parked: Vec<Uuid>,
}

impl Moment {
    /// The position in each of this many streams.
    pub fn points(&self, streams: usize) -> Vec<Point> {
        let mut points = vec![Point::START; streams];
        for (stream, point) in &self.at {
            if let Some(its) = points.get_mut(*stream) {
                *its = *point;
            }
        }
        points
    }

    /// Whether the views of a conversation stood still, while other conversations moved on.
    pub fn is_parked(&self, id: ConversationId) -> bool {
        self.parked.contains(&id.uuid())
    }

    /// The conversations whose views stood still.
    pub(crate) fn parked(&self) -> impl ExactSizeIterator<Item = ConversationId> + '_ {
        self.parked.iter().copied().map(ConversationId::known)
    }
}

/// The statement for the rows of a list, each with the moment after its columns. The columns of an empty list are null.
/// There is one moment, so the rows keep their order. All views are at the same position, so the checkpoints of one
/// projection apply to all.
pub(super) fn with_moment(list: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "select list.*, moment.* from (
             select array_agg(stream) as moment_streams, array_agg(position) as moment_positions,
                    array_agg(event) as moment_events,
                    (select array_agg(conversation) from parked where conversation is not null) as moment_parked
             from checkpoint where projection = 'messages'
         ) moment left join lateral ({list}) list on true"
    ))
}

/// The rows of such a statement. The first column of the list must never be null.
pub(super) fn read<T>(rows: &[PgRow]) -> sqlx::Result<(Vec<T>, Moment)>
where
    T: for<'r> FromRow<'r, PgRow>,
{
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let of_moment = |row: &PgRow| {
        let streams: Option<Vec<i32>> = row.try_get("moment_streams")?;
        let positions: Option<Vec<i64>> = row.try_get("moment_positions")?;
        let events: Option<Vec<Uuid>> = row.try_get("moment_events")?;
        let parked: Option<Vec<Uuid>> = row.try_get("moment_parked")?;
        let points = positions.unwrap_or_default().into_iter().zip(events.unwrap_or_default());
        let points = points.map(|(at, event)| Point { position: position(at), event: EventId::known(event) });
        let streams = streams.unwrap_or_default().into_iter().map(|stream| stream as usize);
        let parked = parked.unwrap_or_default();
        Ok::<_, sqlx::Error>(Moment { at: streams.zip(points).collect(), parked })
    };
    let is_empty = first.try_get_raw(0)?.is_null();
    let list = if is_empty { Ok(Vec::new()) } else { rows.iter().map(T::from_row).collect() };
    Ok((list?, of_moment(first)?))
}
