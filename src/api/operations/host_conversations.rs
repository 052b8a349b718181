//! Provisioning the conversations of a host application. A request sets all members of a conversation.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::{Access, HostConversationFound, HostConversationWanted},
    api::{
        Body, Caller, Created, Few, Found, Made, Problem, Reply, Ruled, given, given_word,
        http::{examples, or_null::OrNull, reasons::not_provisioned, scopes::Need, wrong::missing},
        operations::{host_user::ProvisionResult, host_users::each_once, tag::Tag},
    },
    commands::Written,
    credentials::Scope,
    domain::{ConversationId, ExternalId, Kind, Position, Role, Title, UserId, word},
};

/// The maximum number of members in a request.
pub(super) const MOST: usize = 500;

/// A member of a conversation of the host application
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct HostMemberRequest {
    /// The user
    external_id: ExternalId,
    /// The role of the user; the default is `member`. A direct conversation has no roles
    #[serde(default, deserialize_with = "given_word")]
    role: Option<Role>,
}

impl Example for HostMemberRequest {
    fn example() -> Self {
        Self { external_id: examples::external_id(), role: Some(Role::Member) }
    }
}

/// A conversation of the host application
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct HostConversationRequest {
    /// A direct conversation or a group. The kind cannot be changed later
    #[serde(deserialize_with = "word")]
    kind: Kind,
    /// The title of a group: one line of at most 256 bytes of UTF-8
    #[serde(default, deserialize_with = "given")]
    title: Option<OrNull<Title>>,
    /// All members, each once. Members of a group who are not listed are removed. The service account is an owner of
    /// the group in addition
    members: Few<HostMemberRequest, MOST>,
    /// Whether to create users for unknown members, with their external ids as display names. Needs the scope
    /// `users:write`
    #[serde(default, deserialize_with = "given")]
    create_users: Option<bool>,
}

impl Example for HostConversationRequest {
    fn example() -> Self {
        Self {
            kind: Kind::Group,
            title: Some(OrNull(Some(examples::title()))),
            members: [HostMemberRequest::example()].into_iter().collect(),
            create_users: None,
        }
    }
}

/// A member of a provisioned conversation
#[derive(Serialize, Object)]
#[oai(example)]
struct HostMember {
    /// The id of the user
    user_id: UserId,
    /// The id in the host application; null for a user who does not come from it
    external_id: OrNull<ExternalId>,
    /// The role of the user
    role: Role,
}

impl Example for HostMember {
    fn example() -> Self {
        Self {
            user_id: examples::ana(),
            external_id: OrNull(Some(examples::external_id())),
            role: Role::Member,
        }
    }
}

/// A provisioned conversation
#[derive(Serialize, Object)]
#[oai(example)]
struct HostConversation {
    /// The id of the conversation
    id: ConversationId,
    /// The id in the host application
    external_id: ExternalId,
    /// Whether it is a direct conversation or a group
    kind: Kind,
    /// The title of a group; null for a direct conversation, and if the title was erased
    title: OrNull<String>,
    /// The members, including the service account
    members: Vec<HostMember>,
    /// The position of the last change. Pass it as `min_position` to later reads
    position: Position,
    /// What the request changed; absent in the response to a read
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ProvisionResult>,
}

impl HostConversation {
    fn of(external_id: ExternalId, all: HostConversationFound, result: Option<Written>) -> Self {
        let HostConversationFound { found, members } = all;
        let member = |(user_id, id, role)| HostMember { user_id, external_id: OrNull(id), role };
        Self {
            id: found.id,
            external_id,
            kind: found.conversation.kind(),
            title: OrNull(found.conversation.title().map(str::to_owned)),
            members: members.into_iter().map(member).collect(),
            position: found.position,
            result: result.map(ProvisionResult::from),
        }
    }
}

impl Example for HostConversation {
    fn example() -> Self {
        Self {
            id: examples::conversation(),
            external_id: examples::external_id(),
            kind: Kind::Group,
            title: OrNull(Some(examples::TITLE.into())),
            members: vec![HostMember::example()],
            position: examples::position(),
            result: Some(ProvisionResult::Created),
        }
    }
}

pub(in crate::api) struct HostConversations {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Provisioning")]
impl HostConversations {
    /// Provision a conversation
    ///
    /// Creates the conversation with this external id, or updates it to match the request. The members are a set:
    /// each difference creates one event, and repeating the request creates none. If a request is interrupted, the
    /// next one completes it. The service account is an owner of each group that it provisions.
    #[oai(
        path = "/provision/conversations/:external_id",
        method = "put",
        operation_id = "provision_conversation"
    )]
    async fn put(
        &self,
        caller: Caller,
        external_id: Path<ExternalId>,
        body: Body<HostConversationRequest>,
    ) -> Result<Made<HostConversation>, Ruled> {
        let wanted = wanted(external_id.0.clone(), body.0)?;
        if wanted.create_users {
            Need::Scope(Scope::UsersWrite).of(&caller)?;
        }
        let (all, written) =
            self.access.provision_conversation(caller.user, wanted).await.map_err(not_provisioned)?;
        let location = format!("/v1/provision/conversations/{}", external_id.0);
        let body = HostConversation::of(external_id.0, all, Some(written));
        Ok(match written {
            Written::Created => Made::Now(Created { location, body }),
            Written::Updated | Written::Unchanged => Made::Before(body),
        })
    }

    /// Get a provisioned conversation
    ///
    /// Returns the conversation with this external id and all its members.
    #[oai(
        path = "/provision/conversations/:external_id",
        method = "get",
        operation_id = "get_provisioned_conversation"
    )]
    async fn get(
        &self,
        caller: Caller,
        external_id: Path<ExternalId>,
    ) -> Result<Reply<HostConversation>, Found> {
        let found = self.access.provisioned_conversation(caller.user, &external_id.0).await;
        let all = found.map_err(not_provisioned)?.ok_or_else(Problem::not_found)?;
        Ok(Reply(HostConversation::of(external_id.0, all, None)))
    }
}

fn wanted(id: ExternalId, request: HostConversationRequest) -> Result<HostConversationWanted, Problem> {
    let HostConversationRequest { kind, title, members, create_users } = request;
    let members = members.into_vec();
    let ids: Vec<ExternalId> = members.iter().map(|member| member.external_id.clone()).collect();
    each_once(&ids, "members")?;
    let title = match (kind, title.and_then(|OrNull(title)| title)) {
        (Kind::Group, None) => return Err(missing("/title")),
        (Kind::Direct, Some(_)) => {
            let detail = "a direct conversation cannot have a title: remove this field";
            return Err(Problem::invalid("/title", "unknown_field", detail));
        }
        (_, title) => title,
    };
    let member = |member: HostMemberRequest| (member.external_id, member.role.unwrap_or(Role::Member));
    let members = members.into_iter().map(member).collect();
    Ok(HostConversationWanted { id, title, members, create_users: create_users.unwrap_or(false) })
}
