//! RFC 9112, sections 2 to 7, over a socket: every bad request is refused, and every good one accepted.

use super::*;

/// Requests that are refused, with the status of the response.
const REFUSED: &[(&[u8], u16)] = &[
    // 2.2: line ends, a bare CR, white space before the first header.
    (b"GET / HTTP/1.1\nhost: x\n\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\n\n", 400),
    (b"\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\rhost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\na: b\rc: d\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n host: x\r\n\r\n", 400),
    // 2.3 and 3: the version, and single spaces.
    (b"GET /\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"GET / http/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.10\r\nhost: x\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET /  HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET\t/ HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1 \r\nhost: x\r\n\r\n", 400),
    (b" GET / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GE(T / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    // 3.2: the forms of a request target, and Host.
    (b"GET x HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET * HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET x:80 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET /a#b HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET /\x00 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET http:///a HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET http://u:p@x/a HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET ftp://x/a HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"CONNECT /a HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\nHost: y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: u@x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x/y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x:a\r\n\r\n", 400),
    // 5: names, values, folding.
    (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\na : b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\na\t: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\n: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\nnothing\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\na(: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n\tc\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\na: \x00\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\na: \x1b[0m\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\na: \x7f\r\n\r\n", 400),
    // 6: the end of the body.
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding:\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0x1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1 1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length:\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 18446744073709551615\r\n\r\nx", 413),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\nx", 413),
    // 7: chunks and trailers.
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\nc: d\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n a: b\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\n", 400),
    // Not from that standard, but just as ambiguous: two callers in one request.
    (b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400),
];

/// Accepted requests, each with the method, target and body that the endpoint gets.
const ACCEPTED: &[(&[u8], &str)] = &[
    (b"GET /a?b=c HTTP/1.1\r\nhost: x\r\n", "GET /a?b=c <>"),
    (b"\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n", "GET / <>"),
    (b"GET / HTTP/1.1\r\nHOST:x:8080\r\n", "GET / <>"),
    (b"GET / HTTP/1.1\r\nhost: [::1]:8080\r\n", "GET / <>"),
    (b"GET / HTTP/1.1\r\nhost:\r\n", "GET / <>"),
    (b"GET / HTTP/1.0\r\n", "GET / <>"),
    (b"GET http://other:80/a?b HTTP/1.1\r\nhost: x\r\n", "GET http://other:80/a?b <>"),
    (b"OPTIONS * HTTP/1.1\r\nhost: x\r\n", "OPTIONS * <>"),
    (b"GET /{\"a\":1}|~ HTTP/1.1\r\nhost: x\r\n", "GET /{\"a\":1}|~ <>"),
    (b"GET / HTTP/1.1\r\nhost: x\r\na:\r\nb: \t c\t \r\nd: \xff\r\n", "GET / <>"),
    (b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n", "GET / <>"),
];

#[tokio::test]
async fn what_has_to_be_refused_is_refused_and_ends_the_connection() {
    let served = echo(Limits::default()).await;
    for (request, status) in REFUSED {
        let (whole, shown) = (served.says(request).await, String::from_utf8_lossy(request).into_owned());
        let code = &whole[..whole.len().min(12)];
        assert_eq!(code, format!("HTTP/1.1 {status}"), "{shown:?}: {whole}");
        assert_refused(&whole, *status, problem_of(&whole)["code"].as_str().unwrap());
        // The same bytes in small pieces after a valid request, which is answered first.
        let mut piecewise = served.connect(b"GET /first HTTP/1.1\r\nhost: x\r\n\r\n").await;
        for piece in request.chunks(7) {
            if piecewise.write_all(piece).await.is_err() {
                break;
            }
            yield_now().await;
        }
        let said = rest(&mut piecewise).await;
        let (first, second) = said.split_once("GET /first <>").unwrap_or_else(|| panic!("{shown:?}: {said}"));
        assert!(first.starts_with("HTTP/1.1 200"), "{shown:?}: {said}");
        assert_eq!(&second[..12], format!("HTTP/1.1 {status}"), "{shown:?}: {said}");
        assert_eq!(said.matches("\r\ndate: ").count(), 2, "nothing behind it is answered: {said}");
    }
}

fn problem_of(said: &str) -> serde_json::Value {
    serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn what_has_to_be_accepted_is_accepted() {
    let served = echo(Limits::default()).await;
    for (request, got) in ACCEPTED {
        let closing = [request, &b"connection: close\r\n\r\n"[..]].concat();
        let said = served.says(&closing).await;
        assert!(
            said.starts_with("HTTP/1.") && said[8..].starts_with(" 200") && said.ends_with(got),
            "{got}: {said}"
        );
    }
}

#[tokio::test]
async fn requests_follow_one_another_whatever_their_bodies_are() {
    let served = echo(Limits::default()).await;
    let several = b"POST /1 HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nGET POST /2 HTTP/1.1\r\nhost: x\r\n\
        transfer-encoding: Chunked\r\n\r\n3;a=\"b\"\r\nGET\r\n0\r\nchecked: no\r\n\r\n\r\nGET /3 HTTP/1.1\r\nhost: x\r\n\
        connection: close\r\n\r\n";
    for size in [1, 5, 64, several.len()] {
        let mut client = served.connect(b"").await;
        for piece in several.chunks(size) {
            client.write_all(piece).await.unwrap();
            yield_now().await;
        }
        let said = rest(&mut client).await;
        for answer in ["POST /1 <GET >", "POST /2 <GET>", "GET /3 <>"] {
            assert!(said.contains(answer), "in pieces of {size}: {said}");
        }
    }
}

#[tokio::test]
async fn pages_can_read_every_refusal() {
    let served = echo(Limits::default()).await;
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000));
    let huge = format!("GET /{} HTTP/1.1\r\n", "a".repeat(100_000));
    let large = format!("GET / HTTP/1.1\r\na: {}\r\n", "a".repeat(17_000));
    let many = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(200));
    for (begin, status) in [
        ("POST / HTTP/1.1\r\ncontent-length: 70000\r\n", 413),
        (&*long, 414),
        (&large, 431),
        ("TRACE / HTTP/1.1\r\n", 405),
        ("GET / HTTP/1.1\r\nhost: again\r\n", 400),
        ("GET / HTTP/3.0\r\n", 505),
    ] {
        let request = format!("{begin}host: x\r\norigin: https://page.example\r\n\r\n");
        let said = served.says(request.as_bytes()).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
        assert!(said.contains("access-control-allow-origin: https://page.example\r\n"), "{said}");
        assert!(said.contains("access-control-expose-headers: ") && said.contains("vary: origin"), "{said}");
        assert!(said.contains("application/problem+json"), "{said}");
    }
    // A request that is refused before its origin has been read gets the same response without the headers for pages.
    for (request, status, code) in [(&huge, 414, "uri_too_long"), (&many, 431, "headers_too_large")] {
        assert_refused(&served.says(request.as_bytes()).await, status, code);
    }
}

#[tokio::test]
async fn a_refused_handshake_ends_its_connection() {
    let served = echo(Limits::default()).await;
    let hidden = b"GET /v1/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n\r\n\
        GET /hidden HTTP/1.1\nhost: x\n\n";
    let said = served.says(hidden).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("GET /v1/ws <>"), "{said}");
    assert!(said.contains("connection: close"), "{said}");
}
