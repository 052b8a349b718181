//! The API keys of programs.

use std::{sync::Arc, time::Duration};

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::{self, Access, GrantedKey, MAX_OVERLAP, OVERLAP, WantedKey},
    api::{
        Body, BodyIfAny, Caller, Done, Few, Found, Page, Problem, Reply, Ruled, given,
        http::{examples, or_null::OrNull, reply::Created, scopes::of_words, typed::at},
        operations::{
            programs::{SCOPES, scopes},
            tag::Tag,
        },
    },
    credentials::{DeviceName, Network},
    domain::{LoginId, Time, UserId},
};

/// The maximum number of networks of a key.
const ADDRESSES: usize = 32;
/// The longest lifetime of a key, in seconds: ten years.
const LIFE: u64 = 315_360_000;

/// A key for an example. It is valid on no server.
const KEY: &str = "vbk_4fG0aZ9bY1cX_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc_000000";
const PUBLIC: &str = "vbk_4fG0aZ9bY1cX";

/// The data of a new API key
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct NewKey {
    /// The name of the key: one line of at most 128 bytes of UTF-8
    #[oai(validator(min_length = 1, max_length = 128))]
    name: String,
    /// What the key may do: scopes of its account. The default is all of them
    #[serde(default, deserialize_with = "given")]
    scopes: Option<Few<String, SCOPES>>,
    /// The lifetime of the key in seconds, at most ten years. Without it the key is valid until it is revoked
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(minimum(value = "1"), maximum(value = "315360000")))]
    expires_in: Option<u64>,
    /// The networks from which the key may be used, in CIDR notation. Without it the key may be used from anywhere
    #[serde(default, deserialize_with = "given")]
    addresses: Option<Few<String, ADDRESSES>>,
}

impl Example for NewKey {
    fn example() -> Self {
        let addresses = Some(["10.0.0.0/8".to_owned()].into_iter().collect());
        Self { name: "production".into(), scopes: Some(scopes()), expires_in: Some(7_776_000), addresses }
    }
}

/// The options of a rotation of an API key
#[derive(Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct Rotation {
    /// How long the old key keeps working beside the new one, in seconds: 0 to 604800. The default is 86400
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(maximum(value = "604800")))]
    overlap_s: Option<u64>,
}

impl Example for Rotation {
    fn example() -> Self {
        Self { overlap_s: Some(3_600) }
    }
}

/// A new API key
#[derive(Serialize, Object)]
#[oai(example)]
struct MadeApiKey {
    /// The id of the key
    id: LoginId,
    /// The key. Shown only once: the server stores only a hash
    key: String,
    /// What the key may do
    scopes: Vec<String>,
    /// When the key expires; null if it never does
    expires_at: OrNull<Time>,
}

impl From<GrantedKey> for MadeApiKey {
    fn from(key: GrantedKey) -> Self {
        let GrantedKey { id, text, scopes, expires_at } = key;
        Self { id, key: text.to_string(), scopes: scopes.words(), expires_at: OrNull(expires_at) }
    }
}

impl Example for MadeApiKey {
    fn example() -> Self {
        let expires_at = OrNull(Some(examples::time().plus(Duration::from_secs(7_776_000))));
        let scopes = scopes::<SCOPES>().into_vec();
        Self { id: examples::login(), key: KEY.into(), scopes, expires_at }
    }
}

/// The API key that replaces another one
#[derive(Serialize, Object)]
#[oai(example)]
struct RotatedApiKey {
    /// The id of the new key
    id: LoginId,
    /// The new key. Shown only once: the server stores only a hash
    key: String,
    /// What the new key may do
    scopes: Vec<String>,
    /// When the new key expires; null if it never does
    expires_at: OrNull<Time>,
    /// When the old key expires
    old_expires_at: Time,
}

impl RotatedApiKey {
    fn of(key: MadeApiKey, old_expires_at: Time) -> Self {
        let MadeApiKey { id, key, scopes, expires_at } = key;
        Self { id, key, scopes, expires_at, old_expires_at }
    }
}

impl Example for RotatedApiKey {
    fn example() -> Self {
        Self::of(MadeApiKey::example(), examples::time().plus(OVERLAP))
    }
}

/// An API key, without its secret
#[derive(Serialize, Object)]
#[oai(example)]
struct ApiKey {
    /// The id of the key
    id: LoginId,
    /// The name of the key
    name: String,
    /// The first characters of the key, by which people recognise it
    prefix: String,
    /// What the key may do
    scopes: Vec<String>,
    /// The networks from which the key may be used; empty if it may be used from anywhere
    addresses: Vec<String>,
    /// When the key was created
    created_at: Time,
    /// When the key expires; null if it never does
    expires_at: OrNull<Time>,
    /// When the key was last used, to the minute; null if it has never been used
    last_used_at: OrNull<Time>,
    /// The IP address of the last use
    last_used_address: OrNull<String>,
}

