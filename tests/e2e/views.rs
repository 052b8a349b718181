//! The views are disposable: they are rebuilt from the log while people send messages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{HeaderMap, jetstream};
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use verbatim::{
    app,
    dev::NatsUser,
    domain::{ContentErased, ConversationId, ErasedEntry, Event, EventId, Lane, Position, Recorded, UserId},
    log::{Log, Wanted},
    projector,
    supervise::Supervisor,
    views,
};

use crate::world::{Conversation, Person, World, a_message, drafted, eventually, rows_of};

/// A task that sends and reads without a pause.
struct Talk {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    talking: tokio::task::JoinHandle<Vec<String>>,
}

/// Starts such a task. Every send has to succeed; a read succeeds or is refused temporarily.
fn talk(person: &Person, to: &Conversation) -> Talk {
    let (stop, refused) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let (person, to, stopped, counted) = (person.clone(), to.clone(), stop.clone(), refused.clone());
    let talking = tokio::spawn(async move {
        let mut said = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            let text = format!("{} {}", person.name, said.len());
            let position = person.says(&to, &text).await["position"].as_u64().expect("position");
            said.push(text);
            // Receipts are announced at most once a second.
            if said.len() % 10 == 1 {
                person.reads(&to, position).await;
            }
            for path in ["", "/members", "/messages", "/receipts"] {
                let answer = person.get(&format!("/v1/conversations/{}{path}", to.id)).await;
                if answer.status != 200 {
                    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
                    assert!([Some("unavailable"), Some("not_yet")].contains(&answer.body["code"].as_str()));
                    assert_eq!(answer.status, 503);
                    println!("refused: {answer:?}");
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        said
    });
    Talk { stop, refused, talking }
}

impl Talk {
    /// Stops the task. Returns its texts, and the number of refused reads.
    async fn ends(self) -> (Vec<String>, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let said = self.talking.await.expect("no request failed");
        (said, self.refused.load(Ordering::Relaxed))
    }
}

/// All texts of a conversation, once the view has all of them.
async fn all_texts(person: &Person, of: &Conversation) -> Vec<String> {
    let mut texts = Vec::new();
    let last = person.says(of, "the last").await["position"].as_u64().expect("position");
    let mut after = 0;
    loop {
        let path =
            format!("/v1/conversations/{}/messages?after={after}&limit=200&min_position={last}", of.id);
        eventually("the view has come that far", || async { person.get(&path).await.status == 200 }).await;
        let page = person.get(&path).await.expect(200);
        let items = page["items"].as_array().expect("items").clone();
        for item in &items {
            texts.push(item["text"].as_str().expect("text").to_owned());
            after = item["position"].as_u64().expect("position");
        }
        if items.is_empty() || after >= last {
            texts.pop();
            return texts;
        }
    }
}

#[tokio::test]
async fn a_rebuild_beside_sends_loses_nothing_and_refuses_nobody() {
    let world = World::with_streams(4).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (lunch, dinner) =
        (ana.starts_group("Lunch", &[&ben]).await, ben.starts_group("Dinner", &[&ana]).await);
    let talks = [talk(&ana, &lunch), talk(&ben, &dinner)];
    let made = definitions(&world).await;
    assert!(made.iter().any(|line| line.contains("message_words")), "{made:#?}");
    for view in ["all", "messages", "members", "conversations", "receipts", "all"] {
        let ran = world.runs(&["rebuild", view]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.starts_with(&format!("rebuilt {view}: ")), "{ran:?}");
        assert_eq!(definitions(&world).await, made, "{view} is made otherwise");
        let ran = world.runs(&["verify"]).await;
        assert_eq!(ran.code, Some(0), "after {view}: {ran:?}");
    }
    let [first, second] = talks;
    let ((at_lunch, refused_ana), (at_dinner, refused_ben)) = (first.ends().await, second.ends().await);
    assert_eq!((refused_ana, refused_ben), (0, 0), "a read was refused");
    assert!(at_lunch.len() > 10, "nothing went on beside the rebuild");
    assert_eq!(all_texts(&ana, &lunch).await, at_lunch);
    assert_eq!(all_texts(&ben, &dinner).await, at_dinner);
    assert_no_leftovers(&world).await;
    world.finish().await;
}

/// The definitions of the live views: columns, constraints and indexes, one a line.
async fn definitions(world: &World) -> Vec<String> {
    let lines = "select concat_ws(' ', table_name, ordinal_position, column_name, data_type, collation_name,
                                  is_nullable, column_default) as line
         from information_schema.columns where table_schema = 'view'
         union all
         select concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated)
         from pg_constraint where connamespace = 'view'::regnamespace
         union all
         select concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, indisready)
         from pg_index join pg_class on pg_class.oid = indexrelid where relnamespace = 'view'::regnamespace
         union all
         select obj_description('view'::regnamespace, 'pg_namespace')";
    world.database.finds(&format!("select array_agg(line order by line) from ({lines}) l")).await
}

