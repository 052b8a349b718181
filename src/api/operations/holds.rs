//! Legal holds, for programs with the scope `admin:holds`.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        Body, Caller, Created, Cursor, Done, Few, Found, Keyed, Limit, Page, Reply, SignedIn, given,
        http::{
            examples,
            reasons::{AGAIN, sentence},
        },
        operations::tag::Tag,
    },
    domain::{ConversationId, HoldId, Time, Title, UserId},
    erasures::{Erasures, HoldError, HoldSubjects, LegalHold, MOST_SUBJECTS, WantedHold},
    problems::Problem,
};

/// The name of a hold, for an example.
const NAME: &str = "Case 2026-17";

/// A new legal hold, on users or on conversations
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewHold {
    /// The name of the hold, for operators. Users never see it
    name: Title,
    /// The users to hold: the hold keeps what they said, and their accounts
    #[serde(default, deserialize_with = "given")]
    users: Option<Few<UserId, MOST_SUBJECTS>>,
    /// The conversations to hold, instead of users: the hold keeps what was said in them
    #[serde(default, deserialize_with = "given")]
    conversations: Option<Few<ConversationId, MOST_SUBJECTS>>,
    /// The beginning of the period: the hold keeps no messages from before it. Without it the period has no beginning
    #[serde(default, deserialize_with = "given")]
    from: Option<Time>,
    /// The end of the period: the hold keeps no messages from this time on. Without it the period has no end
    #[serde(default, deserialize_with = "given")]
    to: Option<Time>,
}

impl Example for NewHold {
    fn example() -> Self {
        Self {
            name: Title::try_from(NAME.to_owned()).expect("the name is one visible line"),
            users: Some([examples::ana()].into_iter().collect()),
            conversations: None,
            from: Some(examples::time()),
            to: None,
        }
    }
}

/// A legal hold
#[derive(Serialize, Object)]
#[oai(example)]
struct Hold {
    /// The id of the hold
    id: HoldId,
    /// The name of the hold, for operators
    name: String,
    /// The users, if the hold is on users
    users: Vec<UserId>,
    /// The conversations, if the hold is on conversations
    conversations: Vec<ConversationId>,
    /// The beginning of the period: the hold keeps no messages from before it
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Time>,
    /// The end of the period: the hold keeps no messages from this time on
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Time>,
    /// When the hold was placed
    placed_at: Time,
    /// The account that placed the hold; absent if an operator placed it on the machine
    #[serde(skip_serializing_if = "Option::is_none")]
    placed_by: Option<UserId>,
    /// When the hold was lifted
    #[serde(skip_serializing_if = "Option::is_none")]
    lifted_at: Option<Time>,
    /// The account that lifted the hold; absent if an operator lifted it on the machine
    #[serde(skip_serializing_if = "Option::is_none")]
    lifted_by: Option<UserId>,
}

impl From<LegalHold> for Hold {
    fn from(hold: LegalHold) -> Self {
        let (users, conversations) = hold.of.parts();
        let LegalHold { id, name, from, to, placed_at, placed_by, lifted_at, lifted_by, .. } = hold;
        Self { id, name, users, conversations, from, to, placed_at, placed_by, lifted_at, lifted_by }
    }
}

impl Example for Hold {
    fn example() -> Self {
        Self {
            id: examples::hold(),
            name: NAME.into(),
            users: vec![examples::ana()],
            conversations: Vec::new(),
            from: Some(examples::time()),
            to: None,
            placed_at: examples::time(),
            placed_by: Some(examples::ben()),
            lifted_at: None,
            lifted_by: None,
        }
    }
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::NotFound => Self::not_found(),
            HoldError::NoUser(_) => Self::invalid("/users", "no_account", error.to_string()),
            HoldError::NoConversation(_) => {
                Self::invalid("/conversations", "no_conversation", error.to_string())
            }
            HoldError::NoTime => Self::invalid("/to", "out_of_range", error.to_string()),
            HoldError::TooMany => Self::conflict("too_many_holds", sentence(error)),
            HoldError::NotCertain => Self::unavailable("unavailable", sentence(error), AGAIN),
            HoldError::Database(outage) => outage.into(),
            HoldError::Unavailable(outage) => outage.into(),
        }
    }
}

