//! Rosters with a long past are read from snapshots on, with the same result as from all of their events.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::StreamExt as _;
use tokio::task::JoinHandle;
use verbatim::{
    app,
    clock::Clock,
    dev::NatsUser,
    domain::{
        ConversationId, ConversationUpdated, Event, EventId, MemberAdded, MemberRemoved, Position, Role,
        UserId,
    },
    log::{Draft, Log, Wanted},
    supervise::Supervisor,
};

use crate::world::{Backbone, Conversation, Person, Program, World};

/// The number of events of the roster.
const CHANGES: u64 = 700;

async fn opened(world: &World<impl Backbone>) -> Log {
    Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log is there")
}

/// Changes titles, adds and removes a member, and sends a message now and then.
async fn changes_often(log: &Log, ana: &Person, lunch: &Conversation) -> Position {
    let clock = Clock::system();
    let (id, actor): (ConversationId, UserId) = (lunch.id.parse().expect("id"), ana.id.parse().expect("id"));
    let mut last = log.fold(id, None).await.expect("the roster").roster;
    let mut guest = actor;
    for n in 1..CHANGES {
        if n % 10 == 0 {
            guest = clock.id(UserId::known);
        }
        let event = match n % 10 {
            3 => Event::MemberAdded(MemberAdded { user_id: guest, role: Role::Member, client_id: None }),
            8 if n % 20 > 10 => Event::MemberRemoved(MemberRemoved { user_id: guest, client_id: None }),
            _ => Event::ConversationUpdated(ConversationUpdated {
                title: Some(format!("Lunch {n}")),
                history: None,
                retention_s: None,
                client_id: None,
            }),
        };
        let (event_id, time) = (clock.id(EventId::known), clock.now());
        let draft =
            Draft { conversation: id, id: event_id, actor, time, event, key: None, via: None, trace: None };
        last = log.append_roster(&draft, last).await.expect("stored").position;
        if n % 100 == 0 {
            ana.says(lunch, "a word").await;
        }
    }
    last
}

/// Counts the requests for pages of rosters.
async fn counts_pages(world: &World<impl Backbone>) -> (Arc<AtomicUsize>, JoinHandle<()>) {
    let client = world.nats.client(NatsUser::Operator).await;
    let mut asked = client.subscribe("$JS.API.DIRECT.GET.>").await.expect("a subscription");
    client.flush().await.expect("nats-server knows of it");
    let count = Arc::<AtomicUsize>::default();
    let counted = count.clone();
    let task = tokio::spawn(async move {
        while let Some(request) = asked.next().await {
            if String::from_utf8_lossy(&request.payload).contains(".roster\"") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (count, task)
}

#[tokio::test]
async fn a_long_roster_is_read_from_a_snapshot_on_that_proves_itself() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let (cursor, id) = (ben.connects().await.cursor(), lunch.id.parse().expect("id"));
    let log = opened(&world).await;
    let last = changes_often(&log, &ana, &lunch).await;
    ana.get(&format!("/v1/conversations/{}?min_position={last}", lunch.id)).await.expect(200);

    let pool = app::database(&world.database.url, 2).await.expect("the database is there");
    let kept: i64 = sqlx::query_scalar("select count(*) from roster").fetch_one(&pool).await.expect("rows");
    assert_eq!(kept, (CHANGES / 256).cast_signed());
    let begins_with_one = opened(&world).await.with_snapshots(app::snapshots(&pool));
    for at in (1..=last.0).step_by(53).chain([last.0]).map(Position) {
        let (whole, short) = tokio::join!(log.fold(id, Some(at)), begins_with_one.fold(id, Some(at)));
        assert_eq!(short.expect("a fold"), whole.expect("a fold"), "at {at}");
    }

    // A node without the roster in memory reads the first page, and then from the last snapshot on.
    world.nodes[0].stop().await;
    world.nodes.clear();
    world.add_node("api,gateway,projector").await;
    let (ana, ben) = (ana.at(world.nodes[0].address), ben.at(world.nodes[0].address));
    let (pages, counting) = counts_pages(&world).await;
    ana.says(&lunch, "here again").await;
    let asked = pages.swap(0, Ordering::Relaxed);
    assert!((1..=6).contains(&asked), "{asked} pages were asked for");
    let mut device = ben.resumes(&cursor).await;
    device.gets("caught_up").await;
    assert_eq!(device.chain(&lunch).len() as u64, CHANGES - 1 + CHANGES.div_ceil(100));
    counting.abort();

    // A snapshot of another log is ignored.
    let foreign = "update roster set event = gen_random_uuid(), members = '{}', roles = '{}', sinces = '{}'";
    sqlx::query(foreign).execute(&pool).await.expect("changed");
    let whole = log.fold(id, None).await.expect("a fold");
    assert_eq!(begins_with_one.fold(id, None).await.expect("a fold"), whole);
    assert_eq!(world.runs(&["verify"]).await.code, Some(1));
    assert_eq!(world.runs(&["rebuild", "rosters"]).await.code, Some(0));
    pool.close().await;
    world.finish().await;
}

#[tokio::test]
async fn a_program_that_reads_the_log_asks_who_was_a_member_at_a_position() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await.person;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let said = ben.says(&lunch, "hello").await["position"].as_u64().expect("a position");
    ana.removes(&lunch, &ben).await.expect(204);
    let last = ana.says(&lunch, "gone").await["position"].as_u64().expect("a position");
    let path = format!("/v1/admin/conversations/{}/roster", lunch.id);
    let at = async |position: u64| operator.get(&format!("{path}?at={position}")).await;
    let members = |roster: &serde_json::Value| -> Vec<(String, String)> {
        let members = roster["members"].as_array().expect("members").iter();
        let text = |member: &serde_json::Value, field: &str| member[field].as_str().expect("text").to_owned();
        members.map(|member| (text(member, "user_id"), text(member, "role"))).collect()
    };
    let owner = (ana.id.clone(), "owner".to_owned());
    let mut both = vec![owner.clone(), (ben.id.clone(), "member".to_owned())];
    both.sort();
    let before = at(said).await.expect(200);
    assert_eq!((members(&before), before["position"].as_u64()), (both.clone(), Some(said)));
    assert_eq!(members(&at(last - 2).await.expect(200)), both, "until the event that removes");
    assert_eq!(members(&at(last - 1).await.expect(200)), std::slice::from_ref(&owner));
    let now = operator.get(&path).await.expect(200);
    assert_eq!((members(&now), &now["kind"]), (vec![owner], &"group".into()));
    let ahead = at(last + 1_000).await.refuses(400, "invalid_parameter");
    assert_eq!(
        (&ahead["errors"][0]["pointer"], &ahead["errors"][0]["code"]),
        (&"/at".into(), &"ahead_of_head".into())
    );
    at(0).await.refuses(404, "not_found");
    let nowhere = format!("/v1/admin/conversations/{}/roster", uuid::Uuid::now_v7());
    operator.get(&nowhere).await.refuses(404, "not_found");
    ana.get(&path).await.refuses(403, "missing_scope");
    world.finish().await;
}
