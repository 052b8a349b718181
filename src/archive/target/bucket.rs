//! An archive in a bucket of S3-compatible object storage.
//!
//! Each attempt of a request is signed again, has a deadline, and is repeated a few times if the server may succeed
//! later.

use std::{fmt, io, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rusty_s3::{
    Credentials, S3Action as _, UrlStyle,
    actions::{ListObjectsV2, ListObjectsV2Response},
};
use tokio::time::sleep;

use super::{
    file::{ArchiveError, FileVersion, KeptFile, Replaces},
    keys::BucketKeys,
    place::{BadArchive, BucketPlace, BucketStyle},
    refusal::{Outcome, element},
};
use crate::outbound::{Answer, Bounds, Failed, Outbound, Target, Verb};

/// The bounds of an attempt. A segment, or a part of a dump, is at most 17 MB before it is compressed.
const BOUNDS: Bounds = Bounds { within: Duration::from_secs(60), bytes: 100 << 20 };
/// The waits before the attempts after the first one.
const WAITS: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(4)];
/// How long a signature is valid: as far as clocks may differ.
const SIGNED: Duration = Duration::from_secs(300);
/// How many objects are removed concurrently.
const AT_ONCE: usize = 16;

/// How a bucket is reached.
#[derive(Debug)]
pub(crate) struct BucketAccess {
    /// The address of the server; without one, that of AWS in the region.
    pub(crate) endpoint: Option<String>,
    /// The region.
    pub(crate) region: String,
    /// The keys.
    pub(crate) keys: BucketKeys,
    /// The client.
    pub(crate) outbound: Outbound,
}

/// A folder in a bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    place: BucketPlace,
    bucket: rusty_s3::Bucket,
    keys: BucketKeys,
    outbound: Outbound,
}

