//! The body of a request that starts a conversation.

use poem_openapi::{Object, Union, types::Example};
use serde::Deserialize;

use crate::{
    api::{Few, given, http::examples},
    domain::{Kind, Title, UserId, word},
};

/// The maximum number of members of a new group, besides its owner.
pub(in crate::api) const MOST: usize = 100;

/// The conversation to start
#[derive(Debug, PartialEq, Deserialize, Union)]
#[serde(try_from = "Fields")]
#[oai(discriminator_name = "kind", one_of = true)]
pub(in crate::api) enum StartConversation {
    #[oai(mapping = "direct")]
    Direct(StartDirectConversation),
    #[oai(mapping = "group")]
    Group(StartGroupConversation),
}

/// A direct conversation with one other user
#[derive(Debug, PartialEq, Object)]
#[oai(example)]
pub(in crate::api) struct StartDirectConversation {
    /// The other user
    pub(in crate::api) user_id: UserId,
}

/// A group. The caller becomes its owner
#[derive(Debug, PartialEq, Object)]
#[oai(example)]
pub(in crate::api) struct StartGroupConversation {
    /// The title: one line of at most 256 bytes of UTF-8, kept as typed
    pub(in crate::api) title: Title,
    /// The users to add as members
    pub(in crate::api) members: Option<Few<UserId, MOST>>,
}

impl Example for StartDirectConversation {
    fn example() -> Self {
        Self { user_id: examples::ben() }
    }
}

impl Example for StartGroupConversation {
    fn example() -> Self {
        Self { title: examples::title(), members: Some([examples::ben()].into_iter().collect()) }
    }
}

/// The fields of both kinds. In a tagged enum serde loses the path of an error, so the kind is read as a
/// plain field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "word")]
    kind: Kind,
    #[serde(default, deserialize_with = "given")]
    user_id: Option<UserId>,
    #[serde(default, deserialize_with = "given")]
    title: Option<Title>,
    #[serde(default, deserialize_with = "given")]
    members: Option<Few<UserId, MOST>>,
}

impl TryFrom<Fields> for StartConversation {
    /// An error in serde's wording, which [`crate::api::Body`] turns into a pointer and a code.
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        match fields {
            Fields { kind: Kind::Direct, user_id: Some(user_id), title: None, members: None } => {
                Ok(Self::Direct(StartDirectConversation { user_id }))
            }
            Fields { kind: Kind::Group, title: Some(title), members, user_id: None } => {
                Ok(Self::Group(StartGroupConversation { title, members }))
            }
            Fields { kind: Kind::Direct, title: Some(_), .. } => Err(surplus("title", "`user_id`")),
            Fields { kind: Kind::Direct, members: Some(_), .. } => Err(surplus("members", "`user_id`")),
            Fields { kind: Kind::Direct, .. } => Err(missing("user_id")),
            Fields { kind: Kind::Group, user_id: Some(_), .. } => {
                Err(surplus("user_id", "`title` or `members`"))
            }
            Fields { kind: Kind::Group, .. } => Err(missing("title")),
        }
    }
}

fn missing(field: &str) -> String {
    format!("missing field `{field}`")
}

fn surplus(field: &str, expected: &str) -> String {
    format!("unknown field `{field}`, expected {expected} for this kind")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::http::body::parse;
    use examples::{ana, ben};

    #[test]
    fn a_start_is_of_one_kind() {
        let direct = format!(r#"{{"kind":"direct","user_id":"{}"}}"#, ben());
        assert_eq!(
            parse(direct.as_bytes()).ok(),
            Some(StartConversation::Direct(StartDirectConversation { user_id: ben() }))
        );
        let group = format!(r#"{{"title":"{}","members":["{}"],"kind":"group"}}"#, examples::TITLE, ben());
        assert_eq!(
            parse(group.as_bytes()).ok(),
            Some(StartConversation::Group(StartGroupConversation::example()))
        );
        let alone = format!(r#"{{"kind":"group","title":"{}"}}"#, examples::TITLE);
        let expected = StartGroupConversation { members: None, ..StartGroupConversation::example() };
        assert_eq!(parse(alone.as_bytes()).ok(), Some(StartConversation::Group(expected)));
    }

    #[test]
    fn a_wrong_start_is_pointed_at() {
        let (id, many) = (ana(), vec![format!("\"{}\"", ana()); MOST + 1].join(","));
        for (json, pointer, code) in [
            ("{}".into(), "/kind", "missing"),
            (r#"{"kind":"room"}"#.into(), "/kind", "unknown_value"),
            (r#"{"kind":7}"#.into(), "/kind", "wrong_type"),
            (format!(r#"{{"kind":{{"direct":null}},"user_id":"{id}"}}"#), "/kind", "wrong_type"),
            (r#"{"kind":"direct"}"#.into(), "/user_id", "missing"),
            (format!(r#"{{"kind":"direct","user_id":"{id}","title":"x"}}"#), "/title", "unknown_field"),
            (format!(r#"{{"kind":"direct","user_id":"{id}","members":[]}}"#), "/members", "unknown_field"),
            (r#"{"kind":"direct","user_id":"me"}"#.into(), "/user_id", "invalid"),
            (r#"{"kind":"group"}"#.into(), "/title", "missing"),
            (r#"{"kind":"group","title":""}"#.into(), "/title", "empty_text"),
            (format!(r#"{{"kind":"group","title":"x","user_id":"{id}"}}"#), "/user_id", "unknown_field"),
            (format!(r#"{{"kind":"group","title":"x","members":["{id}",7]}}"#), "/members/1", "wrong_type"),
            (format!(r#"{{"kind":"group","title":"x","members":[{many}]}}"#), "/members", "too_many"),
            (r#"{"kind":"group","title":"x","admin":true}"#.into(), "/admin", "unknown_field"),
        ] {
            let problem = parse::<StartConversation>(json.as_bytes()).expect_err(&json);
            let error = &problem.errors[0];
            assert_eq!((error.pointer.as_str(), error.code.as_str()), (pointer, code), "{json}");
            assert!(!error.detail.is_empty());
        }
    }
}
