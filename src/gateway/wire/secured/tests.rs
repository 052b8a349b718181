#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, ServerName},
};

use super::*;

/// A kernel buffer with room for a number of bytes.
struct Kernel {
    room: usize,
    calls: usize,
    took: Vec<u8>,
}

impl Kernel {
    fn with(room: usize) -> Self {
        Self { room, calls: 0, took: Vec::new() }
    }
}

impl Write for Kernel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        let before = self.took.len();
        for slice in slices {
            let some = slice.len().min(self.room);
            self.took.extend_from_slice(&slice[..some]);
            self.room -= some;
        }
        match self.took.len() - before {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            written => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both ends of a connection after the handshake.
fn ends() -> (Secured, ClientConnection) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let server = server.unwrap().with_no_client_auth();
    let server = server.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
    let mut client =
        ClientConnection::new(client.into(), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut server = ServerConnection::new(server.into()).unwrap();
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut up).unwrap();
        }
        let mut up = &up[..];
        while !up.is_empty() {
            server.read_tls(&mut up).unwrap();
            server.process_new_packets().unwrap();
        }
        while server.wants_write() {
            server.write_tls(&mut down).unwrap();
        }
        hear(&mut client, &down);
    }
    (Secured::by(server.into()), client)
}

/// The bytes that a client decrypts.
fn hear(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut heard = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
        let _ = client.reader().read_to_end(&mut heard);
    }
    heard
}

fn say(client: &mut ClientConnection, text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.writer().write_all(text).unwrap();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn records(mut bytes: &[u8]) -> usize {
    let mut records = 0;
    while let [_, _, _, high, low, rest @ ..] = bytes {
        bytes = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
        records += 1;
    }
    records
}

#[test]
fn a_burst_of_frames_is_one_record_and_one_system_call() {
    let (mut server, mut client) = ends();
    let frames: Vec<String> = (0..64).map(|number| format!("frame {number} of many")).collect();
    let mut slices: Vec<_> = frames.iter().map(|frame| IoSlice::new(frame.as_bytes())).collect();
    let mut kernel = Kernel::with(usize::MAX);
    let taken = server.write(&mut slices, &mut kernel).unwrap();
    assert_eq!(taken, frames.concat().len());
    assert_eq!((kernel.calls, records(&kernel.took)), (1, 1));
    assert!(hear(&mut client, &kernel.took) == frames.concat().as_bytes() && !server.is_behind());
}

#[test]
fn nothing_is_lost_or_said_twice_whatever_the_kernel_takes() {
    let (mut server, mut client) = ends();
    let frames: Vec<Vec<u8>> = (1..=9u8).map(|number| vec![number; usize::from(number) * 30_000]).collect();
    let whole = frames.concat();
    let (mut sent, mut heard) = (0, Vec::new());
    for room in (0..).map(|step| [0, 1, 5, 16_389, 70_000, 7][step % 6]) {
        let mut kernel = Kernel::with(room);
        let rest = &whole[sent..];
        let (first, second) = rest.split_at(rest.len().min(10_000));
        let mut slices = [IoSlice::new(first), IoSlice::new(second)];
        sent += server.write(&mut slices, &mut kernel).unwrap();
        heard.extend(hear(&mut client, &kernel.took));
        if sent == whole.len() && !server.is_behind() {
            break;
        }
    }
    assert!(heard == whole);
}

#[test]
fn what_comes_in_pieces_is_heard_whole_and_its_end_too() {
    for piece in [1, 7, 100, 5_000, 8 * 1024] {
        let (mut server, mut client) = ends();
        let text: Vec<u8> = (0..40_000).map(|byte| byte as u8).collect();
        let mut bytes = say(&mut client, &text);
        client.send_close_notify();
        client.write_tls(&mut bytes).unwrap();
        let (mut heard, mut is_last) = (Vec::new(), false);
        for came in bytes.chunks(piece) {
            assert!(!is_last);
            let deciphered = server.read(came).unwrap();
            heard.extend(deciphered.bytes);
            is_last = deciphered.is_last;
        }
        assert!(heard == text && is_last, "{piece}");
    }
}

#[test]
fn a_changed_byte_is_an_error_and_answered_by_an_alert() {
    let (mut server, mut client) = ends();
    let mut bytes = say(&mut client, b"hello");
    *bytes.last_mut().unwrap() ^= 1;
    assert!(server.read(&bytes).is_err());
    let mut kernel = Kernel::with(usize::MAX);
    assert!(server.flush(&mut kernel).unwrap());
    assert_eq!(records(&kernel.took), 1);
}
