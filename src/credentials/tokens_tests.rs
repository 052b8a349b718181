//! The checks of access tokens, rule by rule.

use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;

const USER: &str = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";
const LOGIN: &str = "01930f3c-5a7b-7c3d-9e4f-ba9876543210";
const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Time {
    Time::of(OffsetDateTime::from_unix_timestamp(seconds).expect("time"))
}

fn tokens() -> Tokens {
    Tokens::new(Keys::from_pem(&Keys::generate_pem(), None).expect("keys"), "verbatim", "verbatim")
}

fn header(tokens: &Tokens) -> Value {
    json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": tokens.keys().current().id })
}

fn claims() -> Value {
    json!({
        "iss": "verbatim", "aud": "verbatim", "sub": USER, "login_id": LOGIN, "jti": "1",
        "iat": NOW, "nbf": NOW, "exp": NOW + 600,
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().expect("object").remove(name);
    object
}

/// Signs any header and any claims with the key of `tokens`.
fn sign(tokens: &Tokens, header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(claims));
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(tokens.keys().current().signs.as_bytes());
    let signature = pair.expect("key").sign(message.as_bytes());
    format!("{message}.{}", BASE64URL.encode(signature))
}

fn verify(tokens: &Tokens, header: &Value, claims: &Value, now: i64) -> Result<Identity, BadToken> {
    let token = sign(tokens, header.to_string().as_bytes(), claims.to_string().as_bytes());
    tokens.verify(&token, at(now))
}

#[test]
fn a_token_of_ours_tells_who_is_asking() {
    let tokens = tokens();
    let (user, login) = (USER.parse().expect("id"), LOGIN.parse().expect("id"));
    let token = tokens.issue(user, login, at(NOW), "1".to_owned());
    let (proof, scopes) = (Proof::Login, Scopes::PERSON);
    let identity = Identity { user, login, proof, expires_at: at(NOW + 600), via: None, scopes };
    assert_eq!(tokens.verify(&token, at(NOW)), Ok(identity));
    assert_eq!(token, tokens.issue(user, login, at(NOW), "1".to_owned()), "the same again");
    assert!(
        verify(&tokens, &header(&tokens), &claims(), NOW).is_ok(),
        "the tests below begin with a good one"
    );
}

#[test]
fn a_token_that_is_known_is_judged_by_the_time_again() {
    let tokens = tokens();
    let token = tokens.issue(USER.parse().expect("id"), LOGIN.parse().expect("id"), at(NOW), "1".to_owned());
    let first = tokens.verify(&token, at(NOW));
    assert!(first.is_ok());
    assert_eq!(tokens.verify(&token, at(NOW + 1)), first);
    assert_eq!(tokens.verify(&token, at(NOW + 631)), Err(BadToken::Expired));
    assert_eq!(tokens.verify(&token, at(NOW - 31)), Err(BadToken::Invalid));
    let (rest, last) = token.split_at(token.len() - 8);
    let changed = format!("{rest}{}", last.chars().rev().collect::<String>());
    assert_eq!(
        tokens.verify(&changed, at(NOW)),
        Err(BadToken::Invalid),
        "one character more or less is another"
    );
}

#[test]
fn of_known_tokens_only_so_many_are_kept_and_a_token_in_use_stays() {
    let tokens = tokens();
    let (user, login) = (USER.parse().expect("id"), LOGIN.parse().expect("id"));
    let signed = Signed { user, login, begin: NOW, end: at(NOW + 600), via: None };
    let in_use = sha256(0_usize.to_ne_bytes());
    for number in 0..3 * MOST_KNOWN {
        tokens.state().known.insert(sha256(number.to_ne_bytes()), signed);
        assert!(tokens.state().known.get(&in_use).is_some(), "evicted by {number}");
    }
    assert_eq!(tokens.state().known.weight(), MOST_KNOWN);
}

#[test]
fn a_token_is_good_until_thirty_seconds_after_its_end_by_the_given_clock() {
    let tokens = tokens();
    for (now, answer) in [
        (NOW - 31, Err(BadToken::Invalid)),
        (NOW - 30, Ok(())),
        (NOW + 629, Ok(())),
        (NOW + 630, Ok(())),
        (NOW + 631, Err(BadToken::Expired)),
        (NOW + 86_400, Err(BadToken::Expired)),
    ] {
        assert_eq!(verify(&tokens, &header(&tokens), &claims(), now).map(|_| ()), answer, "{now}");
    }
}

#[test]
fn a_text_of_another_shape_is_no_token() {
    let tokens = tokens();
    let good = sign(&tokens, header(&tokens).to_string().as_bytes(), claims().to_string().as_bytes());
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, signature] = parts[..] else { panic!("three parts") };
    let long = format!("{head}.{body}.{signature}{}", "A".repeat(4096));
    for text in [
        "",
        ".",
        "..",
        "a.b.c",
        head,
        &format!("{head}.{body}"),
        &format!("{head}.{body}."),
        &format!("{head}..{signature}"),
        &format!(".{body}.{signature}"),
        &format!("{good}."),
        &format!("{good}.{signature}"),
        &format!("{good}="),
        &format!("{head}=.{body}.{signature}"),
        &format!("{good}\n"),
        &format!(" {good}"),
        &good.replace(body, &BASE64URL.encode(claims().to_string() + " ")),
        &good.replace('.', "!"),
        &long,
    ] {
        assert_eq!(tokens.verify(text, at(NOW)), Err(BadToken::Invalid), "{text}");
    }
    let padded = sign(&tokens, header(&tokens).to_string().as_bytes(), &{
        let mut bytes = claims().to_string().into_bytes();
        bytes.extend(std::iter::repeat_n(b' ', 4096));
        bytes
    });
    assert_eq!(tokens.verify(&padded, at(NOW)), Err(BadToken::Invalid), "over 4 KiB although well signed");
}

