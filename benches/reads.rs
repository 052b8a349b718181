//! The cost of reads: pages of history compared with the bare query, lists of many conversations, and
//! searches among all messages, from Postgres and over REST; and the size of the log and the views:
//!
//! ```sh
//! cargo bench --bench reads                        # 200,000 messages
//! VERBATIM_BENCH=full cargo bench --bench reads    # 1,000,000
//! ```

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

mod stage;

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use sqlx::{FromRow, PgPool, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;
use verbatim::{
    clock::Clock,
    domain::{ConversationId, Event, MessageEdited, Position, ReactionAdded, RetentionRules, UserId},
    projector::{self, Consent, Work},
    views::{self, Among, Direction, Hit, Reader, SearchError, SearchQuery},
};

use stage::{
    MANY, Said, Stage, Talk, cpu_of, draft,
    figures::{Figure, note},
    part,
    process::{self, Node, cpu},
    rest::{Person, Rest},
    talk::micros,
};

/// Messages and conversations of a page.
const PAGE: i64 = 50;
/// Rounds in which pages and the bare query alternate, and reads of each round.
const ROUNDS: usize = 5;
const PAGES: usize = 1_000;
/// The number of measurements of every other read.
const READS: usize = 300;
/// The number of conversations with edits, mentions and reactions.
const LIVELY: usize = 50;

fn main() {
    process::run(run);
}

async fn run(stage: &Stage) {
    let messages = stage::messages();
    let node = Node::start(stage, "api", &[]).await;
    let rest = Rest::to(node.address, 1);
    let people = rest.people(2).await;
    let (talks, said) = stage.fill_for(messages, [people[0].id, people[1].id]).await;
    enliven(stage, &talks, &said).await;
    projector::rebuild(&stage.log, &stage.pool, &views::schema(), None, Consent::Withheld, &Work::default())
        .await
        .expect("a rebuild");
    sizes(stage, messages).await;

    over_rest(stage, &node, &rest, &people, &talks).await;
    node.stop().await;
    pages(stage, people[0].id, &talks, &said).await;
    for (person, count) in [(&people[1], MANY.min(talks.len())), (&people[0], talks.len())] {
        lists(stage, person.id, count).await;
        searches(stage, person.id, count).await;
    }
}

/// Adds reactions and mentions, as in ordinary groups.
async fn enliven(stage: &Stage, talks: &[Talk], said: &[Said]) {
    let clock = Clock::system();
    let lively = &talks[..talks.len().min(LIVELY)];
    let members = |said: &Said| lively.iter().find(|talk| talk.0 == said.conversation).map(|talk| talk.1);
    let mut drafts = Vec::new();
    let in_lively = said.iter().filter_map(|said| Some((said, members(said)?)));
    for (n, (said, members)) in in_lively.enumerate().filter(|(n, _)| n % 5 == 0) {
        let (message_id, message_position) = (said.message.message_id, said.position);
        for user in &members[..1 + n % 3] {
            let emoji = "👍".to_owned();
            let event = ReactionAdded { message_id, message_position, emoji, client_id: None };
            drafts.push(draft(&clock, said.conversation, *user, Event::ReactionAdded(event), None));
        }
        if n % 10 == 0 {
            let text = format!("<@{}> look at this", members[1]);
            let mentions = vec![members[1]];
            let event = MessageEdited { message_id, message_position, client_id: None, text, mentions };
            drafts.push(draft(&clock, said.conversation, said.sender, Event::MessageEdited(event), None));
        }
    }
    let append = |draft| async move { stage.log.append(&draft).await.map(drop) };
    let mut appended = stream::iter(drafts).map(append).buffer_unordered(1_000);
    while let Some(appended) = appended.next().await {
        appended.expect("an event");
    }
}

const SEARCH_GOAL: &str = "at most 10 ms";

/// The cost of one read: its latency in milliseconds, and the CPU time in microseconds, here or in the node,
/// and in Postgres.
struct Cost {
    p50: f64,
    p99: f64,
    own: f64,
    postgres: f64,
}

impl Cost {
    fn cpu(&self) -> f64 {
        self.own + self.postgres
    }

    /// Prints it, and keeps it for the report.
    fn note(&self, what: &str, goal: &str) {
        let Self { p50, p99, own, postgres } = self;
        note(Figure::new("reads", format!("{what}: p50"), "ms").goal(goal), *p50, None);
        note(Figure::new("reads", format!("{what}: p99"), "ms"), *p99, None);
        note(Figure::new("reads", format!("{what}: CPU time"), "µs"), self.cpu(), None);
        println!("{:<12} {own:.0} µs of ours, {postgres:.0} µs of Postgres", "");
    }
}

/// Repeats a read; `pid` is the process that reads.
async fn measure(stage: &Stage, pid: u32, reads: usize, read: impl AsyncFn(usize)) -> Cost {
    let mut times = Vec::with_capacity(reads);
    for n in 0..reads / 10 {
        read(n).await;
    }
    let (postgres, own) = (cpu_of(stage.postgres.pid()), cpu(pid));
    for n in 0..reads {
        let begun = Instant::now();
        read(n).await;
        times.push(begun.elapsed());
    }
    let each = |cpu: Duration| micros(cpu) / reads as f64;
    let (postgres, own) = (each(cpu_of(stage.postgres.pid()) - postgres), each(cpu(pid) - own));
    times.sort_unstable();
    Cost { p50: part(&times, 0.5), p99: part(&times, 0.99), own, postgres }
}

/// The goal for a page of a list, by the number of its conversations.
fn list_goal(conversations: usize) -> &'static str {
    if conversations <= MANY { "at most 2 ms" } else { "at most 4 ms" }
}

