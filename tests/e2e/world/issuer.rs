//! An issuer of external users: a server that publishes the documents of a product, and signs any token for a story.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use super::Authority;

/// A product. Issuers differ in their paths, their documents, and the claims of their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Keycloak,
    Auth0,
    Supabase,
}

/// The seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs().cast_signed()
}

/// A signing key pair.
pub struct Signer {
    pub kid: String,
    pub algorithm: &'static str,
    key: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    pub fn new(algorithm: &'static str, kid: &str) -> Self {
        let key = match algorithm {
            "RS256" => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")),
            "ES256" => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")),
            "EdDSA" => Pair::Ed(Ed25519KeyPair::generate().expect("a key")),
            other => panic!("a key for {other}?"),
        };
        Self { kid: kid.to_owned(), algorithm, key }
    }

    fn jwk(&self) -> Value {
        let (kid, alg) = (&self.kid, self.algorithm);
        match &self.key {
            Pair::Rsa(key) => {
                let public = key.public_key();
                let [n, e] = [public.modulus(), public.exponent()]
                    .map(|part| BASE64URL.encode(part.big_endian_without_leading_zero()));
                json!({ "kid": kid, "kty": "RSA", "alg": alg, "use": "sig", "n": n, "e": e })
            }
            Pair::Ec(key) => {
                let point = key.public_key().as_ref();
                let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64URL.encode(half));
                json!({ "kid": kid, "kty": "EC", "crv": "P-256", "alg": alg, "use": "sig", "x": x, "y": y })
            }
            Pair::Ed(key) => {
                let x = BASE64URL.encode(key.public_key());
                json!({ "kid": kid, "kty": "OKP", "crv": "Ed25519", "alg": alg, "use": "sig", "x": x })
            }
        }
    }

    /// The bytes of the public key, for tests that misuse it as a secret.
    pub fn public(&self) -> Vec<u8> {
        match &self.key {
            Pair::Rsa(key) => key.public_key().as_ref().to_vec(),
            Pair::Ec(key) => key.public_key().as_ref().to_vec(),
            Pair::Ed(key) => key.public_key().as_ref().to_vec(),
        }
    }

    /// A token with this header and these claims.
    pub fn signs_with(&self, header: &Value, claims: &Value) -> String {
        let signed =
            format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
        let (message, random) = (signed.as_bytes(), SystemRandom::new());
        let signature = match &self.key {
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("a signature");
                signature
            }
            Pair::Ec(key) => key.sign(&random, message).expect("a signature").as_ref().to_vec(),
            Pair::Ed(key) => key.sign(message).as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64URL.encode(signature))
    }

    pub fn signs(&self, claims: &Value) -> String {
        self.signs_with(&json!({ "alg": self.algorithm, "typ": "JWT", "kid": self.kid }), claims)
    }
}

/// A server of a product.
pub struct Issuer {
    pub iss: String,
    product: Product,
    state: Arc<Mutex<State>>,
}

struct State {
    keys: Vec<Value>,
    /// The keys at another address, which the document then names.
    moved: Option<Vec<Value>>,
    cache_control: String,
    is_down: bool,
    /// The requested paths.
    asked: Vec<String>,
}

