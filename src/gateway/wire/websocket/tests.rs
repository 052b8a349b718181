#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use crate::gateway::wire::websocket::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LIMIT: usize = 64 * 1024;

/// A client's frame with the length in its shortest form.
fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    let unmasked = frame(0, payload);
    let mut bytes = unmasked[..unmasked.len() - payload.len()].to_vec();
    bytes[0] = first;
    bytes[1] |= 0x80;
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Parses `bytes` in pieces of these sizes, over and over. Returns the messages and how the parsing ended.
fn read(bytes: &[u8], pieces: &[usize]) -> (Vec<WireMessage>, Result<bool, Violation>) {
    let mut parser = Parser::new(LIMIT);
    let mut messages = Vec::new();
    let mut sizes = pieces.iter().cycle();
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |&size| size.clamp(1, rest.len()));
        let (mut piece, later) = rest.split_at(size);
        rest = later;
        loop {
            match parser.next(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return (messages, Err(violation)),
            }
        }
        assert!(piece.is_empty(), "what is given is taken");
    }
    (messages, Ok(parser.is_within_message()))
}

fn violation(bytes: &[u8]) -> Violation {
    let (_, ended) = read(bytes, &[]);
    assert_eq!(read(bytes, &[1]).1, ended, "the same byte by byte");
    ended.expect_err("a violation")
}

fn is_protocol(bytes: &[u8]) -> bool {
    matches!(violation(bytes), Violation::Protocol(_))
}

fn text_message(text: &str) -> WireMessage {
    WireMessage::Text(text.to_owned())
}