/// The subjects that a request names: users or conversations.
fn subjects(
    users: Option<Few<UserId, MOST_SUBJECTS>>,
    conversations: Option<Few<ConversationId, MOST_SUBJECTS>>,
) -> Result<HoldSubjects, Problem> {
    let subjects = match (users, conversations) {
        (Some(users), None) => HoldSubjects::Users(users.into_vec().into_iter().collect()),
        (None, Some(conversations)) => {
            HoldSubjects::Conversations(conversations.into_vec().into_iter().collect())
        }
        _ => {
            return Err(Problem::invalid("/users", "ambiguous", "send either `users` or `conversations`"));
        }
    };
    match &subjects {
        HoldSubjects::Users(users) if users.is_empty() => {
            Err(Problem::invalid("/users", "too_few", "must name at least one user"))
        }
        HoldSubjects::Conversations(conversations) if conversations.is_empty() => {
            Err(Problem::invalid("/conversations", "too_few", "must name at least one conversation"))
        }
        _ => Ok(subjects),
    }
}

pub(in crate::api) struct HoldOperations {
    pub(in crate::api) erasures: Erasures,
}

#[OpenApi(tag = "Tag::Holds")]
impl HoldOperations {
    /// Place a legal hold
    ///
    /// Places a legal hold. Content under a hold is hidden when it is erased, like any other, but stays in the log
    /// until the hold is lifted. Content that is gone already does not come back. After the response 201 nothing
    /// under the hold is deleted. After a 503 the hold may have been placed all the same: list the holds to find out.
    /// Only operators can see holds. Needs the scope `admin:holds`.
    #[oai(path = "/admin/holds", method = "post", operation_id = "place_hold")]
    async fn place(&self, caller: Caller, body: Body<NewHold>) -> Result<Created<Hold>, Keyed> {
        let NewHold { name, users, conversations, from, to } = body.0;
        let of = subjects(users, conversations)?;
        let wanted = WantedHold { name, of, from, to };
        let hold: Hold = self.erasures.place_hold(wanted, caller.by()).await?.into();
        Ok(Created { location: format!("/v1/admin/holds/{}", hold.id), body: hold })
    }

    /// List legal holds
    ///
    /// Lists the holds, newest first, including lifted ones. Needs the scope `admin:holds`.
    #[oai(path = "/admin/holds", method = "get", operation_id = "list_holds")]
    async fn list(
        &self,
        _caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<HoldId>>>,
    ) -> Result<Reply<Page<Hold>>, SignedIn> {
        let found = self.erasures.holds(cursor.0.map(|cursor| cursor.0), limit.0.and_one()).await?;
        Ok(Reply(Page::cut(found, limit.0, |last| last.id).map(Hold::from)))
    }

    /// Get a legal hold
    ///
    /// Returns a hold, active or lifted. Needs the scope `admin:holds`.
    #[oai(path = "/admin/holds/:id", method = "get", operation_id = "get_hold")]
    async fn get(&self, _caller: Caller, id: Path<HoldId>) -> Result<Reply<Hold>, Found> {
        Ok(Reply(self.erasures.hold(id.0).await?.into()))
    }

    /// Lift a legal hold
    ///
    /// Lifts a hold. Erasures continue unless another hold blocks them. The hold stays in the list, with the time at
    /// which it was lifted and the account that lifted it. Lifting a hold again changes nothing. Needs the scope
    /// `admin:holds`.
    #[oai(path = "/admin/holds/:id", method = "delete", operation_id = "lift_hold")]
    async fn lift(&self, caller: Caller, id: Path<HoldId>) -> Result<Done, Found> {
        self.erasures.lift_hold(id.0, caller.by()).await?;
        Ok(Done)
    }
}
