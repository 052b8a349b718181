//! Parses the head of a request strictly by RFC 9112. Attackers smuggle requests with text that parsers read in
//! different ways, so such text is refused, never repaired.

use std::ops::Range;

use poem::http::StatusCode;

/// Why the head of a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    LineEnd,
    RequestLine,
    Target,
    Version,
    Folded,
    Field,
    Value,
    Host,
    Length,
    Vast,
    Framing,
    Coding,
    Twice,
    UriTooLong,
    TooLarge,
}

impl Fault {
    /// The status, code and detail of the response.
    pub(super) fn row(self) -> (StatusCode, &'static str, &'static str) {
        let bad = |detail| (StatusCode::BAD_REQUEST, "bad_request", detail);
        match self {
            Self::LineEnd => bad("A header line ends with LF alone: end each line with CR LF."),
            Self::RequestLine => {
                bad("The first line must be a method, a target and HTTP/1.1, separated by single spaces.")
            }
            Self::Target => bad(
                "The request target must be a path that begins with `/`, or an http address: percent-encode special \
                 characters, such as `\"` as `%22`.",
            ),
            Self::Version => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "http_version_not_supported",
                "The server supports only HTTP/1.1: send the request in that version.",
            ),
            Self::Folded => bad("A header line begins with a space: write each header in one line."),
            Self::Field => {
                bad("A header has an invalid name, or a space before the colon: correct the name.")
            }
            Self::Value => bad("The value of a header has a control character: remove it."),
            Self::Host => {
                bad("HTTP/1.1 requires exactly one header `Host`: send it with a host and optionally a port.")
            }
            Self::Length => bad("`Content-Length` must be one decimal number: send it only once."),
            Self::Vast => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "The body is too large for any server: send a shorter one.",
            ),
            Self::Framing => bad(
                "The length of the body is ambiguous: send `Content-Length` or, in HTTP/1.1, `Transfer-Encoding: chunked`, \
                 but not both.",
            ),
            Self::Coding => (
                StatusCode::NOT_IMPLEMENTED,
                "not_implemented",
                "The server supports only `Transfer-Encoding: chunked`: send the body without another coding.",
            ),
            Self::Twice => bad("There is more than one header `Authorization`: send only one."),
            Self::UriTooLong => (
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                "The request target is too long: send a shorter one.",
            ),
            Self::TooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "The headers are too large or too many: send fewer or shorter ones.",
            ),
        }
    }
}

/// The framing of the body after a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follows {
    /// A body of this many bytes, possibly none.
    Sized(u64),
    /// A chunked body.
    Chunked,
    /// Bytes other than HTTP, if the response is 101.
    WebSocket,
}

/// The progress and the findings of scanning a head.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the current line begins. `checked` is how far the bytes have been scanned.
    line: usize,
    checked: usize,
    lines: usize,
    /// The first fault. The scan continues after it to find the end of the head.
    fault: Option<Fault>,
    is_old: bool,
    hosts: usize,
    authorizations: usize,
    length: Option<u64>,
    coding: Option<Result<(), Fault>>,
    is_websocket: bool,
    host: Range<usize>,
    origin: Range<usize>,
}

/// The result of scanning for a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The head is incomplete.
    Part,
    /// The head is complete, ends at this byte and may be passed on.
    Whole(usize, Follows),
    /// The head is refused. Nothing after it can be trusted.
    Refused(Fault),
}

impl Scan {
    /// Scans a head that begins with these bytes. Only the bytes after those of the last call are new.
    pub(super) fn look(&mut self, bytes: &[u8], most: usize, most_fields: usize) -> Seen {
        while let Some(found) = bytes[self.checked..].iter().position(|byte| *byte == b'\n') {
            let (from, end) = (self.line, self.checked + found);
            (self.line, self.checked) = (end + 1, end + 1);
            let line = bytes[from..end].strip_suffix(b"\r").unwrap_or_else(|| {
                self.note(Fault::LineEnd);
                &bytes[from..end]
            });
            match line {
                // Empty lines before a request are skipped.
                [] if self.lines == 0 => continue,
                [] => return self.conclude(end + 1),
                line if self.lines == 0 => self.request_line(line),
                line => self.field(line, from),
            }
            self.lines += 1;
            if self.lines > 1 + most_fields {
                return Seen::Refused(Fault::TooLarge);
            }
        }
        self.checked = bytes.len();
        match self.lines {
            _ if bytes.len() <= most => Seen::Part,
            0 => Seen::Refused(Fault::UriTooLong),
            _ => Seen::Refused(Fault::TooLarge),
        }
    }