/// A request.
enum Ask<'a> {
    Get(&'a str),
    Put {
        key: &'a str,
        bytes: &'a Bytes,
        headers: &'a [(&'static str, &'a str)],
    },
    Delete(&'a str),
    /// The objects below a prefix, after those that were listed before.
    List {
        prefix: &'a str,
        is_deep: bool,
        from: Option<String>,
    },
    Versioning,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl Replaces {
    /// The header that makes the server compare.
    fn condition(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Nothing => Some(("if-none-match", "*")),
            Self::Version(FileVersion(Some(tag))) => Some(("if-match", tag)),
            Self::Anything | Self::Version(FileVersion(None)) => None,
        }
    }
}

impl Bucket {
    pub(super) fn new(place: &BucketPlace, access: BucketAccess) -> Result<Self, BadArchive> {
        let BucketAccess { endpoint, region, keys, outbound } = access;
        // A wildcard certificate of AWS covers only one label before its host.
        let by_host = endpoint.is_none() && !place.bucket.contains('.');
        let style = match place.style {
            Some(BucketStyle::Virtual) => UrlStyle::VirtualHost,
            None if by_host => UrlStyle::VirtualHost,
            Some(BucketStyle::Path) | None => UrlStyle::Path,
        };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let endpoint = endpoint.parse().map_err(|_| BadArchive::Endpoint)?;
        let bucket = rusty_s3::Bucket::new(endpoint, style, place.bucket.clone(), region)
            .map_err(|_| BadArchive::Endpoint)?;
        Target::parse_signed(bucket.base_url().as_str()).map_err(|_| BadArchive::Endpoint)?;
        Ok(Self { place: place.clone(), bucket, keys, outbound })
    }

    /// The address of the folder, the same whatever settings it was made from.
    pub(super) fn address(&self) -> String {
        format!("{}{}", self.bucket.base_url(), self.place.prefix)
    }

    fn key(&self, name: &str) -> String {
        let prefix = &self.place.prefix;
        if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
    }

    pub(super) async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        replaces: &Replaces,
    ) -> Result<FileVersion, ArchiveError> {
        let key = self.key(name);
        // A bucket with object lock accepts no object without a checksum.
        let sum = STANDARD.encode(digest(&SHA256, &bytes));
        let headers: Vec<_> =
            replaces.condition().into_iter().chain([("x-amz-checksum-sha256", &*sum)]).collect();
        let mut answer = self.ask(name, &Ask::Put { key: &key, bytes: &bytes, headers: &headers }).await?;
        if answer.0 == Outcome::Unconditional {
            // The claim still keeps all other processes from writing.
            let headers = &headers[headers.len() - 1..];
            answer = self.ask(name, &Ask::Put { key: &key, bytes: &bytes, headers }).await?;
        }
        match answer {
            (Outcome::Done, answer) => Ok(version(&answer)),
            // The object to be replaced has changed, or is gone. Perhaps an earlier attempt has written it and its
            // answer was lost.
            (Outcome::Replaced | Outcome::Missing, _) if *replaces != Replaces::Anything => {
                match self.get(name).await? {
                    Some(found) if found.bytes == bytes => Ok(found.version),
                    _ => Err(ArchiveError::Lost),
                }
            }
            (_, answer) => Err(self.failed(name, format!("the server answered {}", answer.status))),
        }
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<KeptFile>, ArchiveError> {
        match self.ask(name, &Ask::Get(&self.key(name))).await? {
            (Outcome::Done, answer) => Ok(Some(KeptFile { version: version(&answer), bytes: answer.body })),
            _ => Ok(None),
        }
    }

    /// The names in a folder.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let prefix = self.key(&format!("{folder}/"));
        let paths = self.listed(folder, &prefix, false).await?;
        let names =
            paths.iter().filter_map(|path| path.strip_prefix(&prefix)).map(|name| name.trim_end_matches('/'));
        // Programs that show buckets as folders create an object with the name of the folder.
        Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Removes an object, or the objects below it. A server that stores buckets as folders refuses to delete a folder
    /// by its name.
    pub(super) async fn remove(&self, name: &str) -> Result<(), ArchiveError> {
        let key = self.key(name);
        let below = self.listed(name, &format!("{key}/"), true).await?;
        if below.is_empty() {
            return self.ask(name, &Ask::Delete(&key)).await.map(drop);
        }
        let removing =
            stream::iter(below).map(async |key| self.ask(name, &Ask::Delete(&key)).await.map(drop));
        removing.buffer_unordered(AT_ONCE).try_collect().await
    }

    pub(super) async fn keeps_versions(&self) -> bool {
        match self.ask("", &Ask::Versioning).await {
            // The element is missing in a bucket that never had versions.
            Ok((Outcome::Done, answer)) => {
                element(&String::from_utf8_lossy(&answer.body), "Status").is_some()
            }
            _ => false,
        }
    }

    /// The keys that begin with a prefix: with everything below them, or only their common prefixes.
    async fn listed(&self, name: &str, prefix: &str, is_deep: bool) -> Result<Vec<String>, ArchiveError> {
        let (mut keys, mut from) = (Vec::new(), None);
        loop {
            let (_, answer) = self.ask(name, &Ask::List { prefix, is_deep, from }).await?;
            let page = listing(&answer.body).map_err(|why| self.failed(name, why))?;
            keys.extend(page.contents.into_iter().map(|object| object.key));
            keys.extend(page.common_prefixes.into_iter().map(|folder| folder.prefix));
            from = page.next_continuation_token;
            if from.is_none() {
                return Ok(keys);
            }
        }
    }

    async fn ask(&self, name: &str, ask: &Ask<'_>) -> Result<(Outcome, Answer), ArchiveError> {
        let mut waits = WAITS.into_iter();
        loop {
            let why = match self.ask_once(ask).await {
                Ok(answer) => match Outcome::of(&answer, &self.place) {
                    Outcome::Refused(why) => return Err(self.failed(name, why)),
                    Outcome::Later(why) => why,
                    outcome => return Ok((outcome, answer)),
                },
                Err(why) => why,
            };
            match waits.next() {
                Some(wait) => sleep(wait).await,
                None => return Err(self.failed(name, why)),
            }
        }
    }

    async fn ask_once(&self, ask: &Ask<'_>) -> Result<Answer, String> {
        let keys = self.keys.read().await?;
        let target = Target::parse_signed(&self.signed(ask, &keys)).map_err(|bad| bad.to_string())?;
        let (verb, headers) = match ask {
            Ask::Get(_) | Ask::List { .. } | Ask::Versioning => (Verb::Get, &[][..]),
            Ask::Put { bytes, headers, .. } => (Verb::Put(Bytes::clone(bytes)), *headers),
            Ask::Delete(_) => (Verb::Delete, &[][..]),
        };
        let answer = self.outbound.send(verb, &target, headers, BOUNDS).await;
        let host = self.bucket.base_url().host_str().unwrap_or_default();
        answer.map_err(|failed| match failed {
            Failed::AddressNotAllowed => {
                format!("{host} has no address: check AWS_ENDPOINT_URL_S3 and AWS_REGION")
            }
            failed => format!("{host}: {failed}"),
        })
    }

    /// The signed URL of a request.
    fn signed(&self, ask: &Ask<'_>, keys: &Credentials) -> String {
        let keys = Some(keys);
        match ask {
            Ask::Get(key) => self.bucket.get_object(keys, key).sign(SIGNED),
            Ask::Delete(key) => self.bucket.delete_object(keys, key).sign(SIGNED),
            Ask::Put { key, headers, .. } => {
                let mut put = self.bucket.put_object(keys, key);
                for (name, value) in *headers {
                    put.headers_mut().insert(*name, *value);
                }
                put.sign(SIGNED)
            }
            Ask::List { prefix, is_deep, from } => {
                let mut list = self.bucket.list_objects_v2(keys);
                list.with_prefix(*prefix);
                if !is_deep {
                    list.with_delimiter("/");
                }
                if let Some(from) = from {
                    list.with_continuation_token(from);
                }
                list.sign(SIGNED)
            }
            Ask::Versioning => {
                // The library has no such request; a request for an object without a name goes to the bucket.
                let mut versioning = self.bucket.get_object(keys, "");
                versioning.query_mut().insert("versioning", "");
                versioning.sign(SIGNED)
            }
        }
        .into()
    }

    fn failed(&self, name: &str, why: String) -> ArchiveError {
        let path = format!("{}/{name}", self.place);
        ArchiveError::File { path, error: io::Error::other(why) }
    }
}

fn version(answer: &Answer) -> FileVersion {
    FileVersion(answer.header("etag").map(str::to_owned))
}

fn listing(body: &[u8]) -> Result<ListObjectsV2Response, String> {
    let unreadable = |error: &dyn fmt::Display| format!("the list of objects cannot be read: {error}");
    let text = std::str::from_utf8(body).map_err(|error| unreadable(&error))?;
    ListObjectsV2::parse_response(text).map_err(|error| unreadable(&error))
}
