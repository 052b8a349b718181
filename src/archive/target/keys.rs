//! The keys to a bucket: given as settings, or in a file that other programs may replace at any time.

use std::path::PathBuf;

use rusty_s3::Credentials;
use tokio::fs;

/// The keys to a bucket.
#[derive(Debug, Clone)]
pub(crate) enum BucketKeys {
    /// These.
    Given(Credentials),
    /// Those of a profile in a file as `aws configure` writes it.
    File {
        /// The file.
        path: PathBuf,
        /// The profile.
        profile: String,
    },
}

impl BucketKeys {
    /// A key with its secret, and the session token if it belongs to a session.
    pub(crate) fn given(id: &str, secret: &str, token: Option<&str>) -> Self {
        Self::Given(match token {
            Some(token) => Credentials::new_with_token(id, secret, token),
            None => Credentials::new(id, secret),
        })
    }

    /// The keys as they are now: a session token is replaced before it expires.
    pub(super) async fn read(&self) -> Result<Credentials, String> {
        let (path, profile) = match self {
            Self::Given(keys) => return Ok(keys.clone()),
            Self::File { path, profile } => (path, profile),
        };
        let shown = path.display();
        let text = fs::read_to_string(path)
            .await
            .map_err(|e| format!("AWS_SHARED_CREDENTIALS_FILE: {shown} cannot be read: {e}"))?;
        of_profile(&text, profile).ok_or_else(|| {
            format!(
                "AWS_SHARED_CREDENTIALS_FILE: {shown} has no aws_access_key_id and aws_secret_access_key below \
                 [{profile}]: add them there, or name another profile in AWS_PROFILE"
            )
        })
    }
}

fn of_profile(text: &str, profile: &str) -> Option<Credentials> {
    let (mut is_ours, mut id, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_ours = name.trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_ours) {
            let value = Some(value.trim()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    match BucketKeys::given(id?, secret?, token) {
        BucketKeys::Given(keys) => Some(keys),
        BucketKeys::File { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_profile_are_read_and_of_no_other() {
        let file = "# by aws configure\n[other]\naws_access_key_id=x\naws_secret_access_key=y\n\n[default]\n\
                    aws_access_key_id = one\nregion = eu-west-1\naws_secret_access_key = a=b/c+\n\
                    [session]\naws_access_key_id=two\naws_secret_access_key=s\naws_session_token=t==\n[half]\n\
                    aws_access_key_id=three\n";
        let read = |profile| of_profile(file, profile).expect(profile);
        assert_eq!(
            (read("default").key(), read("default").secret(), read("default").token()),
            ("one", "a=b/c+", None)
        );
        assert_eq!((read("session").key(), read("session").token()), ("two", Some("t==")));
        for none in ["half", "production", ""] {
            assert!(of_profile(file, none).is_none(), "{none}");
        }
    }
}
