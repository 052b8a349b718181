//! The messages of a conversation, for one of its members.

use std::collections::HashMap;

use super::{
    error::ReadError,
    open::Reading,
    when::{Asked, ListPart, Standing, When},
};
use crate::{
    domain::{ConversationId, MessageId, Position, UserId},
    feed::LookBack,
    views::{self, Reader},
};

impl Reading {
    /// A part of the history.
    pub async fn history(
        &self,
        me: UserId,
        id: ConversationId,
        asked: Asked,
        when: When,
    ) -> Result<(Vec<views::Message>, Standing), ReadError> {
        let (reader, past) = self.reader_when(me, id, when).await?;
        let floor = reader.floor();
        if let Some(past) = past {
            let found = match asked {
                Asked::From(direction, limit) => past.history(reader, direction, limit),
                Asked::Around { position, older, newer } => past.around(reader, position, older, newer),
            };
            return Ok((found, Standing { floor, ..Standing::past(&past) }));
        }
        let (found, moment) = match asked {
            Asked::From(direction, limit) => {
                views::history(self.views.pool(), reader, direction, limit).await?
            }
            Asked::Around { position, older, newer } => {
                views::around(self.views.pool(), reader, position, older, newer).await?
            }
        };
        Ok((found, Standing { floor, ..self.standing(me, id, &moment) }))
    }

    /// A message that the user may see.
    pub async fn message(
        &self,
        me: UserId,
        id: ConversationId,
        message: MessageId,
        min_position: Option<Position>,
    ) -> Result<views::Message, ReadError> {
        self.visible(self.reader(me, id, min_position).await?, message).await
    }

    /// A part of the versions of a message, the earliest first.
    pub async fn versions(
        &self,
        me: UserId,
        id: ConversationId,
        message: MessageId,
        part: ListPart<Position>,
        min_position: Option<Position>,
    ) -> Result<Vec<views::Version>, ReadError> {
        let message = self.message(me, id, message, min_position).await?.position;
        Ok(views::versions(self.views.pool(), id, message, part.after.unwrap_or_default(), part.limit)
            .await?)
    }

    /// A part of the reactions to a message, the earliest first.
    pub async fn reactions(
        &self,
        me: UserId,
        id: ConversationId,
        message: MessageId,
        part: ListPart<Position>,
        when: When,
    ) -> Result<(Vec<views::Reaction>, Standing), ReadError> {
        let (after, limit) = (part.after.unwrap_or_default(), part.limit);
        let (reader, past) = self.reader_when(me, id, when).await?;
        if let Some(past) = past {
            let found = past.reactions(reader, message, after, limit).ok_or(ReadError::NotFound)?;
            return Ok((found, Standing::past(&past)));
        }
        let message = self.visible(reader, message).await?.position;
        let (found, moment) = views::reactions(self.views.pool(), id, message, after, limit).await?;
        Ok((found, self.standing(me, id, &moment)))
    }

    /// A part of the pins, the latest first, each with its message. A pin comes without a message if the
    /// query for the messages does not find it any more.
    pub async fn pins(
        &self,
        me: UserId,
        id: ConversationId,
        part: ListPart<Position>,
        min_position: Option<Position>,
    ) -> Result<Vec<(views::Pin, Option<views::Message>)>, ReadError> {
        let reader = self.reader(me, id, min_position).await?;
        let before = part.after.unwrap_or(Position::MAX);
        let pins = views::pins(self.views.pool(), reader, before, part.limit).await?;
        let places: Vec<(Reader, Position)> = pins.iter().map(|pin| (reader, pin.message)).collect();
        let messages = views::messages_at(self.views.pool(), me, &places).await?;
        let mut messages: HashMap<Position, views::Message> =
            messages.into_iter().map(|(_, message)| (message.position, message)).collect();
        let with_message = |pin: views::Pin| {
            let message = messages.remove(&pin.message);
            (pin, message)
        };
        Ok(pins.into_iter().map(with_message).collect())
    }

    /// The reader for a member; and if `when` names an earlier point, the conversation as it was at this
    /// point.
    async fn reader_when(
        &self,
        user: UserId,
        id: ConversationId,
        when: When,
    ) -> Result<(Reader, Option<LookBack>), ReadError> {
        let reader = self.reader(user, id, when.min_position).await?;
        let past = match when.as_of {
            Some(as_of) => Some(self.past(user, id, Some(reader.visible_from), as_of).await?),
            None => None,
        };
        Ok((reader, past))
    }

    /// A message for its reader. Views may lag behind the log, so a message counts as missing only once the views have
    /// reached the end of the log.
    async fn visible(&self, reader: Reader, id: MessageId) -> Result<views::Message, ReadError> {
        if let Some(known) = views::message(self.views.pool(), reader, id).await? {
            return Ok(known);
        }
        let log = &self.log;
        let end = log.last(log.stream_of(reader.conversation)).await?;
        self.caught_up(reader.conversation, end).await?;
        views::message(self.views.pool(), reader, id).await?.ok_or(ReadError::NotFound)
    }
}