async fn assert_no_leftovers(world: &World) {
    let left: Vec<String> = world
        .database
        .finds(
            "select coalesce(array_agg(nspname::text), '{}') from pg_namespace where nspname like 'view\\_%'",
        )
        .await;
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupted_rebuild_changes_nothing_and_the_next_begins_anew() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let last = ana.says(&notes, "one").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&notes, last).await, ["one"]);

    // The story locks the live checkpoints, so that the rebuild gets as far as it can and waits.
    let mut holder = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect(&world.database.url)
        .await
        .expect("Postgres")
        .begin()
        .await
        .expect("a transaction");
    sqlx::query("select from view.checkpoint for update").execute(&mut *holder).await.expect("a lock");
    let mut first = world.starts(&["rebuild", "all"]);
    eventually("it has built beside the live views", || async {
        let there: bool =
            world.database.finds("select to_regclass('view_rebuild.message') is not null").await;
        there && world.database.finds::<i64>("select count(*) from view_rebuild.message").await == 1
    })
    .await;
    for second in [&["rebuild", "messages"][..], &["verify"]] {
        let refused = world.runs(second).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("wait until that command has ended"), "{refused:?}");
    }
    first.kill().await.expect("kill -9");
    holder.rollback().await.expect("rollback");

    let last = ana.says(&notes, "two").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&notes, last).await, ["one", "two"]);
    eventually("the lock has gone with the killed one", || async {
        let ran = world.runs(&["rebuild", "all"]).await;
        assert!(ran.code == Some(0) || ran.stderr.contains("wait until that command has ended"), "{ran:?}");
        ran.code == Some(0)
    })
    .await;
    assert_no_leftovers(&world).await;
    assert_eq!(world.runs(&["rebuild", "weather"]).await.code, Some(2));
    world.finish().await;
}

