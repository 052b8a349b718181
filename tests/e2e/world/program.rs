//! A program with an account and an API key.

use serde_json::json;

use super::{Backbone, Person, World};

/// All scopes.
pub const ALL_SCOPES: &[&str] = &[
    "conversations:read",
    "conversations:write",
    "messages:write",
    "receipts:write",
    "users:read",
    "users:write",
    "users:tokens",
    "act:users",
    "act:users:all",
    "events:read",
    "admin:consumers",
    "admin:webhooks",
    "admin:services",
    "admin:erasure",
    "admin:export",
    "admin:holds",
];

/// A service account with one of its keys.
#[derive(Clone)]
pub struct Program {
    /// The account, with the key as its token.
    pub person: Person,
    pub key_id: String,
}

impl Program {
    /// Creates the first service account of an installation, with the command line.
    pub async fn bootstraps<B: Backbone>(world: &World<B>) -> Self {
        let ran = world.runs(&["services", "bootstrap"]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let word = |name: &str| {
            let mut words = ran.stdout.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).unwrap_or_else(|| panic!("no {name}: {ran:?}")).to_owned()
        };
        let key_id = ran.stdout.lines().find(|line| line.contains("vbk_")).expect("the line of the key");
        let key_id = key_id.split_whitespace().nth(1).expect("the id of the key").to_owned();
        let person = Person::program(world.nodes[0].address, &word("username"), &word("id"), &word("key"));
        Self { person, key_id }
    }

    /// Creates another service account, with a key that has all of its scopes.
    pub async fn makes(&self, name: &str, scopes: &[&str]) -> Self {
        let account = json!({ "username": name, "display_name": name, "scopes": scopes });
        let account = self.person.post("/v1/admin/services", account).await.expect(201);
        let id = account["id"].as_str().expect("id");
        let key = self.adds_key(id, json!({ "name": "first" })).await;
        let text = |field: &str| key[field].as_str().expect(field).to_owned();
        let person = Person::program(self.person.address, name, id, &text("key"));
        Self { person, key_id: text("id") }
    }

    /// Creates another key of a service account.
    pub async fn adds_key(&self, service: &str, key: serde_json::Value) -> serde_json::Value {
        self.person.post(&format!("/v1/admin/services/{service}/keys"), key).await.expect(201)
    }

    /// The path of a program's key.
    pub fn path(&self) -> String {
        format!("/v1/admin/services/{}/keys/{}", self.person.id, self.key_id)
    }
}
