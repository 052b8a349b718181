//! The filter of a consumer: which events it reads.

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    accounts::consumers::StoredConsumer,
    domain::{Audited, ConversationId, Event, Lane},
};

/// The maximum number of subjects of one durable.
const SUBJECTS: usize = 100;

/// An invalid field of a consumer, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct BadFilter {
    /// The field.
    pub(crate) field: &'static str,
    /// A word for programs.
    pub(crate) code: &'static str,
    detail: String,
}

impl BadFilter {
    /// The refusal of a name that no consumer can have.
    pub(super) fn reserved(name: &str) -> Self {
        let detail = format!("no consumer can have the name `{name}`: choose another one");
        Self { field: "name", code: "reserved", detail }
    }
}

/// Which events a consumer reads: lanes of all or of some conversations, and optionally audit events. Also says whether
/// only one process of the consumer reads at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumerFilter {
    pub(super) lanes: Vec<Lane>,
    /// Empty for all.
    pub(super) conversations: Vec<ConversationId>,
    pub(super) reads_audit: bool,
    /// The types that its program handles; empty for all. nats-server cannot filter by type.
    pub(super) types: Vec<String>,
    /// Whether one process reads while the others are on standby.
    pub(super) is_exclusive: bool,
}

impl ConsumerFilter {
    /// Parses the filter of a new consumer.
    pub(crate) fn read(
        lanes: &[String],
        conversations: &[String],
        types: &[String],
        reads_audit: bool,
    ) -> Result<Self, BadFilter> {
        let is_audited = |word: &str| reads_audit && Audited::types().iter().any(|kind| kind.word == word);
        let is_known = |word: &&String| Event::TYPES.contains(&word.as_str()) || is_audited(word);
        if let Some(word) = types.iter().find(|word| !is_known(word)) {
            let detail = format!(
                "`{word}` is an unknown type of events: see the AsyncAPI document; types of audit events need `audit`"
            );
            return Err(BadFilter { field: "types", code: "unknown_type", detail });
        }
        Self::parse(lanes, conversations, types, reads_audit)
    }

    fn parse(
        lanes: &[String],
        conversations: &[String],
        types: &[String],
        reads_audit: bool,
    ) -> Result<Self, BadFilter> {
        let bad = |field, code, detail| BadFilter { field, code, detail };
        let lane = |word: &String| {
            let known = Lane::DURABLE.into_iter().find(|lane| lane.word() == word);
            known.ok_or_else(|| {
                let detail = format!("`{word}` is not a lane: use roster, timeline, receipts or control");
                bad("lanes", "unknown_lane", detail)
            })
        };
        let mut lanes: Vec<Lane> = lanes.iter().map(lane).collect::<Result<_, _>>()?;
        if lanes.is_empty() {
            lanes = Lane::DURABLE.to_vec();
        }
        lanes.sort_unstable();
        lanes.dedup();
        let conversation = |id: &String| {
            let no_id =
                |_| bad("conversations", "invalid", format!("`{id}` is not the id of a conversation"));
            id.parse::<ConversationId>().map_err(no_id)
        };
        let mut conversations: Vec<_> = conversations.iter().map(conversation).collect::<Result<_, _>>()?;
        conversations.sort_unstable_by_key(ToString::to_string);
        conversations.dedup();
        if conversations.len() * lanes.len() > SUBJECTS {
            let detail = format!(
                "{} conversations times {} lanes is more than {SUBJECTS}: remove `conversations`, and skip the other \
                 conversations in the program",
                conversations.len(),
                lanes.len()
            );
            return Err(bad("conversations", "too_many", detail));
        }
        if types.len() > SUBJECTS {
            return Err(bad("types", "too_many", format!("must be at most {SUBJECTS} types")));
        }
        let mut types = types.to_vec();
        types.sort_unstable();
        types.dedup();
        Ok(Self { lanes, conversations, reads_audit, types, is_exclusive: false })
    }

    /// The filter of a consumer that only sends commands.
    pub(crate) fn nothing() -> Self {
        Self {
            lanes: Vec::new(),
            conversations: Vec::new(),
            reads_audit: false,
            types: Vec::new(),
            is_exclusive: false,
        }
    }