    /// The values of `Host` and `Origin` in a head, if they are well formed.
    pub(super) fn names<'a>(&self, head: &'a [u8]) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
        let named = |range: &Range<usize>| head.get(range.clone()).filter(|value| !value.is_empty());
        let is_plain = |value: &&[u8]| value.iter().all(u8::is_ascii_graphic);
        (named(&self.host), named(&self.origin).filter(is_plain))
    }

    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn conclude(&mut self, end: usize) -> Seen {
        if self.hosts > 1 || (self.hosts == 0 && !self.is_old) {
            self.note(Fault::Host);
        }
        if self.authorizations > 1 {
            self.note(Fault::Twice);
        }
        if self.coding.is_some() && (self.length.is_some() || self.is_old) {
            self.note(Fault::Framing);
        }
        if let Some(Err(fault)) = self.coding {
            self.note(fault);
        }
        if let Some(fault) = self.fault {
            return Seen::Refused(fault);
        }
        let follows = match (self.coding, self.length) {
            (Some(_), _) => Follows::Chunked,
            (None, None | Some(0)) if self.is_websocket && !self.is_old => Follows::WebSocket,
            (None, length) => Follows::Sized(length.unwrap_or(0)),
        };
        Seen::Whole(end, follows)
    }

    fn request_line(&mut self, line: &[u8]) {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return self.note(Fault::RequestLine);
        };
        match version {
            b"HTTP/1.1" => {}
            b"HTTP/1.0" => self.is_old = true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                self.note(Fault::Version);
            }
            _ => self.note(Fault::RequestLine),
        }
        if !is_token(method) {
            self.note(Fault::RequestLine);
        } else if !is_target(method, target) {
            self.note(Fault::Target);
        }
    }

    fn field(&mut self, line: &[u8], at: usize) {
        if matches!(line[0], b' ' | b'\t') {
            return self.note(Fault::Folded);
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return self.note(Fault::Field) };
        let (name, rest) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) {
            return self.note(Fault::Field);
        }
        let value = rest.trim_ascii();
        if !rest.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)) {
            return self.note(Fault::Value);
        }
        let within = |value: &[u8]| {
            let begin = at + colon + 1 + (rest.len() - rest.trim_ascii_start().len());
            begin..begin + value.len()
        };
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            match is_authority(value) {
                true => self.host = within(value),
                false => self.note(Fault::Host),
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            match (self.length, number(value)) {
                (None, Some(length)) => {
                    self.length = Some(length);
                    if length > u64::MAX / 2 {
                        self.note(Fault::Vast);
                    }
                }
                _ => self.note(Fault::Length),
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let one = coding(value);
            self.coding = Some(if self.coding.is_some() { Err(Fault::Framing) } else { one });
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.is_websocket |= names_websocket(value);
        } else if name.eq_ignore_ascii_case(b"authorization") {
            self.authorizations += 1;
        } else if name.eq_ignore_ascii_case(b"origin") {
            self.origin = within(value);
        }
    }
}

/// Whether the value of an `Upgrade` header names WebSocket.
pub(super) fn names_websocket(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// A decimal number. A number that is too large for `u64` becomes the largest one, which every limit refuses.
fn number(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let digit = |sum: u64, byte: &u8| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    is_number.then(|| value.iter().fold(0, digit))
}

/// Accepts only `chunked`. It has to be the last coding, and `identity` is no longer a valid one.
fn coding(value: &[u8]) -> Result<(), Fault> {
    let codings: Vec<_> =
        value.split(|byte| *byte == b',').map(|one| one.trim_ascii().to_ascii_lowercase()).collect();
    match &codings[..] {
        [one] if one == b"chunked" => Ok(()),
        [others @ .., last] if last == b"chunked" => {
            let are_others =
                others.iter().all(|one| is_token(one) && one != b"chunked" && one != b"identity");
            Err(if are_others { Fault::Coding } else { Fault::Framing })
        }
        _ => Err(Fault::Framing),
    }
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Whether the target has one of the four forms, with a method that allows that form.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    // hyper refuses the same characters, but without a problem: quotation marks in a query, and `%` in a host.
    let is_path = |path: &[u8]| {
        let query = path.iter().position(|byte| *byte == b'?').map_or(&[][..], |at| &path[at..]);
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"#<>`".contains(byte);
        path.iter().all(is_plain) && !query.contains(&b'"')
    };
    let is_host = |host: &[u8]| is_authority(host) && !host.contains(&b'%');
    if method == b"CONNECT" {
        return target.contains(&b':') && is_host(target);
    }
    match target {
        b"*" => method == b"OPTIONS",
        [b'/', path @ ..] => is_path(path),
        absolute => {
            let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
                absolute.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
            });
            let Some(scheme) = scheme else { return false };
            let rest = &absolute[scheme.len()..];
            let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
            end > 0 && is_host(&rest[..end]) && is_path(&rest[end..])
        }
    }
}

/// Whether a value is `host [":" port]`. The host may be empty.
fn is_authority(value: &[u8]) -> bool {
    let (is_host, port) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let is_address = rest[..end].iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte));
            (end > 0 && is_address, &rest[end + 1..])
        }
        _ => {
            let end = value.iter().position(|byte| *byte == b':').unwrap_or(value.len());
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
            (value[..end].iter().all(is_plain), &value[end..])
        }
    };
    is_host && (port.is_empty() || port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit))
}
