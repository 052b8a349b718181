//! Reading a conversation as it was: which points may be named, and by whom.

use std::time::Duration;

use crate::{
    api::{Below, Problem},
    domain::{AsOf, ConversationId, Position},
    feed::{Past, PastError},
};

/// How long a read waits for this node to come to a position.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much a client's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_secs(60);

impl Below {
    /// The conversation as it was. A member sees what they may see now, so no point before they came
    /// in, if that is the setting.
    pub(in crate::api) async fn past(
        &self,
        id: ConversationId,
        visible_from: Option<Position>,
        as_of: AsOf,
    ) -> Result<Past, Problem> {
        match as_of {
            AsOf::Time(time) if time > self.clock.now().plus(AHEAD) => {
                return Err(refused("in_the_future", "that time has not come yet"));
            }
            AsOf::Position(position)
                if !self.commands.conversations.reached(id, position, PATIENCE).await =>
            {
                let detail = "the log has not reached this position: name a position that you have seen";
                return Err(refused("ahead_of_head", detail));
            }
            _ => {}
        }
        let past = self.feed.past(id, as_of).await?;
        let visible = visible_from.ok_or_else(Problem::not_found)?;
        if past.position() < visible {
            let detail = format!("you may see this conversation from position {visible} on");
            return Err(refused("before_you_joined", detail));
        }
        Ok(past)
    }
}

fn refused(code: &str, detail: impl Into<String>) -> Problem {
    Problem::parameter("as_of", code, detail)
}

impl From<PastError> for Problem {
    fn from(error: PastError) -> Self {
        match error {
            PastError::TooFar => refused("too_far", format!("{error}: name an earlier position")),
            PastError::Behind(behind) => behind.into(),
        }
    }
}
