//! The documents of an issuer: its key set, and the document that names the address of the key set.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use thiserror::Error;
use tokio::time::Instant;

use crate::{
    issuers::{Issuer, issuer::Source, key_set::KeySet, keys::Fetched},
    outbound::{Answer, Bounds, Failed, Outbound, Target},
    telemetry::METRICS,
};

/// Timeout of all requests of one fetch together.
const WITHIN: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 64 * 1024;
/// How long the address in the document of an issuer is used without reading the document again.
const ADDRESS_LIFE: Duration = Duration::from_secs(3_600);

/// Why the keys of an issuer could not be fetched.
#[derive(Debug, Error)]
pub(super) enum NotFetched {
    #[error("{0}: {1}")]
    NoAnswer(Target, Failed),
    #[error("{0}: the server answered {1}, and not 200")]
    Status(Target, u16),
    #[error("{0}: this is not a JWK set: set `jwks_url` to the address of the keys")]
    NotASet(Target),
    #[error("{0}: this is not an OpenID Connect Discovery document: set `jwks_url`")]
    NotADocument(Target),
    #[error("{0}: the document names the issuer `{1}`: write exactly that as `iss`")]
    AnotherIssuer(Target, String),
    #[error("{0}: its `jwks_uri` cannot be used: {1}")]
    BadKeysUrl(Target, String),
}

/// The address of the keys, from the document of the issuer, and when the document was read.
#[derive(Default)]
pub(super) struct Discovered(Mutex<Option<(Target, Instant)>>);

impl Discovered {
    fn known(&self) -> Option<(Target, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn note(&self, url: Target) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((url, Instant::now()));
    }
}

/// Fetches the keys of an issuer because of the key `wanted`. A failure is logged.
pub(super) async fn fetch(
    outbound: Outbound,
    issuer: Arc<Issuer>,
    discovered: Arc<Discovered>,
    wanted: String,
) -> Option<Fetched> {
    match keys(&outbound, &issuer, &discovered, &wanted).await {
        Ok(fetched) => {
            METRICS.issuer_fetches.get_or_create(&[("outcome", "fetched")]).inc();
            tracing::debug!(issuer = issuer.iss, keys = fetched.set.len(), "fetched the keys of an issuer");
            Some(fetched)
        }
        Err(error) => {
            METRICS.issuer_fetches.get_or_create(&[("outcome", "failed")]).inc();
            tracing::warn!(
                issuer = issuer.iss,
                %error,
                "could not fetch the keys of an issuer; the known keys stay in use for a day"
            );
            None
        }
    }
}

/// Fetches the keys of an issuer, through its document if necessary: the issuer may have moved its keys, and still
/// answer at the old address with old keys. So the document is also read again if the set at the known address lacks
/// the key `wanted`, and after an hour.
pub(super) async fn keys(
    outbound: &Outbound,
    issuer: &Issuer,
    discovered: &Discovered,
    wanted: &str,
) -> Result<Fetched, NotFetched> {
    let until = Instant::now() + WITHIN;
    let document = match &issuer.source {
        Source::Keys(url) => return set(outbound, url, until).await,
        Source::Discovery(document) => document,
    };
    let there = match discovered.known() {
        None => None,
        Some((url, read_at)) => match set(outbound, &url, until).await {
            Ok(fetched) if read_at.elapsed() < ADDRESS_LIFE && fetched.set.named(wanted).is_some() => {
                return Ok(fetched);
            }
            Ok(fetched) => Some((url, fetched)),
            Err(_) => {
                // If there is no time left for the document now, the next fetch begins with it.
                discovered.forget();
                None
            }
        },
    };
    let named = async {
        let url = discover(outbound, issuer, document, until).await?;
        let fetched = match &there {
            Some((known, fetched)) if *known == url => fetched.clone(),
            _ => set(outbound, &url, until).await?,
        };
        discovered.note(url);
        Ok(fetched)
    };
    // Whatever is wrong with the document or the address in it, the known address answers.
    match (named.await, there) {
        (Err(_), Some((_, fetched))) => Ok(fetched),
        (named, _) => named,
    }
}

async fn set(outbound: &Outbound, url: &Target, until: Instant) -> Result<Fetched, NotFetched> {
    let answer = ask(outbound, url, until).await?;
    let set = KeySet::read(&answer.body).ok_or_else(|| NotFetched::NotASet(url.clone()))?;
    Ok(Fetched { set, max_age: answer.header("cache-control").and_then(max_age) })
}

async fn discover(
    outbound: &Outbound,
    issuer: &Issuer,
    url: &Target,
    until: Instant,
) -> Result<Target, NotFetched> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        jwks_uri: String,
    }
    let answer = ask(outbound, url, until).await?;
    let document: Document =
        serde_json::from_slice(&answer.body).map_err(|_| NotFetched::NotADocument(url.clone()))?;
    if document.issuer != issuer.iss {
        let named = document.issuer.chars().take(200).collect();
        return Err(NotFetched::AnotherIssuer(url.clone(), named));
    }
    Target::parse(&document.jwks_uri).map_err(|bad| NotFetched::BadKeysUrl(url.clone(), bad.to_string()))
}

async fn ask(outbound: &Outbound, url: &Target, until: Instant) -> Result<Answer, NotFetched> {
    let bounds = Bounds { within: until.saturating_duration_since(Instant::now()), bytes: MOST_BYTES };
    let answer = outbound.get(url, bounds).await.map_err(|why| NotFetched::NoAnswer(url.clone(), why))?;
    match answer.status {
        200 => Ok(answer),
        status => Err(NotFetched::Status(url.clone(), status)),
    }
}

/// `max-age` of `Cache-Control`; `None` if the answer must not be cached.
fn max_age(header: &str) -> Option<Duration> {
    let directives = || header.split(',').map(str::trim);
    let is = |directive: &str, name: &str| directive.eq_ignore_ascii_case(name);
    if directives().any(|directive| is(directive, "no-store") || is(directive, "no-cache")) {
        return None;
    }
    let age = directives().find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        is(name, "max-age").then(|| value.trim_matches('"').parse().ok())?
    });
    age.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_found_among_the_directives() {
        for (header, seconds) in [
            ("max-age=300", Some(300)),
            ("public, Max-Age=\"60\", must-revalidate", Some(60)),
            ("s-maxage=5", None),
            ("no-cache, max-age=300", None),
            ("max-age=300, no-store", None),
            ("max-age=soon", None),
            ("max-age=-1", None),
            ("", None),
        ] {
            assert_eq!(max_age(header).map(|age| age.as_secs()), seconds, "{header}");
        }
    }
}
