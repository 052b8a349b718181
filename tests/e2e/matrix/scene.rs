//! The people of the matrix, and the situation of one of them in one cell.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use reqwest::StatusCode;
use verbatim::{accounts, app, clock::Clock, credentials::Tokens, domain::LoginId};

use crate::{
    issuers::exchange,
    world::{
        ALL_SCOPES, Conversation, Issuer, Person, Program, Signer, World, eventually, key, position,
        template::Template,
    },
};

/// The people who are the same in every cell.
pub struct Cast {
    owner: Person,
    admin: Person,
    member: Person,
    ex_member: Person,
    stranger: Person,
    guest: Person,
    outsider: Person,
    /// A program that creates other programs.
    pub operator: Program,
    tokens: Tokens,
    /// An issuer whose tokens are used directly.
    issuer: Issuer,
    signer: Signer,
    /// A revoked token of the member.
    revoked: String,
    people: AtomicUsize,
}

/// One cell: the caller, the token, and the objects of the request.
#[derive(Clone)]
pub struct Scene {
    pub caller: Person,
    /// `None` for a request without a token.
    pub token: Option<String>,
    /// The user for whom a program acts.
    pub on_behalf_of: Option<String>,
    pub template: Template,
}

/// The scenes that do not change: refusals and reads change nothing, so all such cells share a scene.
pub struct Standing(HashMap<(String, bool), Scene>);

impl Standing {
    /// The scene of a cell: the shared one, or a new one for a request that changes it.
    pub async fn scene(&self, cast: &Cast, column: &str, on_account: bool, changes: bool) -> Cow<'_, Scene> {
        match changes {
            true => Cow::Owned(cast.plays(column, on_account).await),
            false => Cow::Borrowed(&self.0[&(column.to_owned(), on_account)]),
        }
    }
}

impl Cast {
    pub async fn gathers(world: &World, issuer: Issuer, signer: Signer) -> Self {
        let pool = app::database(&world.database.url, 1).await.expect("Postgres");
        let key = accounts::shared_key(&pool).await.expect("the key that signs");
        let member = world.person("member").await;
        Self {
            revoked: revoked(&member).await,
            member,
            owner: world.person("owner.of").await,
            admin: world.person("admin.of").await,
            ex_member: world.person("ex").await,
            stranger: world.person("stranger").await,
            guest: world.person("guest").await,
            outsider: world.person("outsider").await,
            operator: Program::bootstraps(world).await,
            tokens: Tokens::new(key, "verbatim", "verbatim"),
            issuer,
            signer,
            people: AtomicUsize::new(0),
        }
    }

    /// An unused name, of letters that do not look alike.
    pub fn name(&self) -> String {
        let number = self.people.fetch_add(1, Ordering::Relaxed);
        let letter = |shift: u32| char::from(b"abcdefgh"[number >> shift & 7]);
        format!("nn.{}", [letter(12), letter(9), letter(6), letter(3), letter(0)].iter().collect::<String>())
    }

    /// A new person.
    async fn person(&self) -> Person {
        Person::registers(self.owner.address, &self.name()).await
    }

    /// A token of the issuer for a user of this name.
    fn issued(&self, name: &str) -> String {
        self.signer.signs(&self.issuer.claims(name, name))
    }

    /// A user of the issuer, with a login of this server.
    async fn exchanged(&self, name: &str) -> Person {
        let login = exchange(self.owner.address, &self.issued(name)).await.expect(201);
        Person::with(&login, self.owner.address).named(name)
    }

    /// A user of the issuer, with the token of the issuer.
    async fn external(&self, name: &str) -> Person {
        self.exchanged(name).await.with_token(Some(&self.issued(name)))
    }

    /// Creates two shared scenes for each column: one for requests about a conversation, and one for requests about an
    /// account.
    pub async fn stands(&self, columns: impl Iterator<Item = &str>) -> Standing {
        let mut scenes = HashMap::new();
        for column in columns {
            for on_account in [false, true] {
                scenes.insert((column.to_owned(), on_account), self.plays(column, on_account).await);
            }
        }
        Standing(scenes)
    }

