//! What a client sends to start a conversation.

use poem_openapi::{Object, Union, types::Example};
use serde::Deserialize;

use super::{Few, examples, given};
use crate::domain::{Kind, Title, UserId};

/// The most users whom a new group can begin with, besides its owner.
pub(super) const MOST: usize = 100;

/// A wish for a conversation
#[derive(Debug, PartialEq, Deserialize, Union)]
#[serde(try_from = "Fields")]
#[oai(discriminator_name = "kind", one_of = true)]
pub(super) enum Start {
    #[oai(mapping = "direct")]
    Direct(StartDirect),
    #[oai(mapping = "group")]
    Group(StartGroup),
}

/// With one other person
#[derive(Debug, PartialEq, Object)]
#[oai(example)]
pub(super) struct StartDirect {
    /// With whom
    pub(super) user_id: UserId,
}

/// With a title, me as its owner
#[derive(Debug, PartialEq, Object)]
#[oai(example)]
pub(super) struct StartGroup {
    /// What it is called
    pub(super) title: Title,
    /// Whom to bring in, as members
    #[oai(default)]
    pub(super) members: Few<UserId, MOST>,
}

impl Example for StartDirect {
    fn example() -> Self {
        Self { user_id: examples::ben() }
    }
}

impl Example for StartGroup {
    fn example() -> Self {
        let members = [examples::ben()].into_iter().collect();
        Self { title: examples::title(), members }
    }
}

/// All fields of both kinds: read like this, an error knows where it is, which it does not behind a
/// tag.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    kind: Kind,
    #[serde(default, deserialize_with = "given")]
    user_id: Option<UserId>,
    #[serde(default, deserialize_with = "given")]
    title: Option<Title>,
    #[serde(default, deserialize_with = "given")]
    members: Option<Few<UserId, MOST>>,
}

impl TryFrom<Fields> for Start {
    /// In the words of serde, which [`super::Body`] turns into pointers.
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        match fields {
            Fields { kind: Kind::Direct, user_id: Some(user_id), title: None, members: None } => {
                Ok(Self::Direct(StartDirect { user_id }))
            }
            Fields { kind: Kind::Group, title: Some(title), members, user_id: None } => {
                Ok(Self::Group(StartGroup { title, members: members.unwrap_or_default() }))
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