async fn here(stage: &Stage, reads: usize, read: impl AsyncFn(usize)) -> Cost {
    measure(stage, std::process::id(), reads, read).await
}

/// Measures pages with only messages, pages with more, and the bare query, alternately.
async fn pages(stage: &Stage, user: UserId, talks: &[Talk], said: &[Said]) {
    let pool = &stage.pool;
    let quiet = |n: usize| {
        let Said { conversation, position, .. } = &said[n.wrapping_mul(7_919) % said.len()];
        (*conversation, *position)
    };
    let lively = |n: usize| (talks[n % talks.len().min(LIVELY)].0, Position::MAX);
    let history = async |conversation: ConversationId, direction: Direction| {
        let reader = Reader { conversation, user, visible_from: Position::START, expired: Position::START };
        drop(views::history(pool, reader, direction, PAGE + 1).await.expect("a page"));
    };
    let figure = |what: &str| Figure::new("reads", format!("page of 50 messages, {what}: CPU time"), "µs");
    let figure = |what: &str| figure(what).beside("the bare query");
    let [mut before, mut after, mut more] =
        ["backwards", "forwards", "with reactions and mentions"].map(figure);
    before = before.goal("at most 1.3 x");
    more = more.beside("the bare queries, one for each table").goal("at most 1.5 x");
    let mut last = Vec::new();
    for _ in 0..ROUNDS {
        let floor = here(stage, PAGES, async |n| bare(pool, quiet(n)).await).await;
        let back = async |n| history(quiet(n).0, Direction::Before(quiet(n).1)).await;
        let back = here(stage, PAGES, back).await;
        let on = async |n| history(quiet(n).0, Direction::After(quiet(n).1)).await;
        let on = here(stage, PAGES, on).await;
        let floor_of_more = here(stage, PAGES, async |n| bare_with_more(pool, user, lively(n)).await).await;
        let with_more = async |n| history(lively(n).0, Direction::Before(lively(n).1)).await;
        let with_more = here(stage, PAGES, with_more).await;
        before.round(back.cpu(), Some(floor.cpu()));
        after.round(on.cpu(), Some(floor.cpu()));
        more.round(with_more.cpu(), Some(floor_of_more.cpu()));
        last = vec![("the bare query", floor), ("page of 50 messages", back)];
    }
    for figure in [before, after, more] {
        figure.note();
    }
    for (what, cost) in last {
        cost.note(&format!("{what}, last round"), "");
    }
}