#[tokio::test]
async fn a_rebuilt_view_has_what_was_said_while_it_waited_for_its_place() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let last = ana.says(&notes, "one").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&notes, last).await, ["one"]);
    for (view, table) in [("conversations", "conversation"), ("rosters", "roster")] {
        let pool = sqlx::PgPool::connect(&world.database.url).await.expect("Postgres");
        let mut reader = pool.begin().await.expect("a transaction");
        let lock = format!("lock table view.{table} in access share mode");
        sqlx::query(sqlx::AssertSqlSafe(lock)).execute(&mut *reader).await.expect("a lock");
        let rebuild = world.starts(&["rebuild", view]);
        eventually("it is built and waits", || async {
            let there: bool =
                world.database.finds("select to_regclass('view_rebuild.conversation') is not null").await;
            there && world.database.finds::<i64>("select count(*) from view_rebuild.conversation").await == 1
        })
        .await;
        let last = ana.says(&notes, "meanwhile").await["position"].as_u64().expect("position");
        ana.history(&notes, last).await;
        reader.rollback().await.expect("rollback");
        let ended = rebuild.wait_with_output().await.expect("it ends");
        assert!(ended.status.success(), "{ended:?}");
        let ran = world.runs(&["verify"]).await;
        assert_eq!(ran.code, Some(0), "after {view}: {ran:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn damage_is_named_and_a_rebuild_heals_it() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    for text in ["one", "two", "three"] {
        let position = ana.says(&lunch, text).await["position"].as_u64().expect("position");
        ben.reads(&lunch, position).await;
        assert_eq!(ana.history(&lunch, position).await.last().map(String::as_str), Some(text));
    }
    let fine = world.runs(&["verify"]).await;
    assert_eq!(fine.code, Some(0), "{fine:?}");
    assert!(fine.stdout.contains("rows match the log"), "{fine:?}");

    world
        .database
        .does(
            "update view.message set text = 'forged' where text = 'two';
             delete from view.member where role = 'member';
             insert into view.receipt (conversation_id, user_id, delivered, read)
             select id, gen_random_uuid(), 7, 7 from view.conversation;
             delete from view.message where text = 'three'",
        )
        .await;
    let damaged = world.runs(&["verify"]).await;
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    let said = &damaged.stdout;
    assert!(said.contains("\"text\": \"forged\"") && said.contains("\"text\": \"two\""), "{said}");
    assert!(said.contains("\"text\": \"three\"") && said.contains("the view has nothing"), "{said}");
    assert!(said.contains("DIFFERS  member") && said.contains(&ben.id), "{said}");
    assert!(said.contains("DIFFERS  receipt") && said.contains("the log says nothing"), "{said}");
    assert!(said.contains("message: 2 rows differ") && said.contains("4 rows differ"), "{said}");
    assert!(!said.contains("DIFFERS  conversation"), "{said}");
    assert!(
        said.contains("`verbatim rebuild messages`") && !said.contains("rebuild conversations"),
        "{said}"
    );
    let refused = world.runs(&["rebuild", "messages", "--force"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("only with `all`"), "{refused:?}");

    for view in ["messages", "members"] {
        assert_eq!(world.runs(&["rebuild", view]).await.code, Some(0));
    }
    let healed = world.runs(&["verify"]).await;
    assert!(healed.code == Some(1) && healed.stdout.contains("receipt: 1 rows differ"), "{healed:?}");
    assert!(!healed.stdout.contains("DIFFERS  me"), "{healed:?}");
    assert_eq!(world.runs(&["rebuild", "all"]).await.code, Some(0));
    assert_eq!(world.runs(&["verify"]).await.code, Some(0));
    world.finish().await;
}

#[tokio::test]
async fn dropped_views_come_back_while_people_talk() {
    let world = World::with_streams(2).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let talk = talk(&ana, &lunch);
    for dropped in ["schema view cascade", "table view.member", "table view.checkpoint"] {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.database.does(&format!("drop {dropped}")).await;
        eventually("the views are there again", || async {
            world.database.finds("select to_regclass('view.member') is not null").await
                && ana.get(&format!("/v1/conversations/{}", lunch.id)).await.status == 200
        })
        .await;
    }
    let (said, _) = talk.ends().await;
    assert_eq!(all_texts(&ana, &lunch).await, said);

    // The loss is noticed even without events. The projector checks its views every second, so a request
    // may come too late to be refused: the table is dropped again until one is in time.
    let receipts = format!("/v1/conversations/{}/receipts", lunch.id);
    for attempt in 1.. {
        world.database.does("drop table view.receipt").await;
        let asked = ben.get(&receipts).await;
        eventually("the view is there again", || async { ben.get(&receipts).await.status == 200 }).await;
        if asked.status != 200 {
            asked.refuses(503, "unavailable");
            break;
        }
        assert!(attempt < 20, "a question to a table that is not there was never refused");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_retry_is_known_also_when_the_views_are_begun_anew() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let first = ana.sends(&notes, "the-first-of-all", "once").await.expect(201);
    let last = ana.says(&notes, "more").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&notes, last).await, ["once", "more"]);
    assert_eq!(
        ana.sends(&notes, "the-first-of-all", "once").await.expect(201)["position"],
        first["position"]
    );
    world.the_log_forgets_keys().await;

    // The new set is complete and empty, at the positions of the old one. Only its number shows that it is another.
    world
        .database
        .does(
            "create table view.again (like view.checkpoint including all);
             insert into view.again select * from view.checkpoint;
             delete from view.message;
             drop table view.checkpoint; alter table view.again rename to checkpoint",
        )
        .await;
    let again = ana.sends(&notes, "the-first-of-all", "once").await.expect(201);
    assert_eq!(again["position"], first["position"], "it was sent twice");
    assert_eq!(world.runs(&["rebuild", "all"]).await.code, Some(0));
    world.finish().await;
}

