//! A small sample API built on `http`.

use poem::Request;
use poem_openapi::{
    Object, OpenApi, SecurityScheme, Union,
    auth::Bearer,
    param::{Header, Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{http::values::words, *},
    domain::{ClientId, ConversationId, Position, Text, Title, UserId},
};

pub(super) const ANA: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    Owner,
    Member,
}

words! {
    /// What a member may do
    Role as "Role": "owner" "member";
}

#[derive(SecurityScheme)]
#[oai(ty = "bearer", rename = "bearer", bearer_format = "JWT", checker = "check")]
struct Caller(UserId);

async fn check(_: &Request, bearer: Bearer) -> poem::Result<UserId> {
    bearer.token.parse().map_err(|_| Problem::unauthorized("invalid_token", "Log in again.").into())
}

#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct Draft {
    /// The title
    title: Title,
    /// Who else
    #[serde(default)]
    #[oai(default)]
    members: Few<UserId, 100>,
    #[serde(default, deserialize_with = "given")]
    role: Option<Role>,
    #[serde(default, deserialize_with = "given")]
    text: Option<Text>,
}

impl Example for Draft {
    fn example() -> Self {
        let title = Title::try_from("Supper".to_owned()).expect("title");
        Self { title, members: Few::default(), role: Some(Role::Owner), text: None }
    }
}

#[derive(Serialize, Object)]
struct Thing {
    id: ConversationId,
    title: Title,
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<ClientId>,
}

fn thing(id: ConversationId) -> Thing {
    let title = Title::try_from("Supper".to_owned()).expect("title");
    Thing { id, title, position: Position(7), key: None }
}

struct Conflict;

impl From<Conflict> for Problem {
    fn from(_: Conflict) -> Self {
        Problem::conflict("last_owner", "Name another owner first.")
    }
}

#[derive(Deserialize, Union)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[oai(discriminator_name = "kind")]
enum Start {
    #[oai(mapping = "direct")]
    Direct(Direct),
    #[oai(mapping = "group")]
    Group(Group),
}

#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
struct Direct {
    user_id: UserId,
}

#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
struct Group {
    title: Title,
}

pub(super) struct Things;

#[OpenApi]
impl Things {
    /// List things
    #[oai(path = "/things", method = "get", operation_id = "list_things")]
    async fn list(
        &self,
        caller: Caller,
        /// How many
        limit: Query<Limit>,
        min_position: Query<Option<Position>>,
    ) -> Result<Reply<Page<Thing>>, SignedIn> {
        if min_position.0 > Some(Position(100)) {
            let wait = std::time::Duration::from_secs(2);
            return Err(Problem::unavailable("not_yet", "The view is behind: try again.", wait).into());
        }
        let items =
            (0..limit.0.get().min(2)).map(|_| thing(ConversationId::known(caller.0.uuid()))).collect();
        Ok(Reply(Page::of(items, None)))
    }

    /// Make a thing
    #[oai(path = "/things", method = "post", operation_id = "make_thing")]
    async fn make(
        &self,
        _caller: Caller,
        #[oai(name = "Idempotency-Key")] key: Header<Option<ClientId>>,
        body: Body<Draft>,
    ) -> Result<Made<Thing>, Ruled> {
        let made = Thing { title: body.0.title, key: key.0, ..thing(ANA.parse().expect("id")) };
        match body.0.role {
            None => Ok(Made::Now(Created { location: format!("/v1/things/{}", made.id), body: made })),
            Some(Role::Owner) => Ok(Made::Before(made)),
            Some(Role::Member) => Err(Conflict.into()),
        }
    }

    /// One thing
    #[oai(path = "/things/:id", method = "get", operation_id = "get_thing")]
    async fn get(&self, _caller: Caller, id: Path<ConversationId>) -> Result<Reply<Thing>, Found> {
        Ok(Reply(thing(id.0)))
    }
}

pub(super) struct More;

#[OpenApi]
impl More {
    /// Remove a thing
    #[oai(path = "/things/:id", method = "delete", operation_id = "remove_thing")]
    async fn remove(&self, _caller: Caller, id: Path<ConversationId>) -> Result<Done, Ruled> {
        match id.0.to_string() == ANA {
            true => Ok(Done),
            false => Err(Problem::not_found().into()),
        }
    }

    /// Start one of two kinds
    #[oai(path = "/starts", method = "post", operation_id = "start")]
    async fn start(&self, body: Body<Start>) -> Result<Reply<Title>, Public> {
        Ok(Reply(match body.0 {
            Start::Direct(direct) => Title::try_from(direct.user_id.to_string()).expect("title"),
            Start::Group(group) => group.title,
        }))
    }

    /// Break
    #[oai(path = "/broken", method = "post", operation_id = "break_things")]
    async fn broken(&self) -> Result<Done, Public> {
        panic!("as asked");
    }
}
