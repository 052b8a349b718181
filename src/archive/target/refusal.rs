//! What the answers of an S3 server mean when it does not do what it was asked, and what an operator can do about them.

use super::place::BucketPlace;
use crate::outbound::Answer;

/// The most characters of a server's text that are shown.
const MOST_SHOWN: usize = 300;

/// The result of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The server has done it.
    Done,
    /// There is no such object.
    Missing,
    /// The object is not the version that may be replaced.
    Replaced,
    /// The server does not support conditional writes.
    Unconditional,
    /// The server may succeed later.
    Later(String),
    /// The server refuses.
    Refused(String),
}

impl Outcome {
    pub(super) fn of(answer: &Answer, place: &BucketPlace) -> Self {
        let body = String::from_utf8_lossy(&answer.body);
        let region = answer.header("x-amz-bucket-region");
        Self::read(answer.status, &body, region, place)
    }

    fn read(status: u16, body: &str, region: Option<&str>, place: &BucketPlace) -> Self {
        let code = element(body, "Code").unwrap_or_default();
        match (status, code) {
            (200..=299, _) => Self::Done,
            (412, _) => Self::Replaced,
            (501, _) => Self::Unconditional,
            (404, code) if code != "NoSuchBucket" => Self::Missing,
            // Of two concurrent writes, the server asks one to try again.
            (408 | 409 | 429 | 500 | 502..=504, _) | (_, "RequestTimeout" | "SlowDown") => {
                Self::Later(told(status, code, body))
            }
            _ => Self::Refused(match advice(code, body, region, place) {
                Some(advice) => format!("{}: {advice}", told(status, code, body)),
                None => told(status, code, body),
            }),
        }
    }
}

/// What an operator can do about an error code.
fn advice(code: &str, body: &str, region: Option<&str>, place: &BucketPlace) -> Option<String> {
    let bucket = &place.bucket;
    Some(match code {
        "NoSuchBucket" => format!(
            "create the bucket {bucket}, or check its name, AWS_REGION and AWS_ENDPOINT_URL_S3: the archiver creates no \
             bucket"
        ),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidClientTokenId" => {
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into()
        }
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            "set a new AWS_SESSION_TOKEN with its keys, or keep them up to date in AWS_SHARED_CREDENTIALS_FILE".into()
        }
        // The server also refuses a signature from another time with this code.
        "AccessDenied" if body.contains("expired") => "set the clock of this machine".into(),
        "RequestTimeTooSkewed" | "RequestExpired" => "set the clock of this machine".into(),
        "AccessDenied" | "AllAccessDisabled" => format!(
            "allow the key to get, put and delete objects in {place}, and to list the bucket {bucket}: without the latter, \
             a missing object is also refused"
        ),
        "InvalidObjectState" => {
            "the storage class of the object needs a restore first: keep the archive in a class with immediate access"
                .into()
        }
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed"
        | "AuthorizationQueryParametersError" | "IllegalLocationConstraintException" => match region {
            Some(region) => format!("set AWS_REGION={region}"),
            None => "set AWS_REGION to the region of the bucket".into(),
        },
        _ => return None,
    })
}

fn told(status: u16, code: &str, body: &str) -> String {
    let message = element(body, "Message").unwrap_or_default();
    let shown: String = message.chars().filter(|letter| !letter.is_control()).take(MOST_SHOWN).collect();
    let parts = [code, &shown].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    if parts.is_empty() {
        format!("the server answered {status}")
    } else {
        format!("the server answered {status} ({parts})")
    }
}

/// The text of the first element with this name. An error document is flat.
pub(super) fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let place: BucketPlace = "backups/verbatim".parse().expect("a place");
        let read = |status, code: &str, message: &str| {
            let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            Outcome::read(status, &body, Some("eu-west-1").filter(|_| status == 301), &place)
        };
        for (status, code, says) in [
            (404, "NoSuchBucket", "create the bucket backups"),
            (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            (400, "ExpiredToken", "AWS_SESSION_TOKEN"),
            (403, "AccessDenied", "list the bucket backups"),
            (403, "RequestTimeTooSkewed", "clock"),
            (403, "InvalidObjectState", "storage class"),
            (301, "PermanentRedirect", "AWS_REGION=eu-west-1"),
            (400, "AuthorizationQueryParametersError", "AWS_REGION"),
            (400, "EntityTooLarge", "too much"),
        ] {
            match read(status, code, "too much") {
                Outcome::Refused(why) => assert!(why.contains(says) && why.contains(code), "{why}"),
                other => panic!("{code}: {other:?}"),
            }
        }
        assert!(
            matches!(read(403, "AccessDenied", "Request has expired"), Outcome::Refused(why) if why.contains("clock"))
        );
        assert!(matches!(read(503, "SlowDown", ""), Outcome::Later(why) if why.contains("SlowDown")));
        assert!(matches!(read(409, "ConditionalRequestConflict", ""), Outcome::Later(_)));
        let read = |status| Outcome::read(status, "no document", None, &place);
        assert_eq!(
            [200, 204, 404, 412, 501].map(read),
            [Outcome::Done, Outcome::Done, Outcome::Missing, Outcome::Replaced, Outcome::Unconditional]
        );
        assert_eq!(read(418), Outcome::Refused("the server answered 418".into()));
    }
}