#[tokio::test]
async fn a_key_that_the_log_has_twice_is_shown_twice_and_answers_its_first_event() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let log = Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log");
    let mut stored = Vec::new();
    for text in ["first", "second"] {
        // Without a key for JetStream, the log accepts the second message too, which no node would send like this.
        let draft = drafted(&notes, &ana, a_message("the-same-key", text));
        stored.push(log.append(&draft).await.expect("stored").position.0);
    }
    let last = ana.says(&notes, "last").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&notes, last).await, ["first", "second", "last"]);
    assert_eq!(ana.sends(&notes, "the-same-key", "first").await.expect(201)["position"], stored[0]);
    let made = definitions(&world).await;
    for view in ["all", "messages"] {
        assert_eq!(world.runs(&["rebuild", view]).await.code, Some(0));
        assert_eq!(ana.history(&notes, last).await, ["first", "second", "last"]);
        assert_eq!(definitions(&world).await, made);
    }
    assert_eq!(world.runs(&["verify"]).await.code, Some(0));
    world.finish().await;
}

/// Publishes a broken message on the subject of a conversation's events.
async fn spoil(world: &World, conversation: &Conversation) {
    let jetstream = jetstream::new(world.nats.connect(NatsUser::Verbatim).await.expect("NATS"));
    let shard = &conversation.id[conversation.id.len() - 2..];
    let mut headers = HeaderMap::new();
    headers.insert("ce-type", "verbatim.message.sent.v1");
    let subject = format!("chat.{shard}.{}.timeline", conversation.id);
    let published = jetstream.publish_with_headers(subject, headers, "{\"text\":".into()).await;
    published.expect("published").await.expect("stored");
}

#[tokio::test]
async fn poison_parks_its_conversation_and_no_other() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (lunch, dinner) =
        (ana.starts_group("Lunch", &[&ben]).await, ana.starts_group("Dinner", &[&ben]).await);
    let mut device = ben.connects().await;
    let before = ana.says(&lunch, "before").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&lunch, before).await, ["before"]);
    world.nodes[0].is_ready().await;
    spoil(&world, &lunch).await;

    let said = ana.says(&lunch, "after").await;
    let after = said["position"].as_u64().expect("position");
    let other = ana.says(&dinner, "elsewhere").await["position"].as_u64().expect("position");
    device.sees("after").await;
    device.sees("elsewhere").await;
    assert_eq!(ana.history(&dinner, other).await, ["elsewhere"]);
    let waits = ana.get(&format!("/v1/conversations/{}/messages?min_position={after}", lunch.id)).await;
    waits.refuses(503, "not_yet");
    let id = said["id"].as_str().expect("an id");
    let like = format!("/v1/conversations/{}/messages/{id}/reactions/👍", lunch.id);
    ana.put(&like, serde_json::json!({})).await.refuses(503, "unavailable");
    assert_eq!(ana.history(&lunch, 0).await, ["before"]);
    let says_its_moment = async |of: &Conversation| {
        let page = ana.get(&format!("/v1/conversations/{}/messages", of.id)).await;
        page.headers.contains_key("verbatim-position") && page.headers.contains_key("verbatim-cursor")
    };
    assert!(says_its_moment(&dinner).await && !says_its_moment(&lunch).await, "a page of what stands still");
    let has_cursor = async |who: &Person| {
        who.get("/v1/conversations?limit=1").await.headers.contains_key("verbatim-cursor")
    };
    // Dinner alone is on the page, and the cursor would skip what lunch lacks.
    let eve = world.person("eve").await;
    assert!(!has_cursor(&ana).await && has_cursor(&eve).await);
    // Eve's list asks the log for nothing, although lunch is not hers.
    world.nats.freeze();
    let has_one = has_cursor(&eve).await;
    world.nats.thaw();
    assert!(has_one, "a list of a user who has nothing to do with what is parked");
    eventually("the node warns of what is parked", || async {
        let (status, body) = world.nodes[0].readiness().await;
        assert_eq!((status, body["status"].as_str()), (200, Some("ready")), "{body}");
        body["warning"].as_str().is_some_and(|warning| warning.contains("1 events are parked"))
    })
    .await;
    assert_eq!(world.nodes[0].metric("verbatim_parked_conversations ").await, 1);
    world.nodes[0].fires("VerbatimConversationParked").await;
    assert!(world.nodes[0].metric("verbatim_poison_events_total ").await >= 1);
    let reason: String = world.database.finds("select reason from view.parked").await;
    assert!(reason.contains("message.sent"), "{reason}");

    // A node that starts later copes with it, too: it reads the conversation from the log.
    world.nodes[0].stop().await;
    world.add_node("api,gateway,projector").await;
    let (ana, ben) = (ana.at(world.nodes[1].address), ben.at(world.nodes[1].address));
    let mut device = ben.connects().await;
    ana.says(&lunch, "still here").await;
    device.sees("still here").await;
    assert_eq!(world.database.finds::<i64>("select count(*) from view.parked").await, 1);
    let verified = world.runs(&["verify"]).await;
    assert!(verified.code == Some(0) && verified.stdout.contains("1 events are parked"), "{verified:?}");
    let status = world.runs(&["status"]).await.stdout;
    assert!(status.contains("parked 1 conversations, by 1 events"), "{status}");
    assert!(status.contains("  sessions "), "{status}");
    assert_eq!(world.runs(&["rebuild", "all"]).await.code, Some(0));
    let meant = [
        "could not read an event; skipped it",
        "could not apply an event; the views of its conversation stop there (see table `parked`)",
    ];
    world.finish_with_errors(&meant).await;
}

