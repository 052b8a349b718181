//! The media type that a client prefers, by its header `Accept` (RFC 9110, section 12.5.1).

use poem::{FromRequest, Request, RequestBody, http::header};

/// The media type of a stream of events.
pub(in crate::api) const STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";

/// The weight that an `Accept` gives to one media type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    thousandths: u16,
    /// Whether the media type is named, and not only covered by a wildcard.
    is_named: bool,
}

/// Whether the client prefers a stream to JSON. OpenAPI has no parameter for the header: the document lists both media
/// types of the response.
pub(in crate::api) struct WantsStream(pub(in crate::api) bool);

impl<'a> FromRequest<'a> for WantsStream {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(request.header(header::ACCEPT).is_some_and(wants_stream)))
    }
}

/// On a tie a stream that is named explicitly wins, because a client that names streams can read them.
fn wants_stream(accept: &str) -> bool {
    wants(accept, STREAM)
}

/// Whether the client prefers an HTML page to JSON, by the same rule.
pub(in crate::api) fn wants_page(accept: &str) -> bool {
    wants(accept, "text/html")
}

fn wants(accept: &str, media: &str) -> bool {
    let [this, json] = [media, JSON].map(|media| weigh(accept, media));
    this.thousandths > 0
        && (this.thousandths > json.thousandths || this.is_named && this.thousandths == json.thousandths)
}

/// The weight of a media type: the weight of the most specific range that covers it, or zero without such a
/// range.
fn weigh(accept: &str, media: &str) -> Weight {
    let ranges = split(accept, ',').into_iter().filter_map(|range| covers(range, media));
    ranges.max_by_key(|(specificity, _)| *specificity).map_or(
        Weight::default(),
        |(specificity, thousandths)| Weight { thousandths, is_named: specificity == 2 },
    )
}

/// How specifically a range covers a media type, from 0 (`*/*`) to 2 (the named type), and with which weight;
/// `None` if the range does not cover it. A range with an unreadable weight covers nothing. A range with
/// parameters means another representation and covers nothing either, except with `charset=utf-8`: all media
/// types here are UTF-8.
fn covers(range: &str, media: &str) -> Option<(u8, u16)> {
    let mut parts = split(range, ';').into_iter().map(str::trim);
    let range = parts.next()?;
    let of_kind = |kind: &str| media.split_once('/').is_some_and(|(its, _)| its.eq_ignore_ascii_case(kind));
    let specificity = match range.split_once('/')? {
        ("*", "*") => 0,
        (kind, "*") if of_kind(kind) => 1,
        _ if range.eq_ignore_ascii_case(media) => 2,
        _ => return None,
    };
    let mut weight = 1_000;
    for (name, value) in
        parts.filter(|part| !part.is_empty()).map(|part| part.split_once('=').unwrap_or((part, "")))
    {
        if name.eq_ignore_ascii_case("q") {
            weight = thousandths(value)?;
            // The parameters after the weight are extensions, and no extension was ever defined.
            break;
        }
        let is_utf8 = value.trim_matches('"').eq_ignore_ascii_case("utf-8");
        if !(name.eq_ignore_ascii_case("charset") && is_utf8) {
            return None;
        }
    }
    Some((specificity, weight))
}

/// Parses a weight from `0` to `1` with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1_000),
        _ => None,
    }
}

/// Splits a text at the separators outside of quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts.into_iter().map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_given_to_those_who_want_it_more_than_a_page() {
        for accept in [
            STREAM,
            "Text/Event-Stream; charset=utf-8",
            "text/*",
            "text/event-stream, application/json",
            "application/json;q=0.9, text/event-stream",
            "application/json;q=0.499,text/event-stream;q=0.5",
            "text/event-stream, */*",
            "*/*;q=0.1, text/event-stream;q=0.2",
            "application/json;q=0, */*",
            "text/event-stream;q=0, text/*, text/event-stream;q=1",
            r#"text/plain;a="x, */*;q=1\"", text/event-stream;q=0.1"#,
        ] {
            assert!(wants_stream(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/json",
            "application/json, text/event-stream;q=0.5",
            "text/event-stream;q=0.9, */*",
            "text/*;q=0.5, application/*",
            "text/event-stream;q=0",
            "text/event-stream;q=0, text/*",
            "text/event-stream;q=0.000, application/json;q=0",
            "text/event-streams",
            "text/event-stream;level=2",
            "text/event-stream;q=2",
            "text/event-stream;q=0.1234",
            "text/event-stream;q=high, application/json;q=0.1",
            r#"text/plain;a=", text/event-stream""#,
        ] {
            assert!(!wants_stream(accept), "{accept}");
        }
    }
}
