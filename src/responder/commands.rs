//! The commands, and the REST request to which each of them corresponds.

use std::{borrow::Cow, collections::HashSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poem::{
    Request,
    http::{Method, StatusCode, Uri, header},
};
use serde_json::{Value, value::RawValue};

use crate::{domain::Fields, problems::Problem};

/// The maximum number of bytes of a body.
pub(super) const MAX_BODY: usize = 64 << 10;

/// Where the remaining fields of a command go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// The body of the request.
    Body,
    /// Nothing: all fields are in the path.
    Nothing,
    /// The query of a read.
    Query,
}

pub(super) struct Command {
    pub(super) word: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    rest: Rest,
}

const fn command(word: &'static str, method: Method, path: &'static str, rest: Rest) -> Command {
    Command { word, method, path, rest }
}

const CONVERSATION: &str = "/v1/conversations/{conversation_id}";
const MEMBERS: &str = "/v1/conversations/{conversation_id}/members";
const MEMBER: &str = "/v1/conversations/{conversation_id}/members/{user_id}";
const MESSAGES: &str = "/v1/conversations/{conversation_id}/messages";
const MESSAGE: &str = "/v1/conversations/{conversation_id}/messages/{message_id}";
const PIN: &str = "/v1/conversations/{conversation_id}/messages/{message_id}/pin";
const REACTION: &str = "/v1/conversations/{conversation_id}/messages/{message_id}/reactions/{emoji}";

pub(super) const COMMANDS: &[Command] = {
    use Rest::*;
    &[
        command("add_member", Method::POST, MEMBERS, Body),
        command("advance_receipt", Method::PUT, "/v1/conversations/{conversation_id}/receipt", Body),
        command("change_role", Method::PATCH, MEMBER, Body),
        command("delete", Method::DELETE, MESSAGE, Nothing),
        command("edit", Method::PATCH, MESSAGE, Body),
        command("get_conversation", Method::GET, CONVERSATION, Query),
        command("get_message", Method::GET, MESSAGE, Query),
        command("pin", Method::PUT, PIN, Nothing),
        command("react", Method::PUT, REACTION, Nothing),
        command("remove_member", Method::DELETE, MEMBER, Nothing),
        command("send", Method::POST, MESSAGES, Body),
        command("start_conversation", Method::POST, "/v1/conversations", Body),
        command("typing", Method::POST, "/v1/conversations/{conversation_id}/typing", Nothing),
        command("unpin", Method::DELETE, PIN, Nothing),
        command("unreact", Method::DELETE, REACTION, Nothing),
        command("update_conversation", Method::PATCH, CONVERSATION, Body),
        command("upsert_user", Method::PUT, "/v1/provision/users/{external_id}", Body),
    ]
};

/// The field with the idempotency key, which every change requires.
pub(super) const KEY: &str = "client_id";
/// The characters to escape in a path segment, and in a name or a value of a query: all except letters,
/// digits and `-_.~`.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The REST request to which a command corresponds.
pub(super) fn request(word: &str, body: &[u8]) -> Result<Request, Problem> {
    let command = COMMANDS.iter().find(|command| command.word == word).ok_or_else(unknown)?;
    if body.len() > MAX_BODY {
        let detail = format!("A command can have at most {MAX_BODY} bytes: send a shorter one.");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
    }
    let Fields(mut fields) = serde_json::from_slice(body).map_err(|_| {
        Problem::invalid("", "invalid", "A command must be a JSON object with the fields of the command.")
    })?;
    refuse_repeats(&fields)?;
    let key = match command.method {
        Method::GET => None,
        _ => Some(text(&mut fields, KEY)?),
    };
    let mut path = path(command.path, &mut fields)?;
    let content = match command.rest {
        Rest::Body => written(&fields)?,
        Rest::Nothing => {
            refuse_more(&fields)?;
            Vec::new()
        }
        Rest::Query => {
            path.push_str(&query(&fields)?);
            Vec::new()
        }
    };
    let uri = path.parse::<Uri>().map_err(|_| Problem::internal())?;
    let mut request = Request::builder().method(command.method.clone()).uri(uri);
    if let Some(key) = key {
        // Characters that a header cannot have become spaces. The operation refuses a key with spaces, as it
        // refuses a wrong key in a body.
        request = request.header("idempotency-key", key.replace(|c: char| !c.is_ascii_graphic(), " "));
    }
    if command.rest == Rest::Body {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    Ok(request.body(content))
}

fn unknown() -> Problem {
    let words: Vec<&str> = COMMANDS.iter().map(|command| command.word).collect();
    let detail = format!("There is no such command: use {}.", words.join(", "));
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

/// The fields of a command, each exactly as it was sent: another spelling of a number would be another message.
type Sent<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

fn refuse_repeats(fields: &Sent<'_>) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    match fields.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, _)) => Err(Problem::invalid(pointer(name), "duplicate_field", "must be sent only once")),
        None => Ok(()),
    }
}

/// The fields as a JSON object.
fn written(fields: &Sent<'_>) -> Result<Vec<u8>, Problem> {
    let mut object = Vec::from(b"{");
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            object.push(b',');
        }
        serde_json::to_writer(&mut object, name).map_err(|_| Problem::internal())?;
        object.push(b':');
        object.extend_from_slice(value.get().as_bytes());
    }
    object.push(b'}');
    Ok(object)
}