#[tokio::test]
async fn what_postgres_refuses_is_parked_and_taken_up_when_it_does_not_any_more() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let (lunch, dinner) =
        (ana.starts_group("Lunch", &[&ben]).await, ana.starts_group("Dinner", &[&ben]).await);
    let first = ana.says(&lunch, "first").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&lunch, first).await, ["first"]);
    world.database.does("alter table view.message add constraint taste check (text <> 'pineapple')").await;

    ana.says(&dinner, "good").await;
    ana.says(&lunch, "pineapple").await;
    ana.says(&lunch, "waits").await;
    let last = ana.says(&dinner, "goes on").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&dinner, last).await, ["good", "goes on"]);
    assert_eq!(ana.history(&lunch, 0).await, ["first"]);
    let reason: String = world.database.finds("select reason from view.parked").await;
    assert!(reason.contains("taste"), "{reason}");

    world.nodes[0].stop().await;
    world.database.does("alter table view.message drop constraint taste").await;
    world.add_node("api,gateway,projector").await;
    let ana = ana.at(world.nodes[1].address);
    let last = ana.says(&lunch, "all of it").await["position"].as_u64().expect("position");
    assert_eq!(ana.history(&lunch, last).await, ["first", "pineapple", "waits", "all of it"]);
    assert_eq!(world.database.finds::<i64>("select count(*) from view.parked").await, 0);
    world.nodes[1].is_ready().await;
    world.views_equal_a_rebuild().await;
    let meant = "could not apply an event; the views of its conversation stop there (see table `parked`)";
    world.finish_with_errors(&[meant]).await;
}

