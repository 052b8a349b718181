//! Messages that a foreign or broken program publishes into the log or next to it.

use std::collections::BTreeMap;

use async_nats::{HeaderMap, jetstream};
use serde::Deserialize;
use verbatim::dev::NatsUser;

use super::catalogue::{Case, Verdict, cases, same};
use crate::world::{Backbone as _, Conversation, Device, Person, World, eventually, key, template::Template};

/// Errors that a node logs about events that it cannot read.
const MEANT: [&str; 2] = [
    "could not read an event; skipped it",
    "could not apply an event; the views of its conversation stop there (see table `parked`)",
];

/// A message as a node would publish it, except for the fields of the case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    #[serde(default = "timeline")]
    lane: String,
    subject: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    drop: Vec<String>,
    data: Option<String>,
    #[serde(default)]
    twice: bool,
    outcome: Outcome,
    /// The type that clients receive, or a part of the reason.
    says: Option<String>,
}

fn timeline() -> String {
    "timeline".to_owned()
}

/// The outcome of a message.
#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// nats-server refuses it.
    Refused,
    /// Clients receive it as an event, and its text is in the views.
    Shown,
    /// Clients receive it, and the views have no text of it.
    Told,
    /// It has no effect anywhere.
    Void,
    /// It cannot be read, so the views of its conversation are stopped. Clients receive the events after it.
    Parked,
    /// Clients receive it, and the views of its conversation are stopped, because Postgres refuses it.
    NotKept,
    /// It cannot be read, and no conversation waits for it.
    Alone,
    /// Nodes skip it, because it is not an event of the log.
    Ignored,
}

impl Outcome {
    fn is_parked(self) -> bool {
        matches!(self, Self::Parked | Self::NotKept | Self::Alone)
    }
}

const HEADERS: [(&str, &str); 7] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "${id}"),
    ("ce-type", "verbatim.message.sent.v1"),
    ("ce-source", "/conversations/${conversation}"),
    ("ce-time", "2026-11-24T13:10:00.123Z"),
    ("ce-datacontenttype", "application/json"),
    ("ce-actor", "${ana}"),
];
const DATA: &str = r#"{"message_id":"${message_id}","client_id":"${key}","text":"planted"}"#;

/// A running world, with a socket that receives everything.
struct Listening {
    world: World,
    jetstream: jetstream::Context,
    ana: Person,
    ben: Person,
    eve: Person,
    device: Device,
}

impl Listening {
    async fn begins() -> Self {
        let world = World::start().await;
        let (ana, ben, eve) =
            (world.person("ana").await, world.person("ben").await, world.person("eve").await);
        let jetstream = jetstream::new(world.nats.client(NatsUser::Verbatim).await);
        let device = ben.connects().await;
        Self { world, jetstream, ana, ben, eve, device }
    }

    /// Publishes each case of a table, and returns all differences.
    async fn plays(&mut self, table: &str) -> Vec<String> {
        let mut different = Vec::new();
        for Case { name, input, .. } in cases::<Published>(table) {
            different.extend(self.tries(&input).await.err().map(|what| format!("{name}: {what}")));
            if !self.world.nodes[0].lives().await {
                different.push(format!("{name}: the node has ended"));
                break;
            }
        }
        different
    }

    async fn tries(&mut self, case: &Published) -> Verdict {
        let lunch = self.ana.starts_group("Lunch", &[&self.ben]).await;
        self.ana.says(&lunch, "before").await;
        let before = self.head().await;
        let published = self.publishes(&lunch, case).await;
        let expected = before + u64::from(!matches!(case.outcome, Outcome::Refused | Outcome::Ignored));
        let head = self.head().await;
        let last = self.ana.says(&lunch, &format!("after {}", lunch.id)).await["position"].as_u64();
        self.device.sees(&format!("after {}", lunch.id)).await;
        same("the head of the log", head, expected).map_err(|why| format!("{why}: {published:?}"))?;
        if case.outcome == Outcome::Refused {
            let why = published.err().unwrap_or_default();
            let says = case.says.as_deref().unwrap_or_default();
            return if why.contains(says) { Ok(()) } else { Err(format!("it is refused by {why}")) };
        }
        published?;
        let told = self.device.seen.iter().find(|frame| frame["op"] == "event" && frame["position"] == head);
        let is_told = matches!(case.outcome, Outcome::Shown | Outcome::Told | Outcome::NotKept);
        if case.outcome != Outcome::Ignored {
            same("whether clients are told", told.is_some(), is_told)?;
        }
        if let (Outcome::Told, Some(kind), Some(told)) = (case.outcome, &case.says, told) {
            same("the type", told["type"].as_str(), Some(&**kind))?;
        }
        self.in_views(&lunch, head, last.unwrap_or_default(), case).await
    }

