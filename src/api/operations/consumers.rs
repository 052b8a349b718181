//! Adding, listing and removing consumers.

use std::sync::Arc;

use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use crate::{
    access::{Access, AccessError, ServiceError},
    api::{
        Body, Caller, Cursor, Done, Found, Keyed, Limit, Page, Problem, Reply, SignedIn,
        http::{
            reply::{Created, Made},
            scopes::Need,
        },
        operations::{
            consumer::{AddedConsumer, Consumer, NewConsumer, named},
            tag::Tag,
        },
    },
    consumers::{self, Office},
    credentials::{NatsName, Scope},
};

fn not_bound(refused: ServiceError) -> Problem {
    match refused {
        ServiceError::Access(AccessError::NotFound) => {
            Problem::invalid("/bot", "unknown_service", "there is no service account with this id")
        }
        other => other.into(),
    }
}

pub(in crate::api) struct ConsumerOperations {
    pub(in crate::api) office: Office,
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Consumers")]
impl ConsumerOperations {
    /// Add a consumer
    ///
    /// Creates a durable consumer of this name on each stream that the consumer reads, and NATS credentials with the
    /// fewest permissions that work. Repeating the request succeeds without new credentials, and completes an earlier
    /// request that was interrupted. A different consumer of the same name is a `conflict`. The response is 503
    /// `not_configured` if the node has no VERBATIM_CONSUMERS_KEY_FILE. Needs the scope `admin:consumers`, and with
    /// `bot` also `admin:services`.
    #[oai(path = "/admin/consumers", method = "post", operation_id = "add_consumer")]
    async fn add(&self, caller: Caller, body: Body<NewConsumer>) -> Result<Made<AddedConsumer>, Keyed> {
        self.office.scoped()?;
        let new = body.0;
        let Some(name) = NatsName::parse(&new.name) else {
            return Err(Problem::invalid("/name", "invalid", NatsName::FORM).into());
        };
        let filter = new.filter()?;
        let wanted = new.wanted(&filter)?;
        let mut is_newly_bound = false;
        if let Some(service) = new.bot {
            // Otherwise the scope `admin:consumers` alone would grant all scopes of any service account.
            Need::Scope(Scope::AdminServices).of(&caller)?;
            // Credentials of an earlier consumer of this name could still work, so its name is bound after the checks.
            consumers::may_add(&self.office, &wanted).await?;
            let bound = self.access.bind_name(service, &name, caller.by()).await;
            is_newly_bound = bound.map_err(not_bound)?.is_new;
        }
        let added = consumers::add(&self.office, wanted, caller.by()).await;
        if is_newly_bound && consumers::needs_no_binding(&self.office, &new.name, &added).await? {
            self.access.unbind_name(&name, caller.by()).await?;
        }
        let added = added?;
        let is_new = added.is_new;
        let body = AddedConsumer::of(&new, added, &self.office.servers);
        Ok(match is_new {
            true => Made::Now(Created { location: format!("/v1/admin/consumers/{name}"), body }),
            false => Made::Before(body),
        })
    }

    /// List consumers
    ///
    /// Lists the consumers by name, and how far each has read. The response is 503 `not_configured` if the node has
    /// no VERBATIM_CONSUMERS_KEY_FILE. Needs the scope `admin:consumers`.
    #[oai(path = "/admin/consumers", method = "get", operation_id = "list_consumers")]
    async fn list(
        &self,
        _caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<String>>>,
    ) -> Result<Reply<Page<Consumer>>, SignedIn> {
        self.office.scoped()?;
        let behind = cursor.0.map(|cursor| cursor.0);
        let found = consumers::list(&self.office, behind.as_deref(), limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| last.name.clone());
        Ok(Reply(page.map(Consumer::from)))
    }

    /// Get a consumer
    ///
    /// Returns what a consumer reads and how far it has read. Needs the scope `admin:consumers`.
    #[oai(path = "/admin/consumers/:name", method = "get", operation_id = "get_consumer")]
    async fn get(&self, _caller: Caller, name: Path<String>) -> Result<Reply<Consumer>, Found> {
        self.office.scoped()?;
        Ok(Reply(consumers::find(&self.office, &named(name)?).await?.into()))
    }

    /// Remove a consumer
    ///
    /// Removes a consumer, its durable consumers, its parked events and the key with which it sent commands. It
    /// receives no more events.
    /// Closing its connections needs the operator's signing key, which no node holds: the next `verbatim consumers
    /// sweep` does it, and until then no consumer of the same name can be added. Needs the scope `admin:consumers`; to
    /// remove what an interrupted request has left, where there is no consumer but a bound name, also `admin:services`.
    #[oai(path = "/admin/consumers/:name", method = "delete", operation_id = "remove_consumer")]
    async fn remove(&self, caller: Caller, name: Path<String>) -> Result<Done, Found> {
        self.office.scoped()?;
        let Some(name) = NatsName::parse(&name.0) else { return Err(Problem::not_found().into()) };
        let was_there = consumers::remove(&self.office, &name.to_string(), false, caller.by()).await?;
        // Without a consumer, the name may belong to a service account alone.
        let may_unbind = was_there || Need::Scope(Scope::AdminServices).of(&caller).is_ok();
        let was_bound = may_unbind && self.access.unbind_name(&name, caller.by()).await?;
        if was_there || was_bound { Ok(Done) } else { Err(Problem::not_found().into()) }
    }
}