    /// Creates the scene for the caller of a column. Requests about an account get an account that nobody else uses.
    async fn plays(&self, column: &str, on_account: bool) -> Scene {
        let known = match column {
            "anonymous" | "stranger" | "key" => &self.stranger,
            "ex_member" => &self.ex_member,
            "admin" => &self.admin,
            "owner" => &self.owner,
            "member" | "expired" | "revoked" | "blocked" | "host_token" | "on_behalf_of"
            | "external_token" => &self.member,
            other => panic!("a column of another kind: {other}"),
        };
        // Two people have only one direct conversation, so every blocked caller is a new person.
        let (program, external_id) = (self.operator.makes(&self.name(), ALL_SCOPES).await, self.name());
        let is_hosted = matches!(column, "host_token" | "on_behalf_of");
        let is_external = column == "external_token";
        let is_fresh = on_account || column == "blocked" || is_hosted || is_external;
        let caller = match is_fresh {
            _ if is_hosted => hosted(&program, &external_id).await,
            _ if is_external => self.external(&external_id).await,
            true => self.person().await,
            false => known.clone(),
        };
        let template = match column {
            "blocked" => self.direct(&caller).await,
            _ => self.group(column, &caller).await,
        };
        // The number of logins of an account is limited, so the cast is not used for this.
        let spare = match is_fresh {
            _ if is_hosted => hosted(&program, &external_id).await,
            _ if is_external => self.exchanged(&external_id).await,
            true => Person::logs_in(caller.address, &caller.name, &caller.id).await,
            false => caller.clone(),
        };
        if column == "key" {
            hosted(&program, &external_id).await;
            let team = serde_json::json!({ "kind": "group", "title": "Team", "members": [] });
            program.person.put(&format!("/v1/provision/conversations/{external_id}"), team).await.expect(201);
        }
        let oneself = if column == "key" { &program.person.id } else { &caller.id };
        let token = match column {
            "anonymous" => None,
            "key" | "on_behalf_of" => Some(program.person.token.clone()),
            "expired" => Some(self.expired(&caller)),
            "revoked" if is_fresh => Some(revoked(&caller).await),
            "revoked" => Some(self.revoked.clone()),
            _ => Some(caller.token.clone()),
        };
        let on_behalf_of = (column == "on_behalf_of").then(|| format!("ext:{external_id}"));
        let template = template
            .with("name", self.name())
            .with("issued", self.issued(&format!("{external_id}.x")))
            .with("known", &*self.guest.name)
            .with("caller", &*caller.id)
            .with("oneself", &**oneself)
            .with("service", &*program.person.id)
            .with("service_key", &*program.key_id)
            .with("external_id", external_id)
            .with("owner", &*self.owner.id)
            .with("outsider", &*self.outsider.id)
            .with("key", key())
            .with("token", token.clone().unwrap_or_default())
            .with("guests_token", &*self.guest.token)
            .with("refresh_token", &*spare.refresh_token)
            .with("own_login", login(&spare).await)
            .with("guests_login", login(&self.guest).await);
        Scene { caller, token, on_behalf_of, template }
    }

    /// A group with all of its members.
    async fn group(&self, column: &str, caller: &Person) -> Template {
        let members = [&self.admin, &self.member, &self.guest, &self.ex_member];
        let group = self.owner.starts_group("Lunch", &members).await;
        let is_in = !matches!(column, "stranger" | "anonymous" | "key");
        let is_new = is_in && caller.name.starts_with("nn.");
        if is_new {
            self.owner.invites(&group, caller).await.expect(201);
        }
        if column == "admin" {
            let role = serde_json::json!({ "role": "admin" });
            let path = format!("/v1/conversations/{}/members/{}", group.id, caller.id);
            self.owner.patch(&path, role).await.expect(200);
        }
        let theirs = self.guest.says(&group, "a lantern").await;
        let own = if is_in { caller.says(&group, "mine").await } else { theirs.clone() };
        self.owner.removes(&group, &self.ex_member).await.expect(204);
        if is_new && column == "ex_member" {
            self.owner.removes(&group, caller).await.expect(204);
        }
        let last = position(&self.guest.says(&group, "who is here?").await);
        self.owner.history(&group, last).await;
        template(&group, &theirs, &own, last).with("guest", &*self.guest.id)
    }

    /// A direct conversation with the owner, who has blocked the caller since then.
    async fn direct(&self, caller: &Person) -> Template {
        let talk = Conversation::from(caller.starts_direct(&self.owner).await.expect(201));
        let theirs = self.owner.says(&talk, "a lantern").await;
        let own = caller.says(&talk, "mine").await;
        let block = format!("/v1/me/blocks/{}", caller.id);
        self.owner.put(&block, serde_json::json!({})).await.expect(204);
        eventually("the block is known", || async {
            caller.sends(&talk, &key(), "still?").await.status == StatusCode::FORBIDDEN
        })
        .await;
        let last = position(&own);
        caller.history(&talk, last).await;
        template(&talk, &theirs, &own, last).with("guest", &*self.owner.id)
    }

    fn expired(&self, caller: &Person) -> String {
        let login = Clock::system().id(LoginId::known);
        let yesterday = Clock::system().now().minus(Duration::from_secs(86_400));
        self.tokens.issue(caller.id.parse().expect("an id"), login, yesterday, "old".into())
    }
}

fn template(
    of: &Conversation,
    theirs: &serde_json::Value,
    own: &serde_json::Value,
    position: u64,
) -> Template {
    let id = |message: &serde_json::Value| message["id"].as_str().expect("an id").to_owned();
    Template::default()
        .with("conversation", &*of.id)
        .with("message", id(theirs))
        .with("own_message", id(own))
        .with("position", position.to_string())
}

/// A user of a host application, with a login that the host application created.
async fn hosted(host: &Program, external_id: &str) -> Person {
    let wanted = serde_json::json!({ "refresh": true, "upsert": { "display_name": external_id } });
    let login =
        host.person.post(&format!("/v1/provision/users/{external_id}/tokens"), wanted).await.expect(201);
    Person::with(&login, host.person.address).named(external_id)
}

/// The id of the login of a person's token.
async fn login(of: &Person) -> String {
    let logins = of.get("/v1/logins").await.expect(200);
    let items = logins["items"].as_array().expect("items");
    let current = items.iter().find(|login| login["current"] == true).expect("one's own");
    current["id"].as_str().expect("an id").to_owned()
}

/// A token of another login of the caller, which was revoked.
async fn revoked(caller: &Person) -> String {
    let gone = Person::logs_in(caller.address, &caller.name, &caller.id).await;
    gone.delete("/v1/logins/current").await.expect(204);
    eventually("the node knows that the login was revoked", || async {
        gone.get("/v1/me").await.status == StatusCode::UNAUTHORIZED
    })
    .await;
    gone.token
}
