//! The permissions of the NATS users.

use std::{collections::BTreeSet, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event, ServerError,
    jetstream::{
        self, AckKind,
        consumer::{Consumer, pull},
        stream::Config,
    },
};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::{sync::watch, time::timeout};
use verbatim::dev::NatsUser;

use crate::world::{PATIENCE, World, eventually};

/// A connection that records refusals.
struct Tried {
    client: Client,
    refused: watch::Receiver<BTreeSet<String>>,
}

impl Tried {
    async fn by(world: &World, user: NatsUser) -> Self {
        let (told, refused) = watch::channel(BTreeSet::new());
        let url = world.nats.url_of(user);
        let (user_and_password, host) = url["nats://".len()..].rsplit_once('@').expect("credentials");
        let (name, password) = user_and_password.split_once(':').expect("a password");
        let options = ConnectOptions::with_user_and_password(name.into(), password.into())
            .custom_inbox_prefix(format!("_INBOX_{name}"))
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(said)) = event {
                    told.send_modify(|all| _ = all.insert(said));
                }
                std::future::ready(())
            });
        Self { client: options.connect(host).await.expect("NATS"), refused }
    }

    /// Sends a request that nats-server has to refuse.
    async fn may_not(&self, subject: &str, payload: &str) {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.expect("its own inbox");
        let asked = self.client.publish_with_reply(subject.to_owned(), inbox, payload.to_owned().into());
        asked.await.expect("sent");
        let what = format!("Permissions Violation for Publish to \"{subject}\"");
        let mut refused = self.refused.clone();
        let told = timeout(PATIENCE, refused.wait_for(|all| all.contains(&what))).await;
        let answer = timeout(Duration::ZERO, answers.next()).await;
        assert!(told.is_ok(), "{subject} is not refused; the answer was {answer:?}");
        assert!(answer.is_err(), "{subject} has an answer: {answer:?}");
    }
}

async fn durable(world: &World, name: &str) {
    let operator = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let config = pull::Config { durable_name: Some(name.into()), ..pull::Config::default() };
    operator.create_consumer_on_stream(config, "CHAT_0").await.expect("an operator may");
}

#[tokio::test]
async fn a_reader_gets_what_its_durable_has_and_nothing_of_others() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    for text in ["one", "two", "three", "four"] {
        ana.says(&notes, text).await;
    }
    durable(&world, "reader").await;
    durable(&world, "archive").await;

    let reader = Tried::by(&world, NatsUser::Reader).await;
    let log = jetstream::with_prefix(reader.client.clone(), "log.api");
    let stream = log.get_stream_no_info("CHAT_0").await.expect("no question is asked");
    let consumer: Consumer<pull::Config> = stream.get_consumer("reader").await.expect("its own durable");
    let mut events = consumer.messages().await.expect("events");
    for position in 1..=3 {
        let event = timeout(PATIENCE, events.next()).await.expect("in time").expect("one").expect("an event");
        assert_eq!(event.info().expect("info").stream_sequence, position);
        event.double_ack().await.expect("an acknowledgement that is confirmed");
    }
    // This is the longer form of an acknowledgement, which newer servers will expect.
    let event = timeout(PATIENCE, events.next()).await.expect("in time").expect("one").expect("an event");
    let reply = event.reply.clone().expect("a reply subject");
    let tokens = reply.strip_prefix("$JS.ACK.").expect("an acknowledgement");
    let longer = format!("$JS.ACK._.ABCDEF.{tokens}.random");
    reader.client.publish(longer, "+ACK".into()).await.expect("sent");
    event.ack_with(AckKind::Progress).await.expect("sent");
    reader.client.flush().await.expect("the server has read it");
    assert!(reader.refused.borrow().is_empty(), "{:?}", reader.refused.borrow());

    // It has no access to the durables of others, with either form of an acknowledgement, or to the contents of
    // streams.
    for subject in [
        "$JS.ACK.CHAT_0.archive.1.reader.1.1.0",
        "$JS.ACK.CHAT_0.archive.1.1.1.1.0",
        "$JS.ACK._.reader.CHAT_0.archive.1.1.1.1.0",
        "$JS.ACK._.reader.CHAT_0.archive.1.1.1.1.0.random",
        "log.api.CONSUMER.MSG.NEXT.CHAT_0.archive",
        "log.api.CONSUMER.INFO.CHAT_0.archive",
        "$JS.API.CONSUMER.MSG.NEXT.CHAT_0.archive",
    ] {
        reader.may_not(subject, "+NXT").await;
    }
    for stream in ["CHAT_0", "KV_verbatim_here", "PRESENCE"] {
        reader.may_not(&format!("log.api.STREAM.INFO.{stream}"), r#"{"subjects_filter":">"}"#).await;
    }
    reader.may_not(&format!("chat.00.{}.timeline", notes.id), "{}").await;
    world.finish().await;
}