impl From<access::ListedKey> for ApiKey {
    fn from(key: access::ListedKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            prefix: key.public.to_string(),
            scopes: key.scopes.words(),
            addresses: key.addresses,
            created_at: key.created_at,
            expires_at: OrNull(key.expires_at),
            last_used_at: OrNull(key.last_used_at),
            last_used_address: OrNull(key.last_used_address),
        }
    }
}

impl Example for ApiKey {
    fn example() -> Self {
        Self {
            id: examples::login(),
            name: "production".into(),
            prefix: PUBLIC.into(),
            scopes: scopes::<SCOPES>().into_vec(),
            addresses: vec!["10.0.0.0/8".into()],
            created_at: examples::time(),
            expires_at: OrNull(Some(examples::time().plus(Duration::from_secs(7_776_000)))),
            last_used_at: OrNull(Some(examples::time())),
            last_used_address: OrNull(Some("10.0.0.7".into())),
        }
    }
}

pub(in crate::api) struct ProgramKeys {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Services")]
impl ProgramKeys {
    /// Create an API key
    ///
    /// Creates a key for a service account, which can have ten live keys. An invalid network in `addresses` is
    /// refused with `bad_address`. Needs the scope `admin:services`.
    #[oai(path = "/admin/services/:id/keys", method = "post", operation_id = "add_key")]
    async fn add(
        &self,
        caller: Caller,
        id: Path<UserId>,
        body: Body<NewKey>,
    ) -> Result<Created<MadeApiKey>, Ruled> {
        let NewKey { name, scopes, expires_in, addresses } = body.0;
        let name = at("/name", DeviceName::parse(&name))?;
        let scopes = scopes.map(|words| of_words("/scopes", words.into_vec())).transpose()?;
        if expires_in.is_some_and(|life| !(1..=LIFE).contains(&life)) {
            let detail = format!("must be 1 to {LIFE} seconds");
            return Err(Problem::invalid("/expires_in", "out_of_range", detail).into());
        }
        let networks = networks(addresses.map(Few::into_vec).unwrap_or_default())?;
        let wanted = WantedKey { name, scopes, expires_in: expires_in.map(Duration::from_secs), networks };
        let Access { pool, clock, .. } = &*self.access;
        let made = access::add_key(pool, clock, id.0, wanted, caller.by()).await?;
        Ok(Created { location: format!("/v1/admin/services/{}/keys/{}", id.0, made.id), body: made.into() })
    }

    /// List API keys
    ///
    /// Lists the live keys of a service account, newest first. Needs the scope `admin:services`.
    #[oai(path = "/admin/services/:id/keys", method = "get", operation_id = "list_keys")]
    async fn list(&self, _caller: Caller, id: Path<UserId>) -> Result<Reply<Page<ApiKey>>, Found> {
        let keys = access::keys(&self.access.pool, &self.access.clock, id.0).await?;
        Ok(Reply(Page::of(keys.into_iter().map(ApiKey::from).collect(), None)))
    }

    /// Replace an API key
    ///
    /// Creates a key with the same name, scopes, networks and lifetime. The old key keeps working beside it for the
    /// overlap, and then expires. Needs the scope `admin:services`.
    #[oai(path = "/admin/services/:id/keys/:key_id/rotate", method = "post", operation_id = "rotate_key")]
    async fn rotate(
        &self,
        caller: Caller,
        id: Path<UserId>,
        key_id: Path<LoginId>,
        body: BodyIfAny<Rotation>,
    ) -> Result<Created<RotatedApiKey>, Ruled> {
        let overlap = body.0.unwrap_or_default().overlap_s.map_or(OVERLAP, Duration::from_secs);
        if overlap > MAX_OVERLAP {
            let detail = format!("must be 0 to {} seconds", MAX_OVERLAP.as_secs());
            return Err(Problem::invalid("/overlap_s", "out_of_range", detail).into());
        }
        let rotated = self.access.replace_key(id.0, key_id.0, overlap, caller.by()).await?;
        let location = format!("/v1/admin/services/{}/keys/{}", id.0, rotated.key.id);
        Ok(Created { location, body: RotatedApiKey::of(rotated.key.into(), rotated.old_expires_at) })
    }

    /// Revoke an API key
    ///
    /// Revokes a key. All nodes refuse it within a second, and close its sockets with 4503. Needs the scope
    /// `admin:services`.
    #[oai(path = "/admin/services/:id/keys/:key_id", method = "delete", operation_id = "revoke_key")]
    async fn revoke(&self, caller: Caller, id: Path<UserId>, key_id: Path<LoginId>) -> Result<Done, Ruled> {
        self.access.revoke_key(id.0, key_id.0, caller.by()).await?;
        Ok(Done)
    }
}

fn networks(texts: Vec<String>) -> Result<Vec<Network>, Problem> {
    let parse = |(at, text): (usize, &String)| {
        Network::parse(text).ok_or_else(|| {
            let expected = "must be an address, or a network like 10.0.0.0/8 without bits after its prefix";
            Problem::unusable("bad_address", format!("/addresses/{at}"), expected)
        })
    };
    texts.iter().enumerate().map(parse).collect()
}
