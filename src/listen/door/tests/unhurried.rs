use futures_util::future::join_all;

use super::*;
use crate::listen::refusals::{AT_ONCE, EVERY};

/// With this many refusals, the last one waits for 600 ms.
const MANY: u32 = AT_ONCE + 150;

#[tokio::test]
async fn refusals_of_an_address_wait_also_on_new_connections_and_other_answers_do_not() {
    let endpoint = make(|request: Request| async move {
        let status =
            if request.uri().path() == "/in" { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
        Ok::<_, poem::Error>(Response::builder().status(status).finish())
    });
    let served = served(Limits::default(), endpoint).await;
    let ask = async |path: &str| {
        let begun = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        (served.says(request.as_bytes()).await, begun.elapsed())
    };
    let (refused, (welcome, took)) = tokio::join!(join_all((0..MANY).map(|_| ask("/out"))), ask("/in"));
    assert!(refused.iter().all(|(said, _)| said.starts_with("HTTP/1.1 429 ")));
    let longest = refused.iter().map(|(_, took)| *took).max().expect("some");
    assert!(longest >= EVERY * (MANY - AT_ONCE) / 2, "{longest:?}");
    assert!(welcome.starts_with("HTTP/1.1 200 ") && took < longest, "{took:?}");
}
