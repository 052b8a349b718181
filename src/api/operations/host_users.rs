//! Provisioning the users of a host application, whose table of users is the source of truth.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::{Access, AccessError, HostUser, WhichAccount},
    api::{
        Body, Caller, Created, Done, Few, Found, Item, Made, Problem, Reply, Ruled, SignedIn,
        http::examples,
        operations::{
            host_user::{HostUserAnswer, HostUserItem, HostUserRequest, ProvisionResult},
            tag::Tag,
        },
    },
    commands::Written,
    domain::{ExternalId, UserId},
};

/// The maximum number of users in a batch.
pub(super) const MOST: usize = 100;

/// Users of the host application
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct HostUserBatch {
    /// The users, each once
    users: Few<Item<HostUserItem>, MOST>,
}

impl Example for HostUserBatch {
    fn example() -> Self {
        Self { users: [Item::of(&HostUserItem::example())].into_iter().collect() }
    }
}

/// The part of a user of a batch that its result needs.
#[derive(Deserialize)]
struct NamedItem {
    external_id: ExternalId,
}

/// Why a user of a batch was not provisioned
#[derive(Serialize, Object)]
#[oai(example)]
struct HostUserError {
    /// The code of the error, for programs
    code: String,
    /// What is wrong and what to do, for people
    detail: String,
    /// The field of the request, as a JSON pointer
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
}

impl From<Problem> for HostUserError {
    fn from(problem: Problem) -> Self {
        let Problem { code, detail, errors, .. } = problem;
        match errors.into_iter().next() {
            Some(field) => Self {
                code: field.code.to_string(),
                detail: field.detail.to_string(),
                pointer: Some(field.pointer.to_string()),
            },
            None => Self { code: code.to_string(), detail: detail.to_string(), pointer: None },
        }
    }
}

impl Example for HostUserError {
    fn example() -> Self {
        Self {
            code: "username_taken".into(),
            detail: "The user name is taken: choose another one.".into(),
            pointer: None,
        }
    }
}

/// The result of one user of a batch
#[derive(Serialize, Object)]
#[oai(example)]
struct HostUserResult {
    /// The id in the host application
    external_id: ExternalId,
    /// The id of the user; absent with an error
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<UserId>,
    /// What the request changed for this user
    result: ProvisionResult,
    /// The error of this user
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<HostUserError>,
}

impl Example for HostUserResult {
    fn example() -> Self {
        Self {
            external_id: examples::external_id(),
            id: Some(examples::ana()),
            result: ProvisionResult::Created,
            error: None,
        }
    }
}

/// The results of a batch
#[derive(Serialize, Object)]
#[oai(example)]
struct HostUserResults {
    /// One result for each user, in the order of the request
    results: Vec<HostUserResult>,
}

impl Example for HostUserResults {
    fn example() -> Self {
        Self { results: vec![HostUserResult::example()] }
    }
}

pub(in crate::api) struct HostUsers {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Provisioning")]
impl HostUsers {
    /// Provision a user
    ///
    /// Creates the account of a user of the host application, or updates it to match the request. Repeating the
    /// request changes nothing: see `result`. A `username` that another account has is refused with `username_taken`;
    /// without `username`, the account gets a free one.
    #[oai(path = "/provision/users/:external_id", method = "put", operation_id = "provision_user")]
    async fn put(
        &self,
        caller: Caller,
        external_id: Path<ExternalId>,
        body: Body<HostUserRequest>,
    ) -> Result<Made<HostUserAnswer>, Ruled> {
        let wanted = body.0.parse(external_id.0, "")?;
        let (user, written) = self.access.provision(caller.user, &wanted).await?;
        let location = format!("/v1/provision/users/{}", user.external_id);
        let body = HostUserAnswer::of(user, Some(written));
        Ok(match written {
            Written::Created => Made::Now(Created { location, body }),
            Written::Updated | Written::Unchanged => Made::Before(body),
        })
    }

