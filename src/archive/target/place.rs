//! The place of an archive, as a setting names it.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
    str::FromStr,
};

/// The longest name of a bucket, and the longest folder in one, in bytes. A key has at most 1,024.
const MOST_BUCKET: usize = 63;
const MOST_PREFIX: usize = 512;

/// A place for an archive: `dir:/var/backups/verbatim` or `s3://bucket/folder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArchivePlace {
    /// A folder.
    Folder(PathBuf),
    /// A folder in a bucket.
    Bucket(BucketPlace),
}

/// A folder in a bucket, and where the bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketPlace {
    pub(super) bucket: String,
    /// The folder, without slashes at its ends; an empty one means the whole bucket.
    pub(super) prefix: String,
    /// The address of the server.
    pub(crate) endpoint: Option<String>,
    /// The region.
    pub(crate) region: Option<String>,
    pub(super) style: Option<BucketStyle>,
}

/// Where an object's address has the name of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BucketStyle {
    /// In the path.
    Path,
    /// In the host.
    Virtual,
}

/// A text that names no place for an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadArchive {
    /// It is of no known kind.
    #[error(
        "this is not a place for an archive: write `dir:` and the absolute path of a folder without `..`, as in \
         dir:/backups/verbatim, or `s3://` and a bucket with a folder, as in s3://backups/verbatim"
    )]
    NoPlace,
    /// It names no bucket.
    #[error(
        "this names no folder in a bucket: write it like s3://backups/verbatim, with letters, digits and .-_ in the name of \
         the bucket, and no empty part, `.` or `..` in the folder"
    )]
    NoBucket,
    /// It has an unknown parameter.
    #[error(
        "the parameters after the question mark are `endpoint=` with a URL, `region=`, and `style=` with path or virtual, \
         joined by &"
    )]
    Parameter,
    /// The address of the server cannot be used.
    #[error(
        "this is not the address of an S3 server: write it like https://s3.example.com, or with a port of 1024 or above"
    )]
    Endpoint,
}

impl FromStr for ArchivePlace {
    type Err = BadArchive;
    fn from_str(text: &str) -> Result<Self, BadArchive> {
        if let Some(rest) = text.strip_prefix("s3://") {
            return rest.parse().map(Self::Bucket);
        }
        let path = text.strip_prefix("dir:").map(Path::new).filter(|path| path.is_absolute());
        let path = path.ok_or(BadArchive::NoPlace)?;
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(BadArchive::NoPlace);
        }
        // A folder has one name, whatever slashes the text has: archivers compare it, because only one may write there.
        Ok(Self::Folder(path.components().collect()))
    }
}

impl FromStr for BucketPlace {
    type Err = BadArchive;
    fn from_str(text: &str) -> Result<Self, BadArchive> {
        let (path, parameters) = text.split_once('?').unwrap_or((text, ""));
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_named = |letter: u8| letter.is_ascii_alphanumeric() || b".-_".contains(&letter);
        let is_bucket = (1..=MOST_BUCKET).contains(&bucket.len()) && bucket.bytes().all(is_named);
        let is_part = |part: &str| !["", ".", ".."].contains(&part) && !part.chars().any(char::is_control);
        let is_prefix = prefix.is_empty() || prefix.len() <= MOST_PREFIX && prefix.split('/').all(is_part);
        if !is_bucket || [".", ".."].contains(&bucket) || !is_prefix {
            return Err(BadArchive::NoBucket);
        }
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        let mut place = Self { bucket, prefix, endpoint: None, region: None, style: None };
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("endpoint", url)) if !url.is_empty() => place.endpoint = Some(url.to_owned()),
                Some(("region", region)) if !region.is_empty() => place.region = Some(region.to_owned()),
                Some(("style", "path")) => place.style = Some(BucketStyle::Path),
                Some(("style", "virtual")) => place.style = Some(BucketStyle::Virtual),
                _ => return Err(BadArchive::Parameter),
            }
        }
        Ok(place)
    }
}

impl fmt::Display for BucketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, .. } = self;
        if prefix.is_empty() { write!(f, "s3://{bucket}") } else { write!(f, "s3://{bucket}/{prefix}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_bucket_are_places_and_all_else_is_refused() {
        for text in ["dir:/var/backups", "dir:/var/backups/", "dir:/var//./backups/."] {
            let Ok(ArchivePlace::Folder(path)) = text.parse() else { panic!("{text}") };
            assert_eq!(path.as_os_str(), "/var/backups", "{text}");
        }
        for wrong in [
            "dir:/var/../backups",
            "",
            "dir:",
            "dir:backups",
            "/var/backups",
            "ftp://somewhere",
            "s3:bucket/folder",
        ] {
            assert_eq!(wrong.parse::<ArchivePlace>(), Err(BadArchive::NoPlace), "{wrong}");
        }
        for (text, shown) in [
            ("s3://backups", "s3://backups"),
            ("s3://backups/", "s3://backups"),
            ("s3://backups/verbatim/", "s3://backups/verbatim"),
            ("s3://my.Old_bucket/a b/c", "s3://my.Old_bucket/a b/c"),
            ("s3://backups/x?endpoint=http://minio:9000&region=eu-west-1&style=virtual", "s3://backups/x"),
        ] {
            match text.parse() {
                Ok(ArchivePlace::Bucket(place)) => assert_eq!(place.to_string(), shown),
                other => panic!("{text}: {other:?}"),
            }
        }
        for wrong in ["s3://", "s3:///x", "s3://../x", "s3://a//b", "s3://a/../b", "s3://a/.", "s3://b%20/x"]
        {
            assert_eq!(wrong.parse::<ArchivePlace>(), Err(BadArchive::NoBucket), "{wrong}");
        }
        for wrong in ["s3://a?x=y", "s3://a/b?region=", "s3://a?style=host", "s3://a?endpoint"] {
            assert_eq!(wrong.parse::<ArchivePlace>(), Err(BadArchive::Parameter), "{wrong}");
        }
    }
}
