//! Adding, listing, changing and removing webhooks.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;

use crate::{
    api::{
        Body, Caller, Cursor, Done, Found, Keyed, Limit, Page, Reply, Ruled, SignedIn,
        http::{examples, reply::Created},
        operations::{
            tag::Tag,
            webhook::{NewWebhook, Webhook, WebhookChanges},
        },
    },
    domain::WebhookId,
    problems::Problem,
    webhooks::{MAX_HEADERS, Shape, Webhooks},
};

/// A secret for examples. It is valid on no server.
pub(in crate::api) const SECRET: &str = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// A new webhook
#[derive(Serialize, Object)]
#[oai(example)]
struct AddedWebhook {
    /// The id of the webhook
    id: WebhookId,
    /// The secret with which a receiver verifies `v1` signatures. Shown only once
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// The public key with which a receiver verifies `v1a` signatures
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

impl Example for AddedWebhook {
    fn example() -> Self {
        Self { id: examples::webhook(), secret: Some(SECRET.into()), public_key: None }
    }
}

/// Refuses more headers than a webhook may have.
fn few_headers(shape: Shape) -> Result<Shape, Problem> {
    match shape.headers.as_ref().map_or(0, Vec::len) {
        0..=MAX_HEADERS => Ok(shape),
        _ => {
            let detail = format!("must be at most {MAX_HEADERS} headers");
            Err(Problem::invalid("/headers", "too_many", detail))
        }
    }
}

pub(in crate::api) struct WebhookOperations {
    pub(in crate::api) webhooks: Webhooks,
}

#[OpenApi(tag = "Tag::Webhooks")]
impl WebhookOperations {
    /// Add a webhook
    ///
    /// Adds a webhook. Events are sent to its URL as structured CloudEvents, signed as in Standard Webhooks, in order
    /// within each conversation, and at least once. A URL whose host has a private address or no address is refused
    /// with `bad_address`. The response is 503 `not_configured` if the operator has not set the key that encrypts
    /// secrets. There can be 500 webhooks. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks", method = "post", operation_id = "add_webhook")]
    async fn add(&self, caller: Caller, body: Body<NewWebhook>) -> Result<Created<AddedWebhook>, Keyed> {
        let (shape, kind, from) = body.0.parts();
        let added = self.webhooks.add(few_headers(shape)?, kind, from, caller.by()).await?;
        let id = added.seen.stored.id;
        let secret = added.secret.map(|secret| secret.to_string());
        let body = AddedWebhook { id, secret, public_key: added.seen.public_key };
        Ok(Created { location: format!("/v1/admin/webhooks/{id}"), body })
    }

    /// List webhooks
    ///
    /// Lists the webhooks, newest first. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks", method = "get", operation_id = "list_webhooks")]
    async fn list(
        &self,
        _caller: Caller,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor<WebhookId>>>,
    ) -> Result<Reply<Page<Webhook>>, SignedIn> {
        let after = cursor.0.map(|cursor| cursor.0);
        let found = self.webhooks.list(after, limit.0.and_one()).await?;
        let page = Page::cut(found, limit.0, |last| last.stored.id);
        Ok(Reply(page.map(Webhook::from)))
    }

    /// Get a webhook
    ///
    /// Returns the settings of a webhook and the progress of its delivery. Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id", method = "get", operation_id = "get_webhook")]
    async fn get(&self, _caller: Caller, id: Path<WebhookId>) -> Result<Reply<Webhook>, Found> {
        Ok(Reply(self.webhooks.find(id.0).await?.into()))
    }

    /// Change a webhook
    ///
    /// Changes the given settings within a second or two. Events that are in flight are still sent with the old ones.
    /// Needs the scope `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id", method = "patch", operation_id = "update_webhook")]
    async fn change(
        &self,
        caller: Caller,
        id: Path<WebhookId>,
        body: Body<WebhookChanges>,
    ) -> Result<Reply<Webhook>, Ruled> {
        let shape = few_headers(body.0.into())?;
        Ok(Reply(self.webhooks.change(id.0, shape, caller.by()).await?.into()))
    }

    /// Remove a webhook
    ///
    /// Removes a webhook, which stops sending within a second or two, and its delivery log. Needs the scope
    /// `admin:webhooks`.
    #[oai(path = "/admin/webhooks/:id", method = "delete", operation_id = "remove_webhook")]
    async fn remove(&self, caller: Caller, id: Path<WebhookId>) -> Result<Done, Found> {
        self.webhooks.remove(id.0, caller.by()).await?;
        Ok(Done)
    }
}
