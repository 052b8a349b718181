//! Subjects: `chat.<shard>.<conversation id>.<lane>`. They are built from ids only, so a subject never holds text of a
//! person.

use crate::domain::{ConversationId, Lane};

/// The number of shards, fixed for ever: the last two hex digits of a conversation's id.
pub(super) const SHARDS: usize = 256;

/// The last token of the core subject for typing, which no stream stores.
const TYPING: &str = "typing";

/// The subject of a lane of a conversation.
pub(super) fn of(conversation: ConversationId, lane: Lane) -> String {
    with_last_token(conversation, lane.word())
}

/// The filter for all lanes of a conversation.
pub(super) fn all_lanes(conversation: ConversationId) -> String {
    with_last_token(conversation, "*")
}

/// The subject for typing in a conversation.
pub(super) fn typing(conversation: ConversationId) -> String {
    with_last_token(conversation, TYPING)
}

/// The filter for typing in all conversations.
pub(super) fn all_typing() -> String {
    format!("chat.*.*.{TYPING}")
}

/// All presence changes.
pub(super) const ALL_PRESENCE: &str = "chat.*.*.presence";

fn with_last_token(conversation: ConversationId, last: &str) -> String {
    format!("chat.{:02x}.{conversation}.{last}", conversation.shard())
}

/// The conversation and last token of one of our subjects; `None` for anything not canonical.
pub(super) fn conversation(subject: &str) -> Option<(ConversationId, &str)> {
    let mut tokens = subject.split('.');
    let (root, shard, id, last) = (tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?);
    let read: ConversationId = id.parse().ok()?;
    // A conversation has exactly one subject for each lane: ids are in lower case there, as they are written.
    let canonical = root == "chat" && tokens.next().is_none() && id == read.to_string();
    (canonical && shard == format!("{:02x}", read.shard())).then_some((read, last))
}

/// The lane that a subject's last token names.
pub(super) fn lane(token: &str) -> Option<Lane> {
    Lane::named(token).filter(|_| token != TYPING)
}

/// Whether a stream with this subject stores the events of a lane that only a newer version knows.
pub(super) fn is_of_newer_lane(subject: &str) -> bool {
    let tokens: Vec<&str> = subject.split('.').collect();
    matches!(tokens[..], ["chat", _, "*", word] if matches!(lane(word), Some(Lane::Newer(_))))
}

/// Which of `streams` streams a conversation lives in; it never changes.
pub(super) fn stream_of(conversation: ConversationId, streams: usize) -> usize {
    usize::from(conversation.shard()) * streams / SHARDS
}

/// The subjects of stream `index` of `streams`.
pub(super) fn of_stream(index: usize, streams: usize) -> Vec<String> {
    let lanes = Lane::DURABLE;
    if streams == 1 {
        return lanes.iter().map(|lane| format!("chat.*.*.{}", lane.word())).collect();
    }
    let shards = SHARDS / streams;
    (index * shards..(index + 1) * shards)
        .flat_map(|shard| lanes.iter().map(move |lane| format!("chat.{shard:02x}.*.{}", lane.word())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";

    #[test]
    fn a_subject_is_built_from_an_id_and_read_back() {
        let id: ConversationId = ID.parse().expect("id");
        let subject = of(id, Lane::Timeline);
        assert_eq!(subject, format!("chat.ab.{ID}.timeline"));
        assert_eq!(conversation(&subject), Some((id, "timeline")));
        assert_eq!(lane("timeline"), Some(Lane::Timeline));
    }

    #[test]
    fn what_is_not_canonical_is_not_ours() {
        for wrong in [
            format!("chat.ac.{ID}.timeline"),
            format!("chat.ab.{ID}.timeline.more"),
            format!("chat.ab.{ID}"),
            format!("other.ab.{ID}.timeline"),
            format!("chat.ab.{}.timeline", ID.to_uppercase()),
            "chat.ab.*.timeline".into(),
        ] {
            assert_eq!(conversation(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_shard_is_in_exactly_one_stream() {
        let id: ConversationId = ID.parse().expect("id");
        for streams in [1, 2, 4, 64, 256] {
            let home = stream_of(id, streams);
            let wanted = "chat.ab.*.timeline".to_string();
            for index in 0..streams {
                let has = streams == 1 || of_stream(index, streams).contains(&wanted);
                assert_eq!(has, index == home, "stream {index} of {streams}");
            }
        }
    }
}
