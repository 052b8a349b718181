//! A node with people and their messages, which gets the bad input.

use async_nats::jetstream::{self, Context};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;
use verbatim::dev::NatsUser;

use super::catalogue::Verdict;
use crate::world::{Backbone as _, Person, Program, World, eventually, key, template::Template};

/// Tables whose rows contain the time or count refusals, so they may change.
const CLOCKS: [&str; 3] = ["auth.node", "auth.budget", "auth.failure"];

/// The state that bad input must not change.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    head: u64,
    /// A checksum of all rows of each table.
    tables: Vec<String>,
}

pub struct Stage {
    pub world: World,
    pub ana: Person,
    /// A program with all scopes.
    pub program: Program,
    pub http: reqwest::Client,
    template: Template,
    log: Context,
    database: Mutex<PgConnection>,
    /// One query for the checksums of all tables.
    checksums: String,
    before: State,
}

impl Stage {
    pub async fn is_set() -> Self {
        Self::is_set_with(&[]).await
    }

    pub async fn is_set_with(settings: &[(&str, &str)]) -> Self {
        let mut world = World::empty(1).await;
        world.add_node_with("api,gateway,projector", settings).await;
        let (ana, ben) = (world.person("ana").await, world.person("ben").await);
        let lunch = ana.starts_group("Lunch", &[&ben]).await;
        let foreign = ben.starts_group("Foreign", &[]).await;
        let id = |message: &Value| message["id"].as_str().expect("an id").to_owned();
        let (mine, gone) = (ana.says(&lunch, "a lantern").await, ana.says(&lunch, "gone").await);
        let of_ben = ben.says(&lunch, "soup?").await;
        let elsewhere = ben.says(&foreign, "secret").await;
        ana.delete(&format!("/v1/conversations/{}/messages/{}", lunch.id, id(&gone))).await.expect(204);
        let template = Template::default()
            .with("conversation", &*lunch.id)
            .with("foreign", &*foreign.id)
            .with("message", id(&mine))
            .with("deleted", id(&gone))
            .with("message_of_ben", id(&of_ben))
            .with("foreign_message", id(&elsewhere))
            .with("missing", uuid::Uuid::now_v7().to_string())
            .with("ana", &*ana.id)
            .with("ben", &*ben.id)
            .with("name", &*ana.name)
            .with("NAME", ana.name.to_uppercase())
            .with("name_of_ben", &*ben.name)
            .with("token", &*ana.token)
            .with("token_of_ben", &*ben.token)
            .with("refresh_token", &*ana.refresh_token)
            .with("cursor", cursor(&ana).await)
            .with("cursor_of_ben", cursor(&ben).await);
        // The first use of its key is recorded now. The next record follows a minute later at the earliest.
        let program = Program::bootstraps(&world).await;
        program.person.get("/v1/me").await.expect(200);
        let log = jetstream::new(world.nats.client(NatsUser::Operator).await);
        let mut database = PgConnection::connect(&world.database.url).await.expect("Postgres");
        let checksums = checksums(&mut database).await;
        let (http, database, before) = (reqwest::Client::new(), Mutex::new(database), State::default());
        let mut stage = Self { world, ana, program, http, template, log, database, checksums, before };
        stage.before = stage.state().await;
        stage
    }

    /// The values for the placeholders of a case, with a new idempotency key.
    pub fn template(&self) -> Template {
        self.template.clone().with("key", key())
    }

    /// Continues with more placeholders, and with the state after the changes that were made for them.
    pub async fn goes_on_with(&mut self, template: Template) {
        self.template = template;
        self.before = self.state().await;
    }

    /// Whether the admin listener of the node answers.
    pub async fn lives(&self) -> bool {
        self.world.nodes[0].lives().await
    }

    /// The state of log and tables, once the views have reached the head of the log.
    async fn state(&self) -> State {
        let stream = self.log.get_stream("CHAT_0").await.expect("the stream");
        let head = stream.cached_info().state.last_sequence;
        eventually("the views have caught up", || async {
            let mut database = self.database.lock().await;
            let positions: Vec<i64> = sqlx::query_scalar("select position from view.checkpoint")
                .fetch_all(&mut *database)
                .await
                .expect("positions");
            positions.iter().all(|position| *position as u64 == head)
        })
        .await;
        let query = sqlx::AssertSqlSafe(self.checksums.clone());
        let tables = sqlx::query_scalar(query).fetch_all(&mut *self.database.lock().await).await;
        State { head, tables: tables.expect("checksums") }
    }

    /// Checks the conditions that hold after every case.
    pub async fn is_unharmed(&mut self, is_accepted: bool) -> Verdict {
        let after = self.state().await;
        let before = std::mem::replace(&mut self.before, after);
        let node = &self.world.nodes[0];
        let (errors, panics) = (node.errors(), node.lines_with("panicked"));
        if !errors.is_empty() || !panics.is_empty() {
            node.forget_lines();
            return Err(format!("the node has logged {errors:?} {panics:?}"));
        }
        match (before == self.before, is_accepted) {
            (true, false) | (false, true) => Ok(()),
            (true, true) => Err("it is accepted, and nothing was done".into()),
            (false, false) => Err(format!("it has left something: {}", changes(&before, &self.before))),
        }
    }

    pub async fn ends(self) {
        self.ana.get("/v1/me").await.expect(200);
        self.world.finish().await;
    }
}

/// The cursor of a person who has read the list of conversations.
async fn cursor(of: &Person) -> String {
    let list = of.get("/v1/conversations").await;
    list.headers["verbatim-cursor"].to_str().expect("text").to_owned()
}

/// The differences between two states.
fn changes(before: &State, after: &State) -> String {
    let tables = before.tables.iter().zip(&after.tables).filter(|(before, after)| before != after);
    let names: Vec<&str> = tables.filter_map(|(_, after)| after.split(' ').next()).collect();
    format!("the head of the log was {} and is {}, other rows in {names:?}", before.head, after.head)
}

/// A query that returns one line for each table. Any change of a row changes the line.
async fn checksums(database: &mut PgConnection) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_schema || '.' || table_name from information_schema.tables
         where table_schema in ('auth', 'view') and table_type = 'BASE TABLE' order by 1",
    )
    .fetch_all(database)
    .await
    .expect("tables");
    let of_table = |table: &String| {
        format!(
            "select '{table} ' || coalesce(md5(string_agg(t::text, ',' order by t::text)), '') from {table} t"
        )
    };
    let all: Vec<String> = tables.iter().filter(|table| !CLOCKS.contains(&&***table)).map(of_table).collect();
    assert!(all.len() > 10, "{tables:?}");
    all.join(" union all ")
}