/// Erases 5,000 edits in a conversation that has 20,000 keys of erased messages and 10,000 other keys, in a transaction
/// that is rolled back.
async fn erasing_reads_only_what_is_erased(connection: &mut PgConnection) {
    let (conversation, actor) = (Uuid::now_v7(), Uuid::now_v7());
    let erased = |position: u64| ErasedEntry {
        position: Position(position),
        id: EventId::known(Uuid::nil()),
        kind: "message.edited".into(),
        lane: "timeline".into(),
        actor: UserId::known(actor),
        time: "2026-11-24T13:10:00.000Z".parse().expect("time"),
        message_id: None,
        message_position: Some(Position(1)),
        client_hash: Some(format!("of-{position}")),
        counts: true,
        data: None,
    };
    let tells = |part: u64| {
        let entries = (1..=200).map(|number| erased(part * 200 + number)).collect();
        let event = ContentErased { request_id: Uuid::nil(), reason: "retention".into(), erased: entries };
        views::Fact {
            recorded: Recorded {
                position: Position(100_000 + part),
                conversation: ConversationId::known(conversation),
                lane: Lane::Control,
                id: EventId::known(Uuid::nil()),
                actor: UserId::known(actor),
                via: None,
                time: "2026-11-24T13:10:00.000Z".parse().expect("time"),
                word: "content.erased".into(),
                event: Some(Event::ContentErased(event)),
                data: bytes::Bytes::new(),
                poison: None,
                erased: None,
            },
            counts: true,
            changes: 1,
            snapshot: None,
        }
    };
    let keys = views::ALL.iter().find(|projection| projection.name == "keys").expect("it is there");
    let mut transaction = connection.begin().await.expect("a transaction");
    // A projector plans once, while the table is small.
    sqlx::raw_sql("set local plan_cache_mode = force_generic_plan; analyze key")
        .execute(&mut *transaction)
        .await
        .expect("set");
    (keys.apply)(&mut transaction, &[tells(100)]).await.expect("nothing is there to erase");
    sqlx::query(
        "insert into key select $1, $2, 'erased:' || n, 20000 + n from generate_series(1, 20000) n
         union all select $1, $2, 'key-' || n, n from generate_series(1, 10000) n",
    )
    .bind(conversation)
    .bind(actor)
    .execute(&mut *transaction)
    .await
    .expect("inserted");
    let read = "select (seq_tup_read + idx_tup_fetch)::bigint from pg_stat_xact_user_tables
                where relid = 'key'::regclass";
    let before: i64 = sqlx::query_scalar(read).fetch_one(&mut *transaction).await.expect("counts");
    let facts: Vec<_> = (0..25).map(tells).collect();
    (keys.apply)(&mut transaction, &facts).await.expect("erased");
    let after: i64 = sqlx::query_scalar(read).fetch_one(&mut *transaction).await.expect("counts");
    // Each row is found, and then deleted.
    assert!(after - before <= 3 * 5_000, "{} rows were read to erase 5,000 of 30,000", after - before);
    let left: Vec<(bool, i64)> = sqlx::query_as(
        "select client_id like 'erased:of-%', count(*) from key
         where conversation_id = $1 and position <= 10000 group by 1 order by 1",
    )
    .bind(conversation)
    .fetch_all(&mut *transaction)
    .await
    .expect("rows");
    assert_eq!(left, [(false, 5_000), (true, 5_000)], "the hashes take the place of the erased keys");
    transaction.rollback().await.expect("rolled back");
}

#[tokio::test]
async fn the_views_of_another_version_are_built_and_kept_beside_these() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    ana.says(&lunch, "before").await;

    let pool = app::database_with(&world.database.url, 2, "view_2".into()).await.expect("Postgres");
    let log = Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log");
    let stop = CancellationToken::new();
    let projecting = projector::project(log.clone(), pool.clone(), "view_2".into(), 0, stop.clone());
    let projecting = tokio::spawn(projecting);
    let progress = views::Progress::new(pool.clone());
    for text in ["beside", "after"] {
        let last = ana.says(&lunch, text).await["position"].as_u64().expect("position");
        assert!(ana.history(&lunch, last).await.ends_with(&[text.to_owned()]), "the first set serves");
        eventually("the second set has caught up", || async {
            progress.positions().await.is_ok_and(|at| at.get(&0).is_some_and(|at| at.0 >= last))
        })
        .await;
        assert_eq!(rows_of(&world.database, "view").await, rows_of(&world.database, "view_2").await);
    }
    stop.cancel();
    projecting.await.expect("the projection ends");
    let mut connection = pool.acquire().await.expect("a connection");
    erasing_reads_only_what_is_erased(&mut connection).await;
    views::discard(&mut connection, "view_2").await.expect("it is not needed any more");
    drop(connection);
    pool.close().await;
    world.finish().await;
}