/// The minimum for a page: the columns of the messages, as sqlx returns them.
async fn bare(pool: &PgPool, (conversation, position): (ConversationId, Position)) {
    type Row = (Uuid, i64, Uuid, String, String, OffsetDateTime);
    let sql = "select id, position, sender, client_id, text, sent_at from message
               where conversation_id = $1 and position < $2 order by position desc limit $3";
    drop(rows::<Row>(pool, sql, conversation, position.0 as i64, PAGE + 1).await);
}

/// The minimum for the same page with reactions, mentions and pins: the columns of each table, with one query for the
/// messages, and one query for the whole page from each of the other tables.
async fn bare_with_more(pool: &PgPool, user: UserId, (conversation, position): (ConversationId, Position)) {
    type Time = Option<OffsetDateTime>;
    type Id = Option<Uuid>;
    type Row =
        (Uuid, i64, Uuid, String, String, OffsetDateTime, Option<String>, Time, Time, Id, Id, Option<i64>);
    let sql =
        "select id, position, sender, client_id, text, sent_at, metadata, edited_at, deleted_at, deleted_by,
                      reply_to, reply_to_at
               from message where conversation_id = $1 and position < $2 order by position desc limit $3";
    let messages = rows::<Row>(pool, sql, conversation, position.0 as i64, PAGE + 1).await;
    let (Some(last), Some(first)) = (messages.first(), messages.last()) else { panic!("a page") };
    let (first, last) = (first.1, last.1);
    let reactions: Vec<(i64, String, i64, bool, i64)> = sqlx::query_as(
        "select message, emoji, count(*), bool_or(user_id = $4), min(position) from reaction
         where conversation_id = $1 and message between $2 and $3 group by message, emoji",
    )
    .bind(conversation.uuid())
    .bind(first)
    .bind(last)
    .bind(user.uuid())
    .fetch_all(pool)
    .await
    .expect("rows");
    let sql = "select message, user_id from mention where conversation_id = $1 and message between $2 and $3";
    let mentions = rows::<(i64, Uuid)>(pool, sql, conversation, first, last).await;
    let sql = "select message from pin where conversation_id = $1 and message between $2 and $3";
    let pins = rows::<(i64,)>(pool, sql, conversation, first, last).await;
    drop((messages, reactions, mentions, pins));
}

/// The rows of a query whose parameters are a conversation and two numbers.
async fn rows<T>(
    pool: &PgPool,
    sql: &'static str,
    conversation: ConversationId,
    first: i64,
    second: i64,
) -> Vec<T>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let query = sqlx::query_as(sql).bind(conversation.uuid()).bind(first).bind(second);
    query.fetch_all(pool).await.expect("rows")
}

/// Measures lists of conversations in which nothing is read, so all messages have to be counted.
async fn lists(stage: &Stage, user: UserId, count: usize) {
    let pool = &stage.pool;
    let page = async |after| {
        views::page(pool, RetentionRules::default(), user, Among::AllBut(&[]), after, PAGE + 1)
            .await
            .expect("a page")
            .0
    };
    let first = page(None).await;
    assert_eq!(first.len() as i64, (PAGE + 1).min(count as i64), "a whole page");
    let end = first.last().map(|last| (last.active_at, last.id));
    let what = format!("list of 50 of {count} conversations, all unread");
    here(stage, READS, async |_| drop(page(None).await)).await.note(&what, list_goal(count));
    let next = format!("{what}, the next");
    here(stage, READS, async |_| drop(page(end).await)).await.note(&next, list_goal(count));
}