/// The JSON pointer of a field. A client's text is never repeated at length.
fn pointer(name: &str) -> String {
    let name: String = name.chars().take(64).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Fills in the placeholders of `template`, and removes their fields from `fields`.
fn path(template: &str, fields: &mut Sent<'_>) -> Result<String, Problem> {
    let segment = |segment: &str| {
        let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
        let Some(name) = name else { return Ok(segment.to_owned()) };
        Ok(utf8_percent_encode(&text(fields, name)?, PLAIN).to_string())
    };
    Ok(template.split('/').map(segment).collect::<Result<Vec<_>, Problem>>()?.join("/"))
}

fn text(fields: &mut Sent<'_>, name: &str) -> Result<String, Problem> {
    let Some(at) = fields.iter().position(|(field, _)| field == name) else {
        return Err(Problem::invalid(pointer(name), "missing", "this field is required"));
    };
    let (_, value) = fields.remove(at);
    match serde_json::from_str(value.get()) {
        Ok(Value::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(Problem::invalid(pointer(name), "invalid", "must be a text of at least one character")),
    }
}

fn refuse_more(fields: &Sent<'_>) -> Result<(), Problem> {
    match fields.first() {
        Some((name, _)) => Err(Problem::invalid(
            pointer(name),
            "unknown_field",
            "the command does not have this field: remove it",
        )),
        None => Ok(()),
    }
}

fn query(fields: &Sent<'_>) -> Result<String, Problem> {
    let mut query = String::new();
    for (name, value) in fields {
        let value = match serde_json::from_str(value.get()) {
            Ok(Value::String(text)) => text,
            Ok(Value::Number(_)) => value.get().to_owned(),
            _ => {
                let expected = "must be a text or a number";
                return Err(Problem::invalid(pointer(name), "invalid", expected));
            }
        };
        query.push(if query.is_empty() { '?' } else { '&' });
        query.extend(utf8_percent_encode(name, PLAIN));
        query.push('=');
        query.extend(utf8_percent_encode(&value, PLAIN));
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(word: &str, body: &str) -> (Method, String, Option<String>) {
        let request = request(word, body.as_bytes()).expect("a request");
        let key = request.headers().get("idempotency-key").map(|key| key.to_str().expect("text").to_owned());
        (request.method().clone(), request.uri().to_string(), key)
    }

    fn code(word: &str, body: &str) -> (u16, &'static str, String) {
        let problem = request(word, body.as_bytes()).expect_err("refused");
        let pointer = problem.errors.first().map(|error| error.pointer.clone());
        (problem.status.as_u16(), problem.code, pointer.unwrap_or_default())
    }

    #[test]
    fn the_fields_of_a_command_go_into_path_key_and_body() {
        assert_eq!(
            asks("send", r#"{"conversation_id":"c","client_id":"k","text":"hello"}"#),
            (Method::POST, "/v1/conversations/c/messages".into(), Some("k".into()))
        );
        assert_eq!(
            asks("react", r#"{"conversation_id":"c","message_id":"../m","emoji":"👍","client_id":"k"}"#).1,
            "/v1/conversations/c/messages/..%2Fm/reactions/%F0%9F%91%8D"
        );
        assert_eq!(
            asks("get_message", r#"{"conversation_id":"c","message_id":"m","include":"users&a=b"}"#),
            (Method::GET, "/v1/conversations/c/messages/m?include=users%26a%3Db".into(), None)
        );
    }

    #[test]
    fn a_command_that_is_wrong_is_told_so() {
        assert_eq!(code("shout", "{}"), (404, "not_found", String::new()));
        assert_eq!(code("send", "[]"), (400, "invalid_body", String::new()));
        assert_eq!(code("send", r#"{"client_id":"k"}"#).2, "/conversation_id");
        assert_eq!(code("send", r#"{"conversation_id":"c","text":"a"}"#).2, "/client_id");
        assert_eq!(code("typing", r#"{"conversation_id":"c","client_id":"k","loud":true}"#).2, "/loud");
        assert_eq!(code("send", &format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_BODY))).0, 413);
        let twice = r#"{"conversation_id":"c","client_id":"k","text":"a","t\u0065xt":"b"}"#;
        assert_eq!(code("send", twice), (400, "invalid_body", "/text".into()));
    }

    #[tokio::test]
    async fn the_fields_of_a_body_are_passed_on_as_they_were_sent() {
        let sent = r#"{"text":"a","client_id":"k","metadata": {"n":[1.50,1E+2,-0.0]},"conversation_id":"c","a\u0062":1}"#;
        let body = request("send", sent.as_bytes()).expect("a request").into_body().into_string().await;
        assert_eq!(body.expect("text"), r#"{"text":"a","metadata":{"n":[1.50,1E+2,-0.0]},"ab":1}"#);
    }
}