#[tokio::test]
async fn the_nodes_may_neither_change_the_log_nor_take_anything_away_from_it() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    ana.says(&notes, "stays").await;
    let node = Tried::by(&world, NatsUser::Verbatim).await;
    let operator = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let info = async || operator.get_stream("CHAT_0").await.expect("the stream").cached_info().clone();
    let before = info().await;
    let emptied = Config { max_messages: 1, ..before.config.clone() };
    let emptied = serde_json::to_string(&emptied).expect("JSON");
    node.may_not("$JS.API.STREAM.UPDATE.CHAT_0", &emptied).await;
    for what in [
        "STREAM.UPDATE.PRESENCE",
        "STREAM.CREATE.CHAT_1",
        "STREAM.CREATE.OTHER",
        "STREAM.DELETE.CHAT_0",
        "STREAM.PURGE.CHAT_0",
        "STREAM.MSG.DELETE.CHAT_0",
        "STREAM.RESTORE.CHAT_0",
        "STREAM.SNAPSHOT.CHAT_0",
        "STREAM.PEER.REMOVE.CHAT_0",
        "STREAM.LEADER.STEPDOWN.CHAT_0",
        "CONSUMER.LEADER.STEPDOWN.CHAT_0.reader",
        "META.LEADER.STEPDOWN",
        "SERVER.REMOVE",
        "ACCOUNT.PURGE.CHAT",
    ] {
        node.may_not(&format!("$JS.API.{what}"), &json!({ "seq": 1 }).to_string()).await;
    }
    let after = info().await;
    assert_eq!((after.config, after.state.messages), (before.config, before.state.messages));
    world.finish().await;
}

#[tokio::test]
async fn a_node_that_may_not_make_the_log_says_who_does() {
    let mut world = World::without_a_log(4).await;
    let served = world.runs(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).await;
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(served.stderr.contains("Run `verbatim migrate`"), "{served:?}");
    assert!(served.stderr.contains("STREAM.CREATE.CHAT_0"), "{served:?}");

    let migrated = world.runs(&["migrate"]).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    world.add_node("api,gateway,projector").await;
    let ana = world.person("ana").await;
    ana.starts_group("Notes", &[]).await;

    // It may not correct a setting either, but it serves and logs a warning.
    world.nodes[0].stop().await;
    let operator = jetstream::new(world.nats.connect(NatsUser::Operator).await.expect("NATS"));
    let changes = async |name: &str, change: fn(Config) -> Config| {
        let stream = operator.get_stream(name).await.expect("the stream");
        operator.update_stream(change(stream.cached_info().config.clone())).await.expect("an operator may");
    };
    changes("CHAT_2", |config| Config { duplicate_window: Duration::from_secs(60), ..config }).await;
    // An older version made this stream with another age.
    changes("REPLAY", |config| Config { max_age: Duration::from_secs(86_400), ..config }).await;
    let node = world.add_node("api,gateway,projector").await;
    let told = || async {
        let wrong =
            "CHAT_2: duplicate_window is 60s and must be 120s; REPLAY: max_age is 86400s and must be 604800s";
        node.warnings().iter().any(|line| line["settings"] == wrong)
    };
    eventually("the wrong setting is told", told).await;
    let migrated = world.runs(&["migrate"]).await;
    for mended in
        ["CHAT_2: duplicate_window was 60s and is now 120s", "REPLAY: max_age was 86400s and is now 604800s"]
    {
        assert!(migrated.stdout.contains(mended), "{migrated:?}");
    }
    let again = world.runs(&["migrate"]).await;
    assert!(again.code == Some(0) && !again.stdout.contains("is now"), "{again:?}");
    world.finish().await;
}