async fn searches(stage: &Stage, user: UserId, count: usize) {
    let pool = &stage.pool;
    for (what, words) in [
        ("a word of one message", "12345"),
        ("a word of nobody", "nowhere"),
        ("a word of 1 in 1,000", "lantern"),
        ("a word of 1 in 10", "supper"),
        ("a word of all", "people"),
        ("two words, 1 in 10 and all", "supper people"),
        ("two words, 1 in 1,000 and 1 in 10", "lantern supper"),
        ("a phrase that nobody has, of words of all", "\"people about\""),
    ] {
        let wanted = SearchQuery::parse(words).expect("words");
        let search = async |after: Option<Hit>| {
            let found =
                views::search(pool, RetentionRules::default(), user, None, &wanted, after, PAGE + 1).await;
            match found {
                Ok(hits) => hits,
                Err(SearchError::TooBroad) => Vec::new(),
                Err(SearchError::Database(e)) => panic!("{words}: {e}"),
            }
        };
        let first = search(None).await;
        // A search that is given up takes long, so it is measured less often.
        let reads = if words.contains('"') { 10 } else { READS };
        let what = format!("search in {count} conversations, {what}");
        here(stage, reads, async |_| drop(search(None).await)).await.note(&what, SEARCH_GOAL);
        if let Some(end) = first.get(PAGE as usize - 1).copied() {
            here(stage, reads, async |_| drop(search(Some(end)).await))
                .await
                .note(&format!("{what}, the next"), SEARCH_GOAL);
        }
    }
}

/// The same reads from the client's side. The node keeps the roster of a conversation in memory after the first request
/// for it.
async fn over_rest(stage: &Stage, node: &Node, rest: &Rest, people: &[Person], talks: &[Talk]) {
    let get = async |person: &Person, path: &str| rest.ask("GET", path, &person.token, None).await;
    let talk = |n: usize| talks[n % talks.len().min(LIVELY)].0;
    let quiet = |n: usize| talks[talks.len() - 1 - n % talks.len().min(LIVELY)].0;
    let info = async |_| drop(get(&people[0], "/v1/me").await);
    measure(stage, node.pid(), PAGES, info).await.note("REST, /v1/me", "");
    for (what, of) in [
        ("page of 50 messages", &quiet as &dyn Fn(usize) -> ConversationId),
        ("the same with reactions and mentions", &talk),
    ] {
        let page = async |n: usize| {
            let path = format!("/v1/conversations/{}/messages", of(n));
            drop(get(&people[0], &path).await);
        };
        measure(stage, node.pid(), PAGES, page).await.note(&format!("REST, {what}"), "");
    }
    for (person, count) in [(&people[1], MANY.min(talks.len())), (&people[0], talks.len())] {
        let list = async |_| drop(get(person, "/v1/conversations").await);
        let what = format!("REST, list of 50 of {count} conversations, all unread");
        measure(stage, node.pid(), READS, list).await.note(&what, list_goal(count));
        let screen = "/v1/conversations?limit=20&include=users,members,messages";
        let screen = async |_| drop(get(person, screen).await);
        let what = format!("REST, first screen of 20 of {count} conversations with names, members, messages");
        measure(stage, node.pid(), READS, screen).await.note(&what, "");
        for words in ["lantern", "supper"] {
            let search = async |_| drop(get(person, &format!("/v1/messages?query={words}")).await);
            let what = format!("REST, search in {count} conversations, {words}");
            measure(stage, node.pid(), READS, search).await.note(&what, SEARCH_GOAL);
        }
    }
}

async fn sizes(stage: &Stage, messages: usize) {
    let bytes: Option<i64> = sqlx::query_scalar(
        "select sum(pg_total_relation_size(c.oid))::bigint from pg_class c
         where c.relnamespace = to_regnamespace($1) and c.relkind = 'r'",
    )
    .bind(views::schema())
    .fetch_one(&stage.pool)
    .await
    .expect("a size");
    let client = stage.nats.connect(verbatim::dev::NatsUser::Verbatim).await.expect("NATS");
    let stream = async_nats::jetstream::new(client).get_stream("CHAT_0").await.expect("the stream");
    let each = |bytes: f64| bytes / messages as f64;
    let size = |what: &str| Figure::new("reads", format!("{what} for each message"), "bytes");
    note(size("log"), each(stream.cached_info().state.bytes as f64), None);
    note(size("views"), each(bytes.unwrap_or_default() as f64), None);
}