#[test]
fn the_accept_key_is_the_one_of_the_standard() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn server_frames_have_lengths_in_their_shortest_form() {
    let head = |len: usize| text(&vec![b'x'; len])[..text(&vec![b'x'; len]).len() - len].to_vec();
    assert_eq!(head(0), [0x81, 0]);
    assert_eq!(head(125), [0x81, 125]);
    assert_eq!(head(126), [0x81, 126, 0, 126]);
    assert_eq!(head(0xFFFF), [0x81, 126, 0xFF, 0xFF]);
    assert_eq!(head(0x1_0000), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(&ping()[..], [0x89, 0]);
    assert_eq!(&pong(b"ab")[..], [0x8A, 2, b'a', b'b']);
    assert_eq!(&close(1000, "bye")[..], [0x88, 5, 0x03, 0xE8, b'b', b'y', b'e']);
    assert_eq!(close(1000, &"ä".repeat(100)).len(), 2 + 2 + 122, "cut at a character");
}

#[test]
fn texts_are_read_at_every_length_form() {
    for len in [0, 1, 125, 126, 0xFFFF, LIMIT] {
        let payload = "x".repeat(len);
        let (messages, ended) = read(&client(0x81, payload.as_bytes()), &[]);
        assert_eq!(ended, Ok(false));
        assert!(messages == [WireMessage::Text(payload)], "{len}");
    }
}

#[test]
fn fragments_are_put_together_around_control_frames() {
    let bytes = [
        client(0x01, "größ".as_bytes().split_at(3).0),
        client(0x89, b"are you there"),
        client(0x00, "größ".as_bytes().split_at(3).1),
        client(0x80, b"e"),
        client(0x8A, b""),
        client(0x81, b"next"),
    ]
    .concat();
    let ping = WireMessage::Ping(Bytes::from_static(b"are you there"));
    let expected = vec![ping, text_message("größe"), WireMessage::Pong, text_message("next")];
    assert_eq!(read(&bytes, &[]), (expected, Ok(false)));
}

#[test]
fn an_unfinished_message_is_known_and_a_finished_one_leaves_no_memory() {
    for bytes in [&client(0x81, b"abc")[..1], &client(0x81, b"abc")[..7], &client(0x01, b"abc")] {
        assert_eq!(read(bytes, &[]), (vec![], Ok(true)));
    }
    let mut parser = Parser::new(LIMIT);
    let all = [client(0x81, b"abc"), client(0x89, b"p"), client(0x01, b"a"), client(0x80, b"b")].concat();
    let mut input = &all[..];
    while parser.next(&mut input).unwrap().is_some() {}
    assert!(!parser.is_within_message());
    assert_eq!((parser.text.capacity(), parser.control.capacity()), (0, 0));
}

#[test]
fn what_breaks_the_standard_is_1002() {
    assert!(is_protocol(&[0x81, 0x01, b'a']), "no mask");
    for reserved in [0xC1, 0xA1, 0x91] {
        assert!(is_protocol(&client(reserved, b"a")), "reserved bits");
    }
    for opcode in [0x3, 0x7, 0xB, 0xF] {
        assert!(is_protocol(&client(0x80 | opcode, b"")), "reserved opcodes");
    }
    assert!(is_protocol(&client(0x80, b"a")), "continuation of nothing");
    assert!(is_protocol(&[client(0x01, b"a"), client(0x81, b"b")].concat()), "a message within a message");
    assert!(is_protocol(&client(0x09, b"")), "a ping in fragments");
    assert!(is_protocol(&client(0x89, &[0; 126])), "a large ping");
    assert!(is_protocol(&[0x81, 0xFE, 0, 125, 0, 0, 0, 0]), "16 bits for 125");
    assert!(is_protocol(&[0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0]), "64 bits for 65535");
    assert!(is_protocol(&[0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "the highest bit");
}

#[test]
fn a_message_over_the_limit_is_1009_at_its_head() {
    let most = [0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
    assert_eq!(violation(&most), Violation::TooBig);
    assert_eq!(violation(&client(0x81, &[b'x'; LIMIT + 1])[..14]), Violation::TooBig);
    let first = client(0x01, &[b'x'; LIMIT]);
    let over = [&first[..], &client(0x80, b"x")[..6]].concat();
    assert_eq!(violation(&over), Violation::TooBig, "over all fragments");
    let within = [&first[..], &client(0x80, b"")].concat();
    assert_eq!(read(&within, &[]).1, Ok(false), "exactly at the limit");
}

#[test]
fn binary_is_1003_and_bad_utf8_is_1007() {
    assert_eq!(violation(&client(0x82, b"a")), Violation::Binary);
    assert_eq!(violation(&client(0x81, &[0xFF])), Violation::NotUtf8);
    assert_eq!(violation(&client(0x81, "ä".as_bytes().split_at(1).0)), Violation::NotUtf8);
    assert_eq!(violation(&client(0x81, &[0xED, 0xA0, 0x80])), Violation::NotUtf8, "a lone surrogate");
}

#[test]
fn close_codes_are_those_that_may_be_sent() {
    let with = |code: u16, reason: &[u8]| client(0x88, &[&code.to_be_bytes(), reason].concat());
    assert_eq!(read(&client(0x88, b""), &[]).0, [WireMessage::Close(None)]);
    for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999] {
        assert_eq!(read(&with(code, b"why"), &[]).0, [WireMessage::Close(Some(code))]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        assert!(is_protocol(&with(code, b"")), "{code}");
    }
    assert!(is_protocol(&client(0x88, b"\x03")), "one byte");
    assert_eq!(violation(&with(1000, &[0xC3])), Violation::NotUtf8);
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let text = any::<String>().prop_map(|text| client(0x81, text.as_bytes()));
    let long = (120usize..400).prop_map(|len| client(0x81, &vec![b'l'; len]));
    let parts = any::<String>().prop_map(|text| {
        let (one, two) = text.as_bytes().split_at(text.len() / 2);
        [client(0x01, one), client(0x89, b"between"), client(0x00, b""), client(0x80, two)].concat()
    });
    let control = prop::collection::vec(any::<u8>(), 0..126)
        .prop_flat_map(|payload| prop_oneof![Just(client(0x89, &payload)), Just(client(0x8A, &payload))]);
    prop::collection::vec(prop_oneof![text, long, parts, control], 0..8).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn any_split_yields_the_same_messages(bytes in frames(), pieces in prop::collection::vec(1usize..40, 1..9)) {
        let whole = read(&bytes, &[]);
        prop_assert_eq!(&whole.1, &Ok(false));
        prop_assert_eq!(read(&bytes, &pieces), whole);
    }

    #[test]
    fn random_bytes_never_panic_and_split_alike(
        start in frames(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
        pieces in prop::collection::vec(1usize..40, 1..9),
    ) {
        let bytes = [start, noise].concat();
        prop_assert_eq!(read(&bytes, &pieces), read(&bytes, &[]));
    }
}
