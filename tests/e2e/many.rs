//! People with more conversations than fit into one frame.

use std::{collections::BTreeSet, time::Instant};

use futures_util::{StreamExt as _, stream};
use verbatim::{
    clock::Clock,
    domain::{
        ConversationCreated, ConversationId, Event, EventId, History, Kind, NewMember, Position, Role, UserId,
    },
    log::{Draft, Log, Wanted},
    supervise::Supervisor,
};

use crate::world::{Conversation, Device, Person, World, assert_linked, eventually};

/// The number of conversations. The variable allows more.
fn how_many() -> usize {
    std::env::var("VERBATIM_MANY").ok().and_then(|n| n.parse().ok()).unwrap_or(3_000)
}

/// Creates groups of two people by appending to the log, which is faster than REST.
async fn is_in_many(world: &World, who: &Person, with: &Person, count: usize) {
    let log = Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log");
    let clock = Clock::system();
    let [who, with] = [who, with].map(|person| person.id.parse::<UserId>().expect("an id"));
    let begin = |_| {
        let (log, clock) = (log.clone(), clock.clone());
        async move {
            let members = [with, who].map(|user_id| NewMember { user_id, role: Role::Owner });
            let created = ConversationCreated {
                kind: Kind::Group,
                title: None,
                history: History::default(),
                members: members.to_vec(),
            };
            let draft = Draft {
                conversation: clock.id(ConversationId::known),
                id: clock.id(EventId::known),
                actor: with,
                time: clock.now(),
                event: Event::ConversationCreated(created),
                key: None,
                trace: None,
                via: None,
            };
            log.append_roster(&draft, Position::START).await.expect("stored");
        }
    };
    stream::iter(0..count).map(begin).buffer_unordered(128).collect::<Vec<()>>().await;
}

/// The conversations that a session names at its beginning, frame by frame.
async fn named(device: &mut Device) -> Vec<Vec<Conversation>> {
    let (mut pages, mut page) = (Vec::new(), device.ready.clone());
    loop {
        let conversations = page["conversations"].as_array().expect("conversations");
        let named = conversations.iter().map(|named| Conversation {
            id: named["id"].as_str().expect("an id").to_owned(),
            position: named["head"].as_u64().expect("a head"),
        });
        pages.push(named.collect());
        if page["more"] != true {
            return pages;
        }
        page = device.gets("conversations").await;
        assert!(device.seen.iter().all(|frame| frame["op"] != "event"), "it comes before any event");
    }
}

fn assert_complete(pages: &[Vec<Conversation>], count: usize) {
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    let full = sizes.iter().take(sizes.len() - 1).all(|size| *size == 500);
    assert!(full && sizes.iter().all(|size| *size <= 500), "{sizes:?}");
    let ids: BTreeSet<&str> = pages.iter().flatten().map(|named| named.id.as_str()).collect();
    assert_eq!((ids.len(), sizes.iter().sum::<usize>()), (count, count), "each once");
}

#[tokio::test]
async fn a_first_socket_names_all_conversations_in_bounded_frames() {
    let count = how_many();
    let world = World::with_streams(4).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    is_in_many(&world, &ben, &ana, count).await;
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let in_the_views = format!("select count(*) from view.member where user_id = '{}'", ben.id);
    eventually("the views tell whose conversations they are", || async {
        world.database.finds::<i64>(&in_the_views).await == count as i64 + 1
    })
    .await;

    let began = Instant::now();
    let mut first = ben.connects().await;
    eprintln!("a first socket in {count} conversations: ready after {:?}", began.elapsed());
    let pages = named(&mut first).await;
    assert_complete(&pages, count + 1);
    let began = Instant::now();
    let mut second = ben.connects().await;
    eprintln!("a second one: {:?}", began.elapsed());
    assert_complete(&named(&mut second).await, count + 1);

    assert!(pages.iter().flatten().any(|named| named.id == lunch.id));
    let last = pages.last().and_then(|page| page.last()).expect("many").clone();
    ana.says(&last, "in the last one of all").await;
    for device in [&mut first, &mut second] {
        let event = device.sees("in the last one of all").await;
        assert_eq!(event["previous"], last.position, "what was named is where it goes on");
    }
    let cursor = first.cursor();
    first.leaves().await;
    second.leaves().await;
    ana.says(&last, "nobody listens").await;
    let mut back = ben.resumes(&cursor).await;
    let pages = named(&mut back).await;
    assert_complete(&pages, count + 1);
    back.gets("caught_up").await;
    back.sees("nobody listens").await;
    assert_linked(&back.chain(&last));

    // A client whose cursor is refused keeps it until the `reset` behind the last frame, also if it is cut off before.
    let mut refused = ben.resumes("nonsense").await;
    assert_eq!(refused.ready["cursor"], "nonsense");
    assert_complete(&named(&mut refused).await, count + 1);
    refused.gets("reset").await;
    let cursor = refused.gets("heartbeat").await["cursor"].as_str().expect("a cursor").to_owned();
    ben.resumes(&cursor).await.gets("caught_up").await;
    world.finish().await;
}
