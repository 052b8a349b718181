//! The part of a history that a request asks for, as one page.

use crate::{
    api::{Cursor, Limit, Page, Problem},
    domain::Position,
    reading::{self, Asked, Direction},
};

/// The part of the history that the parameters name.
#[derive(Debug, PartialEq)]
pub(in crate::api) enum Wanted {
    From(Direction),
    Around(Position),
}

impl Wanted {
    /// A cursor continues in the direction of its page and overrides the other parameters.
    pub(in crate::api) fn by(
        before: Option<Position>,
        after: Option<Position>,
        around: Option<Position>,
        cursor: Option<Cursor<Direction>>,
    ) -> Result<Self, Problem> {
        let asked = match (before, after, around) {
            (before, None, None) => Self::From(Direction::Before(before.unwrap_or(Position::MAX))),
            (None, Some(after), None) => Self::From(Direction::After(after)),
            (None, None, Some(around)) => Self::Around(around),
            (_, after, _) => {
                let name = if after.is_some() { "after" } else { "around" };
                let detail = "before, after and around cannot be combined: send one of them";
                return Err(Problem::parameter(name, "contradictory", detail));
            }
        };
        Ok(cursor.map_or(asked, |Cursor(direction)| Self::From(direction)))
    }

    /// The messages to read for a page of at most `limit`. An extra message shows that the list continues.
    pub(in crate::api) fn asked(&self, limit: Limit) -> Asked {
        match *self {
            Self::From(direction) => Asked::From(direction, limit.and_one()),
            Self::Around(position) => {
                let (older, newer) = halves(limit);
                Asked::Around { position, older, newer }
            }
        }
    }

    /// Cuts the page out of the messages that were read.
    pub(in crate::api) fn page(&self, found: Vec<reading::Message>, limit: Limit) -> Page<reading::Message> {
        match *self {
            Self::From(direction) => Page::cut(found, limit, |last| direction.behind(last.position)),
            Self::Around(_) => Page::cut(found, limit, |last| Direction::Before(last.position)),
        }
    }
}

/// The numbers of messages on a page around a position: those at or before the position, and those after it.
fn halves(limit: Limit) -> (i64, i64) {
    let newer = limit.get() as i64 / 2;
    (limit.get() as i64 - newer, newer)
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ParseFromParameter;

    use super::*;

    const AT: Position = Position(5);

    #[test]
    fn a_page_goes_one_way() {
        let (end, yes, no) = (Direction::Before(Position::MAX), Some(AT), None);
        assert_eq!(Wanted::by(no, no, no, None).ok(), Some(Wanted::From(end)));
        assert_eq!(Wanted::by(yes, no, no, None).ok(), Some(Wanted::From(Direction::Before(AT))));
        assert_eq!(Wanted::by(no, yes, no, None).ok(), Some(Wanted::From(Direction::After(AT))));
        assert_eq!(Wanted::by(no, no, yes, None).ok(), Some(Wanted::Around(AT)));
        for (before, after, around) in [(yes, yes, no), (yes, no, yes), (no, yes, yes), (yes, yes, yes)] {
            let problem = Wanted::by(before, after, around, None).expect_err("refused");
            assert_eq!((problem.status.as_u16(), problem.code), (400, "invalid_parameter"));
        }
    }

    #[test]
    fn a_cursor_goes_on_the_way_of_its_page() {
        let end = Direction::After(AT).behind(Position(9));
        let cursor = Cursor::parse_from_parameter(&Cursor(end).to_string()).expect("cursor");
        let asked = Wanted::by(None, Some(AT), None, Some(cursor)).expect("asked");
        assert_eq!(asked, Wanted::From(Direction::After(Position(9))));
    }

    #[test]
    fn a_page_about_a_position_is_half_older_and_half_newer() {
        for (limit, expected) in [("1", (1, 0)), ("2", (1, 1)), ("3", (2, 1)), ("200", (100, 100))] {
            assert_eq!(halves(Limit::parse_from_parameter(limit).expect("limit")), expected);
        }
    }
}
