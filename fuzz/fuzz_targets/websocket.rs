//! The parser of WebSocket frames: the same bytes give the same messages and the same violation, however they are
//! split into pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verbatim_fuzz::gateway::wire::websocket::{Parser, Violation, WireMessage};

/// The same limit as in the server.
const LIMIT: usize = 64 * 1024;

// The first byte is the length of the pieces.
fuzz_target!(|input: &[u8]| {
    let Some((piece, bytes)) = input.split_first() else { return };
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(whole, read(bytes, usize::from(*piece).max(1)));
    for message in &whole.0 {
        if let WireMessage::Text(text) = message {
            assert!(text.len() <= LIMIT);
        }
    }
});

fn read(bytes: &[u8], piece: usize) -> (Vec<WireMessage>, Option<Violation>) {
    let (mut parser, mut messages) = (Parser::new(LIMIT), Vec::new());
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            match parser.next(&mut piece) {
                Ok(message) => messages.extend(message),
                Err(violation) => return (messages, Some(violation)),
            }
        }
    }
    (messages, None)
}
