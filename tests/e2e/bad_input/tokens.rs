//! Access tokens, signed by a key that the story has given to the node.

use std::time::SystemTime;

use aws_lc_rs::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64URL},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use verbatim::credentials::Keys;

use super::{
    answer::{Expected, judge},
    catalogue::{Verdict, holds, same},
    stage::Stage,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    authorization: Option<String>,
    #[serde(default)]
    header: Map<String, Value>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    at: Map<String, Value>,
    #[serde(default)]
    drop: Vec<String>,
    /// The claims whose letters are written in upper case.
    #[serde(default)]
    upper: Vec<String>,
    sign: Option<String>,
    status: u16,
    code: Option<String>,
}

struct Signer {
    pair: Ed25519KeyPair,
    header: Value,
    claims: Value,
}

impl Signer {
    fn token(&self, case: &Token) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let (mut header, mut claims) = (self.header.clone(), self.claims.clone());
        for (name, offset) in [("iat", 0), ("nbf", 0), ("exp", 600)] {
            let offset = case.at.get(name).map_or(offset, |offset| offset.as_i64().expect("seconds"));
            claims[name] = (now.cast_signed() + offset).into();
        }
        for (part, changes) in [(&mut header, &case.header), (&mut claims, &case.claims)] {
            let part = part.as_object_mut().expect("an object");
            part.extend(changes.clone());
            part.retain(|name, _| !case.drop.contains(name));
        }
        for name in &case.upper {
            let claim = claims[name].as_str().expect("a text");
            claims[name] = claim.to_uppercase().into();
        }
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = match case.sign.as_deref() {
            Some("nobody") => Vec::new(),
            Some("another") => {
                let other = Ed25519KeyPair::generate().expect("randomness");
                other.sign(signed.as_bytes()).as_ref().to_vec()
            }
            Some("confusion") => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, self.pair.public_key().as_ref());
                hmac::sign(&secret, signed.as_bytes()).as_ref().to_vec()
            }
            None => self.pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Some(other) => panic!("signed by {other}?"),
        };
        format!("{signed}.{}", BASE64URL.encode(signature))
    }
}

fn encode(part: &Value) -> String {
    BASE64URL.encode(part.to_string())
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).expect("a part");
    serde_json::from_slice(&BASE64URL.decode(part).expect("base64")).expect("JSON")
}

async fn tries(stage: &Stage, signer: &Signer, case: &Token) -> Verdict {
    let good = &stage.ana.token;
    let template = stage.template().with("good", good).with("cut", &good[..good.len() - 4]);
    let authorization = match &case.authorization {
        Some(given) => template.fill(given),
        None => format!("Bearer {}", signer.token(case)),
    };
    let mut request = stage.http.get(format!("http://{}/v1/me", stage.ana.address));
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let answer = request.send().await.map_err(|e| e.to_string())?;
    let (status, says_how) = (answer.status().as_u16(), answer.headers().contains_key("www-authenticate"));
    same("WWW-Authenticate", says_how, status == 401)?;
    let body = answer.text().await.map_err(|e| e.to_string())?;
    judge(status, &body, &Expected { status: case.status, code: case.code.as_deref(), ..Expected::default() })
}

#[tokio::test]
async fn tokens_that_are_not_ours_are_refused_and_leave_nothing() {
    let pem = Keys::generate_pem();
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("key.pem");
    std::fs::write(&file, &*pem).expect("a file");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(base64).expect("base64");
    let file = file.to_str().expect("a path");
    let stage = Stage::is_set_with(&[("VERBATIM_SIGNING_KEY_FILE", file)]).await;
    let signer = Signer {
        pair: Ed25519KeyPair::from_pkcs8(&der).expect("a key"),
        header: part(&stage.ana.token, 0),
        claims: part(&stage.ana.token, 1),
    };
    assert_eq!(signer.claims["sub"], json!(stage.ana.id));
    let tries = async |stage: &Stage, token: &Token| tries(stage, &signer, token).await;
    holds(stage, include_str!("../../bad_input/tokens.toml"), tries).await;
}
