//! The content of an export: the user's own data, or the content under a legal hold.

use std::collections::BTreeMap;

use sqlx::PgPool;

use super::{
    error::ExportError,
    held::{Held, HeldEvents},
    line::Line,
    own::{self, Own},
    visible::VisibleEvents,
    withheld::withhold,
};
use crate::{
    accounts::exports::Export,
    domain::{ConversationId, Position, RetentionRules, Time},
    log::Log,
    views::{Memberships, Stay},
};

/// The content of the files of an export, besides the events in the log.
pub(super) enum Material {
    /// The data of the requesting user, with the stays in each conversation.
    Own(Own, BTreeMap<ConversationId, Vec<Stay>>, RetentionRules),
    /// The content under a hold.
    Held(Held),
}

/// The events of one conversation, page by page.
pub(super) enum Events<'a> {
    Own(VisibleEvents, Option<Time>, RetentionRules),
    Held(HeldEvents<'a>),
}

impl Material {
    pub(super) fn own(own: Own, memberships: &Memberships, rules: RetentionRules) -> Self {
        let mut stays: BTreeMap<ConversationId, Vec<Stay>> = BTreeMap::new();
        for stay in memberships.present.iter().chain(&memberships.past) {
            stays.entry(stay.conversation).or_default().push(*stay);
        }
        Self::Own(own, stays, rules)
    }

    /// The files before the conversations, each with its content.
    pub(super) fn files(&self, export: &Export) -> Vec<(&'static str, Vec<u8>)> {
        let (readme, others) = match self {
            Self::Own(own, ..) => (own::readme(export), own.files().into()),
            Self::Held(held) => (held.readme(export), vec![("hold.json", held.file())]),
        };
        [("README.txt", readme.into_bytes())].into_iter().chain(others).collect()
    }

    /// The conversations that may have events of the export, the oldest first.
    pub(super) fn conversations(&self) -> Vec<ConversationId> {
        match self {
            Self::Own(_, stays, _) => stays.keys().copied().collect(),
            Self::Held(held) => held.conversations.iter().copied().collect(),
        }
    }

    /// The events of a conversation up to and including a position; `None` if the export certainly has none of them.
    pub(super) async fn open(
        &self,
        log: &Log,
        export: &Export,
        id: ConversationId,
        upto: Position,
    ) -> Result<Option<Events<'_>>, ExportError> {
        Ok(match self {
            Self::Own(_, stays, rules) => {
                let stays = stays.get(&id).map(Vec::as_slice).unwrap_or_default();
                let visible = VisibleEvents::open(log, export.user, stays, upto).await?;
                visible.map(|visible| Events::Own(visible, export.of.since(), *rules))
            }
            Self::Held(held) => Some(Events::Held(held.open(log, id, upto).await?)),
        })
    }
}

impl Events<'_> {
    /// The next events, which may be none; `None` when all have been returned.
    pub(super) async fn page(&mut self, pool: &PgPool) -> Result<Option<Vec<Line>>, ExportError> {
        match self {
            Self::Own(visible, since, rules) => {
                let Some(mut lines) = visible.page().await? else { return Ok(None) };
                lines.retain(|line| since.is_none_or(|since| line.recorded.time >= since));
                withhold(pool, *rules, &mut lines).await?;
                Ok(Some(lines))
            }
            Self::Held(held) => Ok(held.page().await?),
        }
    }
}