    /// Checks the views.
    async fn in_views(&self, lunch: &Conversation, at: u64, last: u64, case: &Published) -> Verdict {
        let behind = format!("select count(*) from view.checkpoint where position < {last}");
        eventually("the views have caught up", || async {
            self.world.database.finds::<i64>(&behind).await == 0
        })
        .await;
        let reason = format!(
            "select coalesce((select reason || case when conversation is null then ' (alone)' else '' end
             from view.parked where position = {at}), '')"
        );
        let reason: String = self.world.database.finds(&reason).await;
        let is_parked = case.outcome.is_parked();
        same("whether it is parked", !reason.is_empty(), is_parked)
            .map_err(|why| format!("{why} {reason}"))?;
        if is_parked {
            same("whether nobody waits", reason.ends_with("(alone)"), case.outcome == Outcome::Alone)?;
            let says = case.says.as_deref().unwrap_or_default();
            if !reason.contains(says) {
                return Err(format!("it is parked because {reason}"));
            }
        }
        let texts = self.ana.history(lunch, 0).await.len();
        let expected = match case.outcome {
            Outcome::Parked | Outcome::NotKept => 1,
            Outcome::Shown => 3,
            _ => 2,
        };
        same("how many texts there are", texts, expected)
    }

    async fn head(&self) -> u64 {
        let stream = self.jetstream.get_stream("CHAT_0").await.expect("the stream");
        stream.cached_info().state.last_sequence
    }

    /// Publishes it, once or twice.
    async fn publishes(&self, lunch: &Conversation, case: &Published) -> Result<(), String> {
        let id = || uuid::Uuid::now_v7().to_string();
        let shard = &lunch.id[lunch.id.len() - 2..];
        let template = Template::default()
            .with("conversation", &*lunch.id)
            .with("CONVERSATION", lunch.id.to_uppercase())
            .with("shard", shard)
            .with("other_shard", if shard == "00" { "01" } else { "00" })
            .with("position", lunch.position.to_string())
            .with("id", id())
            .with("message_id", id())
            .with("missing", id())
            .with("key", key())
            .with("ana", &*self.ana.id)
            .with("ben", &*self.ben.id)
            .with("eve", &*self.eve.id);
        let mut headers = HeaderMap::new();
        let kept = HEADERS.iter().filter(|(name, _)| !case.drop.iter().any(|dropped| dropped == name));
        let set = case.set.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in kept.copied().chain(set) {
            headers.insert(name, &*template.fill(value));
        }
        let subject =
            case.subject.clone().unwrap_or(format!("chat.${{shard}}.${{conversation}}.{}", case.lane));
        let subject = template.fill(&subject);
        let data = template.fill_bytes(case.data.as_deref().unwrap_or(DATA));
        if case.outcome == Outcome::Ignored {
            let client = self.world.nats.client(NatsUser::Verbatim).await;
            client.publish_with_headers(subject, headers, data.into()).await.map_err(|e| e.to_string())?;
            return client.flush().await.map_err(|e| e.to_string());
        }
        for _ in 0..1 + usize::from(case.twice) {
            let published =
                self.jetstream.publish_with_headers(subject.clone(), headers.clone(), data.clone().into());
            let stored = published.await.map_err(|e| format!("{e:?}"))?;
            stored.await.map_err(|e| format!("{e:?}"))?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn events_that_are_wrong_harm_their_own_conversation_at_most() {
    let table = include_str!("../../bad_input/events.toml");
    let mut listening = Listening::begins().await;
    let different = listening.plays(table).await;
    assert!(different.is_empty(), "{}", different.join("\n"));
    let parked = cases::<Published>(table).iter().filter(|case| case.input.outcome.is_parked()).count();
    let (verified, warning) =
        (listening.world.runs(&["verify"]).await, format!("{parked} events are parked"));
    assert!(verified.code == Some(0) && verified.stdout.contains(&warning), "{verified:?}");
    listening.world.finish_with_errors(&MEANT).await;
}

#[tokio::test]
async fn a_wrong_outcome_of_an_event_is_reported_by_its_name() {
    let table = r#"case = [
        { name = "right", outcome = "shown" },
        { name = "shown and not told", outcome = "told" },
        { name = "shown and not void", outcome = "void" },
        { name = "taken and not refused", outcome = "refused" },
        { name = "parked and not shown", drop = ["ce-type"], outcome = "shown" },
        { name = "parked and not alone", drop = ["ce-type"], outcome = "alone", says = "ce-type" },
        { name = "another reason", drop = ["ce-type"], outcome = "parked", says = "ce-id" },
        { name = "another type", set = { ce-type = "verbatim.message.sent.v2" }, outcome = "told", says = "message.sent" },
        { name = "refused and not shown", subject = "chat.00.lunch.sealed", outcome = "shown" },
    ]"#;
    let mut listening = Listening::begins().await;
    let different = listening.plays(table).await;
    let names: Vec<&str> =
        different.iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    let expected: Vec<String> =
        cases::<Published>(table).into_iter().map(|case| case.name).filter(|name| name != "right").collect();
    assert_eq!(names, expected, "{different:#?}");
    listening.world.finish_with_errors(&MEANT).await;
}
