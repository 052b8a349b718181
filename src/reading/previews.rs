//! The preview that a list of conversations shows beside each of them: the first members and the last messages. All
//! conversations of a page share the queries, so that a client draws its first screen with one request.

use std::collections::HashMap;

use futures_util::future::try_join_all;

use super::{
    error::{ReadError, unless_missing},
    open::Reading,
};
use crate::{
    domain::{ConversationId, UserId},
    views::{self, Member, Message, Reader},
};

/// The members of a preview: the first of the list of members.
const MEMBERS: i64 = 10;
/// The messages of a preview: the last of the history.
const MESSAGES: i64 = 20;

/// The parts of a preview that a client asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PreviewParts {
    /// The first members.
    pub members: bool,
    /// The last messages.
    pub messages: bool,
}

/// The preview of a conversation.
#[derive(Debug, Default)]
pub struct Preview {
    /// The first members, by user id, and the number of all members.
    pub members: Option<(Vec<Member>, usize)>,
    /// The last messages that the reader may see, the newest first.
    pub messages: Option<Vec<Message>>,
}

impl Reading {
    /// The previews of conversations of a user, by at most three queries. As everywhere, the log decides what the user
    /// may see. A conversation of which the user is no longer a member has no preview.
    pub async fn previews(
        &self,
        me: UserId,
        ids: &[ConversationId],
        wanted: PreviewParts,
    ) -> Result<HashMap<ConversationId, Preview>, ReadError> {
        if ids.is_empty() || wanted == PreviewParts::default() {
            return Ok(HashMap::new());
        }
        let open = async |id| Ok::<_, ReadError>((id, unless_missing(self.open(me, id, None).await)?));
        let opened = try_join_all(ids.iter().copied().map(open)).await?;
        let rosters = opened.into_iter().filter_map(|(id, tracked)| Some((id, tracked?.conversation())));
        let rosters: Vec<_> = rosters.collect();
        let expired = self.expired_in(&rosters).await?;
        let (mut readers, mut previews) = (Vec::new(), HashMap::new());
        for (id, roster) in rosters {
            let Some(visible_from) = roster.visible_from(me) else { continue };
            let expired = expired.get(&id).copied().unwrap_or_default();
            readers.push(Reader { conversation: id, user: me, visible_from, expired });
            let members = wanted.members.then(|| (Vec::new(), roster.members().len()));
            previews.insert(id, Preview { members, messages: wanted.messages.then(Vec::new) });
        }
        if wanted.members {
            for (id, member) in views::first_members(self.views.pool(), &readers, MEMBERS).await? {
                if let Some((members, _)) = previews.get_mut(&id).and_then(|preview| preview.members.as_mut())
                {
                    members.push(member);
                }
            }
        }
        if wanted.messages {
            for (id, message) in views::last_messages(self.views.pool(), me, &readers, MESSAGES).await? {
                if let Some(messages) = previews.get_mut(&id).and_then(|preview| preview.messages.as_mut()) {
                    messages.push(message);
                }
            }
        }
        Ok(previews)
    }
}