#[test]
fn only_our_own_keys_sign() {
    let (ours, theirs) = (tokens(), tokens());
    let stranger = sign(&theirs, header(&theirs).to_string().as_bytes(), claims().to_string().as_bytes());
    assert_eq!(ours.verify(&stranger, at(NOW)), Err(BadToken::Invalid));
    let forged = sign(&theirs, header(&ours).to_string().as_bytes(), claims().to_string().as_bytes());
    assert_eq!(ours.verify(&forged, at(NOW)), Err(BadToken::Invalid));
    for kid in [
        json!("../../dev/null"),
        json!("' OR 1=1"),
        json!("x".repeat(3000)),
        json!(1),
        json!(null),
        json!(""),
    ] {
        let header = with(header(&ours), "kid", kid);
        assert_eq!(verify(&ours, &header, &claims(), NOW), Err(BadToken::Invalid), "{header}");
    }
    assert_eq!(verify(&ours, &without(header(&ours), "kid"), &claims(), NOW), Err(BadToken::Invalid));
}

#[test]
fn the_previous_key_is_good_until_it_is_taken_away() {
    let (old, new) = (Keys::generate_pem(), Keys::generate_pem());
    let before = Tokens::new(Keys::from_pem(&old, None).expect("keys"), "verbatim", "verbatim");
    let during = Tokens::new(Keys::from_pem(&new, Some(&old)).expect("keys"), "verbatim", "verbatim");
    let after = Tokens::new(Keys::from_pem(&new, None).expect("keys"), "verbatim", "verbatim");
    let issue = |tokens: &Tokens| {
        tokens.issue(USER.parse().expect("id"), LOGIN.parse().expect("id"), at(NOW), "1".to_owned())
    };
    assert!(during.verify(&issue(&before), at(NOW)).is_ok());
    assert!(after.verify(&issue(&during), at(NOW)).is_ok());
    assert_eq!(after.verify(&issue(&before), at(NOW)), Err(BadToken::Invalid));
}

#[test]
fn a_token_that_was_checked_is_refused_when_its_key_counts_no_more() {
    let (old, new) = (Keys::generate_pem(), Keys::generate_pem());
    let keys = |current: &str, previous: Option<&str>| Keys::from_pem(current, previous).expect("keys");
    let tokens = Tokens::new(keys(&old, None), "verbatim", "verbatim");
    let text = tokens.issue(USER.parse().expect("id"), LOGIN.parse().expect("id"), at(NOW), "1".to_owned());
    assert!(tokens.verify(&text, at(NOW)).is_ok());
    assert_eq!(tokens.replace_keys(keys(&new, Some(&old))), NewKeys::Rotated);
    assert!(tokens.verify(&text, at(NOW)).is_ok());
    assert_eq!(tokens.replace_keys(keys(&new, Some(&old))), NewKeys::Same);
    assert_eq!(tokens.replace_keys(keys(&new, None)), NewKeys::Rotated, "the old key no longer signs");
    assert_eq!(tokens.verify(&text, at(NOW)), Err(BadToken::Invalid));
    let text = tokens.issue(USER.parse().expect("id"), LOGIN.parse().expect("id"), at(NOW), "1".to_owned());
    assert!(tokens.verify(&text, at(NOW)).is_ok());
    let logins = vec![LOGIN.parse().expect("id")];
    assert_eq!(tokens.replace_keys(keys(&old, None)), NewKeys::Replaced(logins));
}

#[test]
fn another_algorithm_is_refused_even_with_our_public_key_as_its_secret() {
    let tokens = tokens();
    let public = tokens.keys().current().verifies.try_get_as_bytes().expect("bytes").to_vec();
    let mut confused = Header::new(Algorithm::HS256);
    confused.typ = Some(TYPE.to_owned());
    confused.kid = Some(tokens.keys().current().id.clone());
    let token =
        jsonwebtoken::encode(&confused, &claims(), &EncodingKey::from_secret(&public)).expect("token");
    assert_eq!(tokens.verify(&token, at(NOW)), Err(BadToken::Invalid));
    for alg in [json!("none"), json!("None"), json!("HS256"), json!("ES256"), json!("eddsa"), json!(null)] {
        let header = with(header(&tokens), "alg", alg);
        assert_eq!(verify(&tokens, &header, &claims(), NOW), Err(BadToken::Invalid), "{header}");
        let (head, body) = (BASE64URL.encode(header.to_string()), BASE64URL.encode(claims().to_string()));
        assert_eq!(tokens.verify(&format!("{head}.{body}."), at(NOW)), Err(BadToken::Invalid));
    }
}

