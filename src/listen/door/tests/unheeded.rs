use super::*;

#[tokio::test]
async fn a_client_that_goes_on_after_refusals_is_answered_without_hurry_until_it_is_let_in() {
    let endpoint = make(|request: Request| async move {
        let status =
            if request.uri().path() == "/in" { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
        Ok::<_, poem::Error>(Response::builder().status(status).finish())
    });
    let served = served(Limits::default(), endpoint).await;
    let mut client = served.connect(b"").await;
    let mut ask = async |path: &str| {
        let begun = std::time::Instant::now();
        client.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") {
            said.push(client.read_u8().await.unwrap());
        }
        begun.elapsed()
    };
    for _ in 0..UNHEEDED {
        ask("/out").await;
    }
    for _ in 0..3 {
        assert!(ask("/out").await >= UNHURRIED);
    }
    ask("/in").await;
    for _ in 0..UNHEEDED {
        ask("/out").await;
    }
    assert!(ask("/out").await >= UNHURRIED, "counting has begun anew");
}