    /// Provision users
    ///
    /// Provisions up to 100 users, each like provisioning one user. There is one result per user: an error for one
    /// user does not stop the others. Only a user without a valid `external_id` is an error of the request.
    #[oai(path = "/provision/users", method = "post", operation_id = "provision_users")]
    async fn post(
        &self,
        caller: Caller,
        body: Body<HostUserBatch>,
    ) -> Result<Reply<HostUserResults>, SignedIn> {
        let items = body.0.users.into_vec();
        let id = |(at, item): (usize, &Item<_>)| {
            let NamedItem { external_id } = item.parse(&format!("/users/{at}"))?;
            Ok(external_id)
        };
        let ids: Vec<ExternalId> = items.iter().enumerate().map(id).collect::<Result<_, Problem>>()?;
        each_once(&ids, "users")?;
        let (mut errors, mut wanted) = (Vec::new(), Vec::<HostUser>::new());
        for (at, item) in items.into_iter().enumerate() {
            let pointer = format!("/users/{at}");
            match item.parse::<HostUserItem>(&pointer).and_then(|item| item.parse(&pointer)) {
                Ok(user) => wanted.push(user),
                Err(problem) => errors.push((at, problem)),
            }
        }
        let mut provisioned = self.access.provision_many(caller.user, &wanted).await?.into_iter();
        let mut errors = errors.into_iter().peekable();
        let results = ids.into_iter().enumerate().map(|(at, external_id)| {
            let outcome = match errors.next_if(|(wrong, _)| *wrong == at) {
                Some((_, problem)) => Err(problem),
                None => provisioned.next().unwrap_or(Err(AccessError::NotFound)).map_err(Problem::from),
            };
            match outcome {
                Ok((user, written)) => HostUserResult {
                    external_id,
                    id: Some(user.account.id),
                    result: written.into(),
                    error: None,
                },
                Err(problem) => HostUserResult {
                    external_id,
                    id: None,
                    result: ProvisionResult::Error,
                    error: Some(problem.into()),
                },
            }
        });
        Ok(Reply(HostUserResults { results: results.collect() }))
    }

    /// Get a provisioned user
    ///
    /// Returns the user of the host application with this external id.
    #[oai(path = "/provision/users/:external_id", method = "get", operation_id = "get_provisioned_user")]
    async fn get(
        &self,
        _caller: Caller,
        external_id: Path<ExternalId>,
    ) -> Result<Reply<HostUserAnswer>, Found> {
        Ok(Reply(HostUserAnswer::of(self.access.provisioned(&external_id.0).await?, None)))
    }

    /// Deactivate a user
    ///
    /// Deactivates a user, and ends all logins of the user within a second. The user stays a member of conversations,
    /// and cannot log in until reactivated.
    #[oai(path = "/provision/users/:external_id", method = "delete", operation_id = "deactivate_user")]
    async fn delete(&self, caller: Caller, external_id: Path<ExternalId>) -> Result<Done, Found> {
        self.access.deactivate(caller.by(), WhichAccount::External(&external_id.0)).await?;
        Ok(Done)
    }

    /// Reactivate a user
    ///
    /// Reactivates a user, who can then log in again. The logins that ended stay ended.
    #[oai(
        path = "/provision/users/:external_id/reactivate",
        method = "post",
        operation_id = "reactivate_user"
    )]
    async fn reactivate(
        &self,
        caller: Caller,
        external_id: Path<ExternalId>,
    ) -> Result<Reply<HostUserAnswer>, Found> {
        self.access.reactivate(caller.by(), WhichAccount::External(&external_id.0)).await?;
        Ok(Reply(HostUserAnswer::of(self.access.provisioned(&external_id.0).await?, None)))
    }
}

/// Refuses a list in which an external id occurs twice.
pub(in crate::api) fn each_once(ids: &[ExternalId], list: &str) -> Result<(), Problem> {
    let mut seen = std::collections::HashSet::with_capacity(ids.len());
    match ids.iter().position(|id| !seen.insert(id)) {
        Some(at) => Err(Problem::invalid(
            format!("/{list}/{at}/external_id"),
            "duplicate",
            "this external id is repeated: send each id once",
        )),
        None => Ok(()),
    }
}