impl Issuer {
    /// An issuer that has this key.
    pub async fn of(product: Product, authority: &Authority, dir: &std::path::Path, key: &Signer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let pair = authority.certifies(dir, &format!("issuer-{}", address.port()));
        let iss = match product {
            Product::Keycloak => format!("https://localhost:{}/realms/acme", address.port()),
            Product::Auth0 => format!("https://localhost:{}/", address.port()),
            Product::Supabase => format!("https://localhost:{}/auth/v1", address.port()),
        };
        let state = State {
            keys: vec![key.jwk()],
            moved: None,
            cache_control: String::new(),
            is_down: false,
            asked: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        tokio::spawn(serve(
            listener,
            acceptor(&pair.certificate, &pair.key),
            product,
            iss.clone(),
            state.clone(),
        ));
        Self { iss, product, state }
    }

    /// Publishes these keys, in addition to unusable ones.
    pub fn publishes(&self, keys: &[&Signer]) {
        self.state().keys = keys.iter().map(|key| key.jwk()).collect();
    }

    /// Publishes these keys at another address, which the document names from now on. The old address stays as it is.
    pub fn moves(&self, keys: &[&Signer]) {
        self.state().moved = Some(keys.iter().map(|key| key.jwk()).collect());
    }

    pub fn says(&self, cache_control: &str) {
        self.state().cache_control = cache_control.to_owned();
    }

    pub fn is_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// The number of requests for its keys.
    pub fn fetches(&self) -> usize {
        let keys = keys_path(self.product);
        self.state().asked.iter().filter(|path| *path == keys).count()
    }

    /// The claims of a user's access token, as in the product.
    pub fn claims(&self, subject: &str, name: &str) -> Value {
        let mut claims = match self.product {
            Product::Keycloak => json!({
                "jti": format!("onrtac:{subject}-{name}"), "aud": ["verbatim", "account"], "typ": "Bearer", "azp": "web",
                "sid": format!("session-{subject}"), "acr": "1", "allowed-origins": ["https://app.example.com"],
                "realm_access": { "roles": ["offline_access", "chat"] }, "scope": "openid profile email",
                "email_verified": true, "name": format!("{name} of Keycloak"), "preferred_username": name,
                "given_name": name, "email": format!("{name}@example.com"),
            }),
            Product::Auth0 => json!({
                "aud": ["https://chat.example.com", format!("{}userinfo", self.iss)], "azp": "web",
                "scope": "openid profile email", "https://chat.example.com/name": format!("{name} of Auth0"),
                "https://chat.example.com/nickname": name,
            }),
            Product::Supabase => json!({
                "aud": "authenticated", "email": format!("{name}@example.com"), "phone": "", "role": "authenticated",
                "app_metadata": { "provider": "email", "providers": ["email"] },
                "user_metadata": { "name": format!("{name} of Supabase"), "user_name": name },
                "aal": "aal1", "amr": [{ "method": "password", "timestamp": now() }],
                "session_id": format!("session-{subject}"), "is_anonymous": false,
            }),
        };
        claims["iss"] = json!(self.iss);
        claims["sub"] = json!(subject);
        claims["iat"] = json!(now());
        claims["exp"] = json!(now() + 300);
        claims
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("a state")
    }
}

/// The path of keys that were moved.
const MOVED: &str = "/moved/certs";

fn keys_path(product: Product) -> &'static str {
    match product {
        Product::Keycloak => "/realms/acme/protocol/openid-connect/certs",
        Product::Auth0 => "/.well-known/jwks.json",
        Product::Supabase => "/auth/v1/.well-known/jwks.json",
    }
}

fn acceptor(certificate: &PathBuf, key: &PathBuf) -> TlsAcceptor {
    let chain =
        CertificateDer::pem_file_iter(certificate).expect("a file").collect::<Result<_, _>>().expect("PEM");
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).expect("a key"))
        .expect("a pair");
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    product: Product,
    iss: String,
    state: Arc<Mutex<State>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, iss, state) = (acceptor.clone(), iss.clone(), state.clone());
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8(head).expect("text");
            let path = head.split(' ').nth(1).expect("a path").to_owned();
            let answer = answer(product, &iss, &path, &state);
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        });
    }
}

fn answer(product: Product, iss: &str, path: &str, state: &Mutex<State>) -> String {
    let mut state = state.lock().expect("a state");
    state.asked.push(path.to_owned());
    let discovery = format!("{}/.well-known/openid-configuration", iss.strip_suffix('/').unwrap_or(iss));
    let body = if state.is_down {
        None
    } else if path == keys_path(product) {
        let mut keys = unusable(product);
        keys.extend(state.keys.clone());
        Some(json!({ "keys": keys }))
    } else if path == MOVED {
        state.moved.as_ref().map(|keys| json!({ "keys": keys }))
    } else if discovery.ends_with(path) {
        let keys = if state.moved.is_some() { MOVED } else { keys_path(product) };
        Some(document(product, iss, keys))
    } else {
        None
    };
    let (status, body) = match body {
        Some(body) => ("200 OK", body.to_string()),
        None => ("503 Service Unavailable", "{}".to_owned()),
    };
    let cache_control = match &*state.cache_control {
        "" => String::new(),
        value => format!("cache-control: {value}\r\n"),
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{cache_control}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Keys in the set of the product that cannot check a token here.
fn unusable(product: Product) -> Vec<Value> {
    match product {
        Product::Keycloak => {
            let key = Signer::new("EdDSA", "encrypts").jwk();
            let mut encrypts =
                json!({ "kid": "encrypts", "kty": "RSA", "alg": "RSA-OAEP", "use": "enc", "e": "AQAB" });
            encrypts["n"] = key["x"].clone();
            vec![encrypts]
        }
        Product::Auth0 => Vec::new(),
        Product::Supabase => vec![json!({ "kid": "legacy", "kty": "oct", "alg": "HS256" })],
    }
}

/// The document of OpenID Connect Discovery, as in the product.
fn document(product: Product, iss: &str, keys: &str) -> Value {
    let origin = iss.split('/').take(3).collect::<Vec<_>>().join("/");
    let keys = format!("{origin}{keys}");
    let text = match product {
        Product::Keycloak => include_str!("../../issuers/keycloak.json"),
        Product::Auth0 => include_str!("../../issuers/auth0.json"),
        Product::Supabase => include_str!("../../issuers/supabase.json"),
    };
    let base = iss.strip_suffix('/').unwrap_or(iss);
    let text = text.replace("${iss}", iss).replace("${base}", base).replace("${keys}", &keys);
    serde_json::from_str(&text).expect("a document")
}
