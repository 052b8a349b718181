//! Tests which texts are valid frames.

use crate::{
    domain::Position,
    gateway::{
        frames::{client::*, reading::*, server::*},
        wire::{budget, limits, websocket},
    },
};

const ID: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";

#[test]
fn frames_are_read_strictly() {
    let send =
        format!(r#"{{"op":"send","id":"1","conversation_id":"{ID}","client_id":"client-1","text":"hi"}}"#);
    assert!(matches!(ClientFrame::read(&send), Ok(ClientFrame::Send { .. })));
    assert_eq!(
        ClientFrame::read(r#"{"op":"hello"}"#),
        Ok(ClientFrame::Hello { id: None, cursor: None, filter: None })
    );
    for wrong in [
        "",
        "null",
        "[]",
        r#"["ping"]"#,
        r#"{"op":"sing"}"#,
        r#"{"op":"hello","more":1}"#,
        r#"{"id":"1"}"#,
        &send.replace("client-1", "short"),
        &send.replace("hi", "\\u0000"),
        &send.replace("hi", " "),
        &send.replace(ID, "*"),
    ] {
        assert!(ClientFrame::read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_error_echoes_the_id_if_it_is_short_enough() {
    let bad = ClientFrame::read(r#"{"op":"sing","id":"seven"}"#).expect_err("no such op");
    assert_eq!(bad.id, Some(FrameId::try_from("seven".to_owned()).expect("short")));
    let ping = |length| format!(r#"{{"op":"ping","id":"{}"}}"#, "é".repeat(length));
    assert_eq!(ClientFrame::read(&ping(MAX_ID + 1)).expect_err("too long").id, None);
    assert!(ClientFrame::read(&ping(MAX_ID)).is_ok(), "characters count, not bytes");
}

#[test]
fn an_error_names_the_field_with_a_wrong_value() {
    let send =
        format!(r#"{{"op":"send","conversation_id":"{ID}","client_id":"client-1","text":"hi","more":1}}"#);
    let detail = |text: &str| ClientFrame::read(text).expect_err("wrong").detail;
    assert!(detail(&send).starts_with("unknown field `more`"), "{}", detail(&send));
    for (right, wrong, field) in [
        (r#""hi""#, r#"" ""#, "text: no visible text"),
        ("client-1", "short", "client_id: not an idempotency key"),
        (ID, "*", "conversation_id: not an id"),
        (r#""more":1"#, r#""metadata":[1]"#, "metadata: expected a JSON object"),
    ] {
        let detail = detail(&send.replace(right, wrong));
        assert!(detail.starts_with(field), "{detail}");
    }
}

#[test]
fn an_error_names_the_field_of_a_wrong_type() {
    let fields = [
        ("hello", "id"),
        ("hello", "cursor"),
        ("hello", "filter"),
        ("send", "id"),
        ("send", "conversation_id"),
        ("send", "client_id"),
        ("send", "text"),
        ("send", "reply_to"),
        ("send", "metadata"),
        ("react", "message_id"),
        ("react", "emoji"),
        ("read", "position"),
        ("presence", "status"),
        ("authenticate", "token"),
    ];
    for (op, field) in fields {
        for value in ["7.5", "true", "[]", r#"{"more":7}"#]
            .into_iter()
            .filter(|v| !(field == "metadata" && v.starts_with('{')))
        {
            let frame = format!(r#"{{"op":"{op}","{field}":{value}}}"#);
            let detail = ClientFrame::read(&frame).expect_err("wrong").detail;
            assert!(detail.starts_with(&format!("{field}: ")), "{frame}: {detail}");
        }
    }
    for (frame, field) in [
        (r#"{"op":7}"#, "op"),
        (r#"{"op":null}"#, "op"),
        (r#"{"op":"ping","id":7}"#, "id"),
        (r#"{"op":"read","id":null,"conversation_id":null,"position":1}"#, "conversation_id"),
        (r#"{"op":"send","client_id":null,"reply_to":null}"#, "client_id"),
        (r#"{"op":"hello","filter":{"conversations":"all"}}"#, "filter"),
    ] {
        let detail = ClientFrame::read(frame).expect_err("wrong").detail;
        assert!(detail.starts_with(&format!("{field}: ")), "{frame}: {detail}");
    }
    let detail = ClientFrame::read(r#"["ping"]"#).expect_err("wrong").detail;
    assert!(detail.starts_with("a frame is a JSON object"), "{detail}");
}

#[test]
fn op_stands_first() {
    let frame = ServerFrame::Heartbeat {
        cursor: "c".into(),
        heads: &[Head { id: ID.parse().expect("id"), head: Position(7) }],
    };
    let wanted = format!(r#"{{"op":"heartbeat","cursor":"c","heads":{{"{ID}":7}}}}"#);
    assert_eq!(frame.encode(), websocket::text(wanted.as_bytes()));
}

#[test]
fn what_is_said_of_a_bad_frame_is_short() {
    let long = "x".repeat(60_000);
    for frame in [format!(r#"{{"op":"{long}"}}"#), format!(r#"{{"op":"ping","{long}":1}}"#)] {
        let detail = ClientFrame::read(&frame).expect_err("wrong").detail;
        assert_eq!(detail.chars().count(), DETAIL, "{}", detail.len());
    }
}

#[test]
fn a_session_is_told_the_limits_of_its_socket() {
    let limits = limits::SocketLimits { message: 1_234, ..limits::SocketLimits::default() };
    assert_eq!(ReadyLimits::of(limits, budget::frames(None)).frame_bytes, 1_234);
}
