//! RFC 6455 framing for a server without extensions, as functions over bytes, without a socket.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FIN: u8 = 0x80;
/// The most bytes in the payload of a control frame.
const CONTROL: usize = 125;

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let salted = [key.as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &salted))
}

/// One complete text frame. The caller knows that `payload` is UTF-8.
pub fn text(payload: &[u8]) -> Bytes {
    frame(TEXT, payload)
}

/// A close frame. A reason of more than 123 bytes is cut at a character boundary.
pub fn close(code: u16, reason: &str) -> Bytes {
    let reason = &reason[..reason.floor_char_boundary(CONTROL - 2)];
    frame(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// An empty ping.
pub fn ping() -> Bytes {
    frame(PING, &[])
}

/// The answer to a ping with this payload, at most 125 bytes.
pub fn pong(payload: &[u8]) -> Bytes {
    frame(PONG, &payload[..payload.len().min(CONTROL)])
}

fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(FIN | opcode);
    match payload.len() {
        short @ ..126 => frame.put_u8(short as u8),
        medium @ ..0x1_0000 => {
            frame.put_u8(126);
            frame.put_u16(medium as u16);
        }
        long => {
            frame.put_u8(127);
            frame.put_u64(long as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// One complete message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireMessage {
    /// A text, assembled from its fragments.
    Text(String),
    /// A ping. The server answers with a [`pong`] that has the same payload.
    Ping(Bytes),
    /// An answer to a ping. Its payload does not matter.
    Pong,
    /// The client leaves, or agrees to leave. Carries its code, if it gave one.
    Close(Option<u16>),
}

/// A violation of the protocol by the client. Nothing can be read after a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// 1002: the bytes break RFC 6455; the text says how.
    #[error("{0}")]
    Protocol(&'static str),
    /// 1003: a binary message.
    #[error("a binary message: frames here are JSON text")]
    Binary,
    /// 1007: a text or close reason that is not UTF-8.
    #[error("a text or close reason that is not UTF-8")]
    NotUtf8,
    /// 1009: a message over the limit.
    #[error("a message over the limit: send less at a time")]
    TooBig,
}

/// Parses messages from pieces of any size. The parser holds memory only for the bytes of an incomplete message.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    /// How many frames have begun, including fragments and control frames. The count wraps around.
    frames: u32,
    /// The bytes of the next frame's head so far.
    head: [u8; 14],
    head_len: u8,
    frame: Option<Frame>,
    /// The payload of a control frame so far.
    control: Vec<u8>,
    /// The payload of a text message so far, over all its fragments.
    text: Vec<u8>,
    in_text: bool,
}

/// A frame whose head is complete.
#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    fin: bool,
    left: usize,
    /// The mask, rotated so that its first byte belongs to the next byte of payload.
    mask: [u8; 4],
}

impl Parser {
    /// A parser that refuses messages of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            frames: 0,
            head: [0; 14],
            head_len: 0,
            frame: None,
            control: Vec::new(),
            text: Vec::new(),
            in_text: false,
        }
    }

    /// Whether a frame or a message has begun and is incomplete.
    pub fn is_within_message(&self) -> bool {
        self.head_len > 0 || self.frame.is_some() || self.in_text
    }

    /// How many frames have begun so far. The count wraps around.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Consumes bytes from the front of `input` until a message is complete, or until `input` is empty.
    ///
    /// # Errors A [`Violation`], after which the parser must not be used any more.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<WireMessage>, Violation> {
        loop {
            if self.frame.is_none() {
                self.frame = self.take_head(input)?;
            }
            let Some(frame) = &mut self.frame else { return Ok(None) };
            let into = if frame.opcode & CLOSE == 0 { &mut self.text } else { &mut self.control };
            take_payload(frame, input, into);
            if frame.left > 0 {
                return Ok(None);
            }
            let Frame { opcode, fin, .. } = *frame;
            self.frame = None;
            if let Some(message) = self.complete(opcode, fin)? {
                return Ok(Some(message));
            }
        }
    }

    fn take_head(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Violation> {
        loop {
            let have = usize::from(self.head_len);
            let need = match have {
                0 | 1 => 2,
                _ => 6 + extra_length(self.head[1]),
            };
            if have == need {
                self.head_len = 0;
                self.frames = self.frames.wrapping_add(1);
                return self.read_head(need).map(Some);
            }
            let take = input.len().min(need - have);
            if take == 0 {
                return Ok(None);
            }
            self.head[have..have + take].copy_from_slice(&input[..take]);
            self.head_len += take as u8;
            *input = &input[take..];
            if have < 2 && self.head_len >= 2 {
                self.judge_start(self.head[0], self.head[1])?;
            }
        }
    }

    /// Checks the first two bytes of a frame before the parser waits for the rest of it.
    fn judge_start(&self, first: u8, second: u8) -> Result<(), Violation> {
        let protocol = |why| Err(Violation::Protocol(why));
        let opcode = first & 0x0F;
        let control = opcode & CLOSE != 0;
        if first & 0x70 != 0 {
            return protocol("a reserved bit is set: no extension was agreed");
        }
        if second & 0x80 == 0 {
            return protocol("a frame without mask: clients mask");
        }
        match opcode {
            BINARY => Err(Violation::Binary),
            CONTINUATION if !self.in_text => protocol("a continuation of nothing"),
            TEXT if self.in_text => protocol("a new message within a fragmented one"),
            CONTINUATION | TEXT => Ok(()),
            CLOSE | PING | PONG if first & FIN == 0 => protocol("a control frame in fragments"),
            CLOSE | PING | PONG if usize::from(second & 0x7F) > CONTROL => {
                protocol("a control frame of more than 125 bytes")
            }
            CLOSE | PING | PONG => Ok(()),
            _ if control => protocol("an unknown control frame"),
            _ => protocol("an unknown kind of frame"),
        }
    }

    fn read_head(&mut self, len: usize) -> Result<Frame, Violation> {
        let (length, mask) = self.head[2..len].split_at(len - 6);
        let number = length.iter().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        let (number, least) = match length.len() {
            0 => (u64::from(self.head[1] & 0x7F), 0),
            2 => (number, 126),
            _ => (number, 0x1_0000),
        };
        if number >> 63 == 1 {
            return Err(Violation::Protocol("a length with its highest bit set"));
        }
        if number < least {
            return Err(Violation::Protocol("a length that is not in its shortest form"));
        }
        let opcode = self.head[0] & 0x0F;
        let is_text = opcode & CLOSE == 0;
        let room = if is_text { self.limit.saturating_sub(self.text.len()) } else { CONTROL };
        let left = usize::try_from(number).ok().filter(|&left| left <= room).ok_or(Violation::TooBig)?;
        self.in_text |= is_text;
        let mut turned = [0; 4];
        turned.copy_from_slice(mask);
        Ok(Frame { opcode, fin: self.head[0] & FIN != 0, left, mask: turned })
    }

    fn complete(&mut self, opcode: u8, fin: bool) -> Result<Option<WireMessage>, Violation> {
        if opcode & CLOSE == 0 {
            if !fin {
                return Ok(None);
            }
            self.in_text = false;
            let text = String::from_utf8(std::mem::take(&mut self.text)).map_err(|_| Violation::NotUtf8)?;
            return Ok(Some(WireMessage::Text(text)));
        }
        let payload = std::mem::take(&mut self.control);
        Ok(Some(match opcode {
            PING => WireMessage::Ping(payload.into()),
            PONG => WireMessage::Pong,
            _ => WireMessage::Close(close_code(&payload)?),
        }))
    }
}

/// The number of length bytes that follow the second byte of a frame.
fn extra_length(second: u8) -> usize {
    match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

fn take_payload(frame: &mut Frame, input: &mut &[u8], into: &mut Vec<u8>) {
    let (taken, rest) = input.split_at(input.len().min(frame.left));
    let from = into.len();
    into.extend_from_slice(taken);
    for part in into[from..].chunks_mut(4) {
        for (byte, mask) in part.iter_mut().zip(frame.mask) {
            *byte ^= mask;
        }
    }
    frame.mask.rotate_left(taken.len() % 4);
    frame.left -= taken.len();
    *input = rest;
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(Violation::Protocol("a close code of one byte")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol("a close code that may not be sent"));
    }
    std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
    Ok(Some(code))
}

#[cfg(test)]
mod tests;
