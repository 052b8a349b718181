//! The place of the archive, and the keys to it if it is in a bucket.

use std::path::PathBuf;

use clap::Args;

use crate::{
    archive::{ArchivePlace, ArchiveTarget, BucketAccess, BucketKeys},
    config::{BadSetting, pair::pair},
    networks::Networks,
    outbound::{Outbound, Schemes, Trust},
};

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
/// The region for servers that have no regions.
const NO_REGION: &str = "us-east-1";
/// The default profile of a file.
const PROFILE: &str = "default";
/// The maximum number of idle connections to the server.
const IDLE: usize = 8;

/// The place of the archive. The settings of a bucket have the names that programs for S3 have given them.
#[derive(Debug, Clone, Args)]
pub(super) struct ArchiveSettings {
    /// Place of the archive, for the role `archiver` and for backups: `dir:` and the absolute path of a folder that no
    /// server uses, or `s3://bucket/folder`. It contains password hashes, so keep it private. [default: none; with
    /// `dev` a folder beside its data]
    #[arg(long, env = "VERBATIM_ARCHIVE", value_name = "PLACE")]
    archive: Option<ArchivePlace>,

    /// Address of the S3 server of the archive, like `https://s3.example.com`. [default: AWS in the region]
    #[arg(long, env = "AWS_ENDPOINT_URL_S3", value_name = "URL")]
    s3_endpoint: Option<String>,

    /// Address of the S3 server if `AWS_ENDPOINT_URL_S3` is not set.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL")]
    aws_endpoint: Option<String>,

    /// Region of the bucket. [default: `us-east-1` if the address of an S3 server is set]
    #[arg(long, env = "AWS_REGION", value_name = "REGION")]
    s3_region: Option<String>,

    /// Id of the access key for the bucket.
    #[arg(long, env = KEY_ID, value_name = "ID")]
    s3_key_id: Option<String>,

    /// Secret of the access key for the bucket.
    #[arg(long, env = SECRET, value_name = "SECRET", hide_env_values = true)]
    s3_secret: Option<String>,

    /// Session token, if the access key belongs to a session.
    #[arg(long, env = "AWS_SESSION_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    s3_session_token: Option<String>,

    /// File with the access key, as written by `aws configure`. Each request reads it, so it may be replaced at any
    /// time.
    #[arg(long, env = "AWS_SHARED_CREDENTIALS_FILE", value_name = "FILE")]
    s3_keys_file: Option<PathBuf>,

    /// Profile in that file.
    #[arg(long, env = "AWS_PROFILE", default_value = PROFILE, value_name = "NAME")]
    s3_profile: String,
}

/// A setting, if it is set. An empty setting counts as unset, as in all programs for S3.
fn set(setting: Option<&String>) -> Option<&str> {
    setting.map(String::as_str).filter(|text| !text.trim().is_empty())
}

impl ArchiveSettings {
    /// The place. Fails if none is set.
    pub(super) fn place(&self) -> Result<&ArchivePlace, BadSetting> {
        self.archive.as_ref().ok_or_else(|| {
            BadSetting(
                "VERBATIM_ARCHIVE is not set: name the place of the archive, as in dir:/backups/verbatim or \
                 s3://backups/verbatim"
                    .into(),
            )
        })
    }

    /// Whether a place is set.
    pub(super) fn is_set(&self) -> bool {
        self.archive.is_some()
    }

    /// Uses this place, unless one is set.
    pub(super) fn default_place(&mut self, place: ArchivePlace) {
        self.archive.get_or_insert(place);
    }

    /// Opens a place for use.
    pub(super) fn open(
        &self,
        place: &ArchivePlace,
        trust: impl FnOnce() -> Result<Trust, BadSetting>,
    ) -> Result<ArchiveTarget, BadSetting> {
        let place = match place {
            ArchivePlace::Folder(path) => return Ok(ArchiveTarget::folder(path)),
            ArchivePlace::Bucket(place) => place,
        };
        let endpoint = set(place.endpoint.as_ref())
            .or(set(self.s3_endpoint.as_ref()))
            .or(set(self.aws_endpoint.as_ref()));
        let region = set(place.region.as_ref()).or(set(self.s3_region.as_ref()));
        let region = region.or(endpoint.map(|_| NO_REGION)).ok_or_else(|| {
            BadSetting(format!(
                "AWS_REGION is not set: name the region of {place}, or a server outside AWS in AWS_ENDPOINT_URL_S3"
            ))
        })?;
        // Only the operator can name this server, so it may be in a private network.
        let outbound = Outbound::with(&trust()?, Networks::all(), Schemes::HttpToo, IDLE);
        let access = BucketAccess {
            endpoint: endpoint.map(str::to_owned),
            region: region.to_owned(),
            keys: self.keys()?,
            outbound,
        };
        ArchiveTarget::bucket(place, access)
            .map_err(|bad| BadSetting(format!("AWS_ENDPOINT_URL_S3, AWS_REGION: {bad}")))
    }

    fn keys(&self) -> Result<BucketKeys, BadSetting> {
        let (id, secret) = (set(self.s3_key_id.as_ref()), set(self.s3_secret.as_ref()));
        let given = pair((id, KEY_ID), (secret, SECRET))?;
        match (given, &self.s3_keys_file) {
            (Some((id, secret)), _) => Ok(BucketKeys::given(id, secret, set(self.s3_session_token.as_ref()))),
            (None, Some(path)) => {
                let profile = set(Some(&self.s3_profile)).unwrap_or(PROFILE).to_owned();
                Ok(BucketKeys::File { path: path.clone(), profile })
            }
            (None, None) => Err(BadSetting(format!(
                "{KEY_ID} is not set: set it with {SECRET}, or name a file with both in AWS_SHARED_CREDENTIALS_FILE. \
                 Instance roles and web identities are not supported"
            ))),
        }
    }
}