    /// Whether there is anything to read.
    pub(super) fn reads(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// The same filter, with this setting of whether one process reads at a time.
    pub(crate) fn exclusive(self, is_exclusive: bool) -> Self {
        Self { is_exclusive, ..self }
    }

    /// The words of the lanes.
    pub(super) fn lane_words(&self) -> Vec<String> {
        self.lanes.iter().map(|lane| lane.word().to_owned()).collect()
    }

    /// A hash of the parts of the filter that decide what the server delivers.
    pub(super) fn mark(&self) -> String {
        let conversations: Vec<_> = self.conversations.iter().map(ToString::to_string).collect();
        let mut text =
            format!("{}|{}|{}", self.lane_words().join(","), conversations.join(","), self.reads_audit);
        if self.is_exclusive {
            text.push_str("|exclusive");
        }
        digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The filter of an existing consumer. A node of another version may have added it, with types unknown here.
    pub(super) fn of(stored: &StoredConsumer) -> Result<Self, BadFilter> {
        if stored.lanes.is_empty() {
            return Ok(Self::nothing());
        }
        let conversations: Vec<_> = stored.conversations.iter().map(ToString::to_string).collect();
        let filter = Self::parse(&stored.lanes, &conversations, &stored.types, stored.reads_audit)?;
        Ok(filter.exclusive(stored.is_exclusive))
    }

    /// The differences from another filter, for people; `None` if there are none.
    pub(super) fn differences(&self, other: &Self) -> Option<String> {
        let list = |all: Vec<String>| if all.is_empty() { "all".into() } else { all.join(",") };
        let ids = |filter: &Self| list(filter.conversations.iter().map(ToString::to_string).collect());
        let lanes = |filter: &Self| if filter.reads() { list(filter.lane_words()) } else { "none".into() };
        let parts = [
            ("lanes", lanes(self), lanes(other)),
            ("conversations", ids(self), ids(other)),
            ("types", list(self.types.clone()), list(other.types.clone())),
            ("audit", self.reads_audit.to_string(), other.reads_audit.to_string()),
            ("exclusive", self.is_exclusive.to_string(), other.is_exclusive.to_string()),
        ];
        let differ = parts.into_iter().filter(|(_, is, wanted)| is != wanted);
        let told: Vec<_> =
            differ.map(|(what, is, wanted)| format!("{what} is {is} and not {wanted}")).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_and_its_differences_are_told() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let all = ConsumerFilter::read(&[], &[], &[], false).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(all.lane_words(), ["roster", "timeline", "receipts", "control"]);
        let two = ConsumerFilter::read(&words(&["timeline", "roster", "timeline"]), &[], &[], false);
        let two = two.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(two.lane_words(), ["roster", "timeline"]);
        assert_ne!(all.mark(), two.mark());
        assert_eq!(all.differences(&all), None);
        let exclusive = all.clone().exclusive(true);
        assert_ne!(all.mark(), exclusive.mark());
        assert_eq!(all.differences(&exclusive).as_deref(), Some("exclusive is false and not true"));
        let told = two.differences(&all).unwrap_or_default();
        assert_eq!(told, "lanes is roster,timeline and not roster,timeline,receipts,control");
        let many: Vec<_> = (0..26).map(|n| format!("01930f3c-5a7b-7c3d-8e4f-0123456789{n:02x}")).collect();
        for (lanes, conversations, types) in [
            (words(&["presence"]), words(&[]), words(&[])),
            (words(&["Timeline"]), words(&[]), words(&[])),
            (words(&[]), words(&["x"]), words(&[])),
            (words(&[]), words(&["*"]), words(&[])),
            (words(&[]), many, words(&[])),
            (words(&[]), words(&[]), words(&["message.sent\""])),
            (words(&[]), words(&[]), words(&["message.sent", "message.sang"])),
            (words(&[]), words(&[]), words(&["account.created"])),
        ] {
            assert!(
                ConsumerFilter::read(&lanes, &conversations, &types, false).is_err(),
                "{lanes:?} {conversations:?} {types:?}"
            );
        }
        let both = ConsumerFilter::read(&[], &[], &words(&["message.sent", "account.created"]), true);
        assert_eq!(both.map(|filter| filter.types), Ok(words(&["account.created", "message.sent"])));
    }
}
