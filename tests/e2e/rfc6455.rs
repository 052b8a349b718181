//! `tests/rfc6455.toml`, case by case, against a running server.

use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::world::{PATIENCE, Person, World};

/// The number of sockets that are tested at once.
const AT_ONCE: usize = 8;
/// The maximum length of a case that is also sent byte by byte.
const BYTE_BY_BYTE: usize = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
    codes: Codes,
    utf8: Sequences,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Codes {
    may: Vec<u16>,
    may_not: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sequences {
    good: Vec<String>,
    bad: Vec<String>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Case {
    section: String,
    name: String,
    send: Vec<Frame>,
    #[serde(default)]
    answers: Vec<String>,
    end: Option<u16>,
}

/// A frame, in the format that the head of the table describes.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
struct Frame {
    text: Option<String>,
    more: Option<String>,
    binary: Option<String>,
    ping: Option<String>,
    pong: Option<String>,
    close: Option<u16>,
    reason: Option<String>,
    hex: Option<String>,
    head: Option<String>,
    opcode: Option<u8>,
    fin: Option<bool>,
    mask: Option<bool>,
    key: Option<String>,
    rsv: u8,
    times: Option<usize>,
    /// The length to which the payload is padded with spaces.
    pad: usize,
    /// Whether every byte of the payload is a separate fragment.
    each: bool,
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        if let Some(head) = &self.head {
            return unhex(head);
        }
        let named = [(1, &self.text), (0, &self.more), (2, &self.binary), (9, &self.ping), (10, &self.pong)];
        let named = named.into_iter().find_map(|(opcode, payload)| Some((opcode, payload.as_ref()?)));
        let (opcode, mut payload) = match (named, self.close) {
            (Some((opcode, payload)), _) => (opcode, payload.clone().into_bytes()),
            (None, Some(_)) => (8, self.reason.clone().unwrap_or_default().into_bytes()),
            (None, None) => (self.opcode.expect("an opcode"), Vec::new()),
        };
        payload = payload.repeat(self.times.unwrap_or(1));
        payload.extend(self.hex.as_deref().map(unhex).unwrap_or_default());
        payload.resize(payload.len().max(self.pad), b' ');
        if let Some(code) = self.close {
            payload.splice(0..0, code.to_be_bytes());
        }
        if self.each {
            let last = payload.len() - 1;
            let fragment =
                |(at, byte): (usize, u8)| self.frame(if at == 0 { opcode } else { 0 }, at == last, &[byte]);
            return payload.into_iter().enumerate().flat_map(fragment).collect();
        }
        self.frame(opcode, self.fin.unwrap_or(true), &payload)
    }

    fn frame(&self, opcode: u8, fin: bool, payload: &[u8]) -> Vec<u8> {
        let is_masked = self.mask.unwrap_or(true);
        let bit = if is_masked { 0x80 } else { 0 };
        let mut bytes = vec![u8::from(fin) << 7 | self.rsv << 4 | opcode];
        match payload.len() {
            short @ ..126 => bytes.push(bit | short as u8),
            medium @ ..0x1_0000 => {
                bytes.push(bit | 126);
                bytes.extend((medium as u16).to_be_bytes());
            }
            long => {
                bytes.push(bit | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        let key = if is_masked { unhex(self.key.as_deref().unwrap_or("37fa213d")) } else { vec![0; 4] };
        if is_masked {
            bytes.extend(&key);
        }
        bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// Parses repeated hex: `ab*3` is three bytes.
fn repeated(hex: &str) -> Vec<u8> {
    let (hex, times) = hex.split_once('*').unwrap_or((hex, "1"));
    unhex(hex).repeat(times.parse().expect("a number"))
}

/// All cases, including those of the short lists.
fn cases() -> Vec<Case> {
    let table: Table = toml::from_str(include_str!("../rfc6455.toml")).expect("tests/rfc6455.toml");
    let close = |code: u16, end| Case {
        section: "7.4".into(),
        name: format!("the close code {code}"),
        send: vec![Frame { close: Some(code), ..Frame::default() }],
        answers: Vec::new(),
        end: Some(end),
    };
    let text = |hex: &String, answers: &[&str], end| Case {
        section: "8.1".into(),
        name: format!("the bytes {hex}"),
        send: vec![Frame { hex: Some(hex.clone()), opcode: Some(1), ..Frame::default() }],
        answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
        end,
    };
    let mut cases = table.case;
    cases.extend(table.codes.may.iter().map(|code| close(*code, 1000)));
    cases.extend(table.codes.may_not.iter().map(|code| close(*code, 1002)));
    cases.extend(table.utf8.good.iter().map(|hex| text(hex, &["error"], None)));
    cases.extend(table.utf8.bad.iter().map(|hex| text(hex, &[], Some(1007))));
    cases
}

/// A socket for raw bytes.
struct Raw(TcpStream);

impl Raw {
    /// Opens a socket and begins a session.
    async fn begins(person: &Person) -> Result<Self, String> {
        let mut stream = TcpStream::connect(person.address).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: verbatim.v1\r\n\
             authorization: Bearer {}\r\n\r\n",
            person.address, person.token
        );
        stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.map_err(|e| format!("no answer to the handshake: {e}"))?);
        }
        let answer = String::from_utf8(answer).expect("an answer is ASCII").to_lowercase();
        let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
        if !answer.starts_with("http/1.1 101 ") || !answer.contains(accept) {
            return Err(answer);
        }
        let mut raw = Self(stream);
        let hello = Frame { text: Some(json!({ "op": "hello" }).to_string()), ..Frame::default() };
        raw.writes(&hello.bytes(), usize::MAX).await;
        match raw.hears().await? {
            (1, ready) if parsed(&ready)["op"] == "ready" => Ok(raw),
            other => Err(format!("instead of ready: {other:?}")),
        }
    }

    /// Writes in pieces of this size. A failed write to a socket that the server has closed is no error.
    async fn writes(&mut self, bytes: &[u8], size: usize) {
        for piece in bytes.chunks(size.min(bytes.len()).max(1)) {
            if self.0.write_all(piece).await.is_err() {
                return;
            }
        }
    }

    /// Receives the next frame of the server: its opcode and payload.
    async fn hears(&mut self) -> Result<(u8, Vec<u8>), String> {
        let frame = async {
            let (first, second) = (self.0.read_u8().await?, self.0.read_u8().await?);
            assert_eq!((first & 0xF0, second & 0x80), (0x80, 0), "a server's frame is whole and unmasked");
            let length = match second {
                126 => u64::from(self.0.read_u16().await?),
                127 => self.0.read_u64().await?,
                short => u64::from(short),
            };
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await?;
            Ok::<_, std::io::Error>((first & 0x0F, payload))
        };
        match timeout(PATIENCE, frame).await {
            Ok(frame) => frame.map_err(|e| format!("the connection ended without a close: {e}")),
            Err(_) => Err("nothing comes".to_owned()),
        }
    }
}

fn parsed(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("a text of the server is JSON")
}

/// Plays a case with its bytes in pieces of this size.
async fn play(person: &Person, case: &Case, bytes: &[u8], size: usize) -> Result<(), String> {
    let mut raw = Raw::begins(person).await?;
    raw.writes(bytes, size).await;
    for answer in &case.answers {
        let (kind, wanted) = answer.split_once(' ').unwrap_or((answer, ""));
        let heard = raw.hears().await?;
        let is_wanted = match (kind, &heard) {
            ("pong", (10, payload)) => *payload == repeated(wanted),
            ("error", (1, payload)) => {
                let (op, id) = (&parsed(payload)["op"], &parsed(payload)["id"]);
                op == "error" && id.as_str().unwrap_or_default() == wanted
            }
            _ => false,
        };
        if !is_wanted {
            return Err(format!("instead of {answer}: {heard:?}"));
        }
    }
    let Some(code) = case.end else {
        let ping = Frame { ping: Some("still open".into()), ..Frame::default() };
        raw.writes(&ping.bytes(), usize::MAX).await;
        let heard = raw.hears().await?;
        let is_open = heard == (10, b"still open".to_vec());
        return is_open.then_some(()).ok_or_else(|| format!("it is not open: {heard:?}"));
    };
    let heard = raw.hears().await?;
    if heard.0 != 8 || heard.1.get(..2) != Some(&code.to_be_bytes()) {
        return Err(format!("instead of a close with {code}: {heard:?}"));
    }
    let goodbye = Frame { close: Some(1000), ..Frame::default() };
    raw.writes(&goodbye.bytes(), usize::MAX).await;
    let mut rest = Vec::new();
    match timeout(PATIENCE, raw.0.read_to_end(&mut rest)).await {
        Err(_) => Err("the connection stays after the close".to_owned()),
        Ok(_) if !rest.is_empty() => Err(format!("after the close comes {rest:?}")),
        Ok(_) => Ok(()),
    }
}

#[tokio::test]
async fn every_case_of_the_standard_is_answered_as_the_table_says() {
    let mut world = World::empty(1).await;
    // A closed socket may keep its place for a moment.
    world.add_node_with("api,gateway,projector", &[("VERBATIM_SOCKETS_PER_USER", "1000")]).await;
    let ana = world.person("ana").await;
    let cases = cases();
    assert!(cases.len() >= 150, "only {} cases", cases.len());
    let mut plays = Vec::new();
    for case in &cases {
        let bytes = case.send.iter().flat_map(Frame::bytes).collect::<Vec<_>>();
        let mut sizes = vec![bytes.len(), bytes.len().div_ceil(2)];
        sizes.extend((bytes.len() <= BYTE_BY_BYTE).then_some(1));
        plays.extend(sizes.into_iter().map(|size| (case, bytes.clone(), size)));
    }
    let all = plays.len();
    let results = stream::iter(plays).map(|(case, bytes, size)| {
        let ana = &ana;
        async move {
            let played = play(ana, case, &bytes, size).await;
            played.err().map(|why| format!("{} {} (pieces of {size}): {why}", case.section, case.name))
        }
    });
    let wrong: Vec<_> = results.buffer_unordered(AT_ONCE).filter_map(async |wrong| wrong).collect().await;
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
    world.finish().await;
}

#[tokio::test]
async fn a_case_that_is_answered_otherwise_is_reported() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let wrong = Case {
        section: "5.5.2".into(),
        name: "a ping with another pong".into(),
        send: vec![Frame { ping: Some("a".into()), ..Frame::default() }],
        answers: vec!["pong 62".into()],
        end: None,
    };
    let bytes = wrong.send[0].bytes();
    let why = play(&ana, &wrong, &bytes, bytes.len()).await.expect_err("a wrong answer");
    assert!(why.contains("instead of pong 62"), "{why}");
    let never = Case { answers: Vec::new(), end: Some(1002), ..wrong };
    let why = play(&ana, &never, &bytes, bytes.len()).await.expect_err("no close");
    assert!(why.contains("instead of a close with 1002"), "{why}");
    world.finish().await;
}
