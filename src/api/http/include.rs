//! The parameter `include`, which adds the names of all users whose ids are in a response to that response.

use std::{borrow::Cow, collections::BTreeMap};

use poem_openapi::{
    Object,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromParameter, ParseResult, Type},
};
use serde::Serialize;

use crate::{
    api::http::{
        inlined::inlined,
        or_null::OrNull,
        page::{Limit, Page},
    },
    domain::{UserId, UserKind},
    problems::Problem,
    reading::{Account, PreviewParts, ReadError, Reading},
};

/// The maximum `limit` for a list of conversations with their messages.
const WITH_MESSAGES: usize = 50;

/// A response that contains user ids.
pub trait MentionsUsers: Type {
    /// Adds all user ids to `found`, the most important first.
    fn mention(&self, found: &mut Vec<UserId>);

    /// The published name of the response with names.
    fn published() -> String {
        format!("{}WithUsers", Self::name())
    }

    /// The schema of the response with names, of which this is the field.
    fn with(users: MetaSchemaRef, registry: &mut Registry) -> MetaSchema {
        Self::register(registry);
        let plain = registry.schemas.get(&*Self::name()).cloned().unwrap_or(MetaSchema::ANY);
        let more = MetaSchema { properties: vec![("users", users)], ..MetaSchema::new("object") };
        MetaSchema {
            description: plain.description,
            example: plain.example,
            all_of: vec![Self::schema_ref(), MetaSchemaRef::Inline(Box::new(more))],
            ..MetaSchema::ANY
        }
    }
}

impl<T: MentionsUsers> MentionsUsers for Page<T> {
    fn mention(&self, found: &mut Vec<UserId>) {
        self.items.iter().for_each(|item| item.mention(found));
    }

    /// Such a page always has room for names, so it needs no second name.
    fn published() -> String {
        Self::name().into_owned()
    }

    fn with(users: MetaSchemaRef, registry: &mut Registry) -> MetaSchema {
        let mut schema = Self::described(registry);
        schema.properties.push(("users", users));
        schema
    }
}

/// A response, with the names of its users if the client asks for them.
#[derive(Serialize)]
pub struct Named<T> {
    #[serde(flatten)]
    pub(in crate::api) answer: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Users>,
}

/// Users by their ids.
type Users = BTreeMap<UserId, UserSummary>;

/// The profile of a user that clients display
#[derive(Serialize, Object)]
struct UserSummary {
    /// The name that other users see
    display_name: String,
    /// The https URL of a picture of the user; null if there is none
    avatar_url: OrNull<String>,
    /// Whether the user is a person or a program
    kind: UserKind,
}

/// The parameter `include`: additions to a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Include {
    users: bool,
}

impl Include {
    /// The response, with the names of its users if the client asks for them.
    pub(in crate::api) async fn name<T: MentionsUsers>(
        self,
        answer: T,
        reading: &Reading,
    ) -> Result<Named<T>, ReadError> {
        named(self.users, answer, reading).await
    }
}

/// The response, with the names of its users if `users` is set.
pub(in crate::api) async fn named<T: MentionsUsers>(
    users: bool,
    answer: T,
    reading: &Reading,
) -> Result<Named<T>, ReadError> {
    if !users {
        return Ok(Named { answer, users: None });
    }
    let mut ids = Vec::new();
    answer.mention(&mut ids);
    let summary = |account: Account| {
        let summary = UserSummary {
            display_name: account.display_name.to_string(),
            avatar_url: OrNull(account.avatar_url.map(|url| url.to_string())),
            kind: account.kind,
        };
        (account.id, summary)
    };
    let users = reading.names(ids).await?.into_iter().map(summary).collect();
    Ok(Named { answer, users: Some(users) })
}

/// Whether each of the `known` words is in a comma-separated list. The first unknown word is an error.
pub(in crate::api) fn words<const N: usize>(list: &str, known: [&str; N]) -> Result<[bool; N], String> {
    let mut found = [false; N];
    for word in list.split(',') {
        let at = known.iter().position(|one| *one == word);
        let unknown = || format!("only {} can be included, separated by commas", known.join(", "));
        found[at.ok_or_else(unknown)?] = true;
    }
    Ok(found)
}

inlined!(() Include, "Include", false, MetaSchema {
    description: Some("`users` adds the names of all users whose ids are in the response"),
    enum_items: vec!["users".into()],
    ..MetaSchema::new("string")
});

/// The parameter `include` of the list of conversations: additions to the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::api) struct FirstScreen {
    pub(in crate::api) users: bool,
    pub(in crate::api) previews: PreviewParts,
}

impl FirstScreen {
    /// Refuses a list that would have too many messages.
    pub(in crate::api) fn bears(self, limit: Limit) -> Result<(), Problem> {
        match self.previews.messages && limit.get() > WITH_MESSAGES {
            true => {
                Err(Problem::parameter("limit", "out_of_range", "must be at most 50 with include=messages"))
            }
            false => Ok(()),
        }
    }
}

inlined!(() FirstScreen, "FirstScreen", false, MetaSchema {
    description: Some(
        "Words separated by commas. `members` adds the first 10 members of each conversation and the number of all, \
         `messages` the last 20 messages of each (`limit` can then be at most 50), and `users` the names of all users \
         whose ids are in the response",
    ),
    pattern: Some("^(users|members|messages)(,(users|members|messages))*$".into()),
    example: Some("users,members,messages".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for FirstScreen {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let [users, members, messages] =
            words(value, ["users", "members", "messages"]).map_err(ParseError::custom)?;
        Ok(Self { users, previews: PreviewParts { members, messages } })
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        let first = values.into_iter().next();
        first.map_or(Ok(Self::default()), |value| Self::parse_from_parameter(value.as_ref()))
    }
}

impl ParseFromParameter for Include {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let [users] = words(value, ["users"]).map_err(ParseError::custom)?;
        Ok(Self { users })
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        let first = values.into_iter().next();
        first.map_or(Ok(Self::default()), |value| Self::parse_from_parameter(value.as_ref()))
    }
}

impl<T: MentionsUsers> Type for Named<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = T::RawValueType;
    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        T::published().into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(T::published())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(T::published(), |registry| {
            Users::register(registry);
            let description = "The users whose ids are in the response, keyed by id: at most 2,000. Present with \
                               `include=users`. Ids without an account are left out";
            let users = Users::schema_ref()
                .merge(MetaSchema { description: Some(description), ..MetaSchema::ANY });
            T::with(users, registry)
        });
    }

    fn as_raw_value(&self) -> Option<&T::RawValueType> {
        self.answer.as_raw_value()
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a T::RawElementValueType> + 'a> {
        self.answer.raw_element_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_are_read_in_any_order_and_others_refused() {
        let known = ["users", "members"];
        assert_eq!(words("users", known), Ok([true, false]));
        assert_eq!(words("members,users", known), Ok([true, true]));
        assert_eq!(words("members,members", known), Ok([false, true]));
        for wrong in ["", ",", "users,", "Users", "users members", "user", "users;members", " users"] {
            assert!(words(wrong, known).is_err(), "{wrong}");
        }
    }
}