#[test]
fn a_header_says_nothing_that_we_did_not_write() {
    let tokens = tokens();
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!(null)),
        ("crit", json!(["foo"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/x5u")),
        ("x5c", json!(["MIIB"])),
        (
            "jwk",
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
        ),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        let header = with(header(&tokens), name, value);
        assert_eq!(verify(&tokens, &header, &claims(), NOW), Err(BadToken::Invalid), "{header}");
    }
    assert_eq!(verify(&tokens, &without(header(&tokens), "typ"), &claims(), NOW), Err(BadToken::Invalid));
}

#[test]
fn every_claim_is_required() {
    let tokens = tokens();
    for name in ["iss", "aud", "sub", "login_id", "jti", "iat", "nbf", "exp"] {
        assert_eq!(
            verify(&tokens, &header(&tokens), &without(claims(), name), NOW),
            Err(BadToken::Invalid),
            "{name}"
        );
        assert_eq!(
            verify(&tokens, &header(&tokens), &with(claims(), name, json!(null)), NOW),
            Err(BadToken::Invalid),
            "{name}"
        );
    }
}

#[test]
fn a_claim_of_another_type_or_value_is_refused() {
    let tokens = tokens();
    for (name, value) in [
        ("exp", json!((NOW + 600).to_string())),
        ("nbf", json!(NOW.to_string())),
        ("iat", json!(NOW.to_string())),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(i64::MIN)),
        ("iat", json!(i64::MIN)),
        ("exp", json!([NOW + 600])),
        ("exp", json!(NOW + 601)),
        ("exp", json!(NOW - 1)),
        ("iat", json!(NOW + 31)),
        ("iat", json!(NOW + 86_400)),
        ("nbf", json!(NOW + 31)),
        ("iss", json!("somebody")),
        ("iss", json!(["verbatim"])),
        ("aud", json!("somebody")),
        ("aud", json!(["verbatim", "somebody"])),
        ("jti", json!("")),
        ("jti", json!(1)),
        ("sub", json!("")),
        ("sub", json!("admin")),
        ("sub", json!(7)),
        ("sub", json!(format!("{USER}\0"))),
        ("sub", json!("00000000-0000-0000-0000-000000000000")),
        ("login_id", json!("")),
    ] {
        let claims = with(claims(), name, value);
        assert_eq!(verify(&tokens, &header(&tokens), &claims, NOW), Err(BadToken::Invalid), "{claims}");
    }
    let twice = claims().to_string().replacen('{', r#"{"exp":1,"#, 1);
    let token = sign(&tokens, header(&tokens).to_string().as_bytes(), twice.as_bytes());
    assert_eq!(tokens.verify(&token, at(NOW)), Err(BadToken::Invalid), "the same claim twice");
}

#[test]
fn only_a_token_for_a_host_application_lives_for_an_hour() {
    let tokens = tokens();
    let judged = |via: Option<&str>, life: i64| {
        let claims = with(claims(), "exp", json!(NOW + life));
        let claims = via.map_or(claims.clone(), |via| with(claims.clone(), "via", json!(via)));
        verify(&tokens, &header(&tokens), &claims, NOW).map(|identity| (identity.via, identity.scopes))
    };
    assert_eq!(
        judged(Some(USER), 3_600),
        Ok((USER.parse().ok(), Scopes::PERSON)),
        "a person, through the program"
    );
    assert_eq!(judged(None, 600), Ok((None, Scopes::PERSON)));
    for refused in
        [judged(None, 601), judged(Some(USER), 3_601), judged(Some("host"), 600), judged(Some(""), 600)]
    {
        assert_eq!(refused, Err(BadToken::Invalid));
    }
    let (user, login) = (USER.parse().expect("id"), LOGIN.parse().expect("id"));
    let terms = Terms { life: HOST_LIFE, via: Some(user) };
    let token = tokens.issue_on(terms, user, login, at(NOW), "1".to_owned());
    assert_eq!(tokens.verify(&token, at(NOW)).map(|identity| identity.expires_at), Ok(at(NOW + 3_600)));
    assert_eq!(tokens.verify(&token, at(NOW + 3_631)), Err(BadToken::Expired));
}

#[test]
fn what_else_a_token_says_is_ignored() {
    let tokens = tokens();
    let plain = verify(&tokens, &header(&tokens), &claims(), NOW);
    assert_eq!(verify(&tokens, &header(&tokens), &with(claims(), "role", json!("admin")), NOW), plain);
}
