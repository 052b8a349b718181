//! The latency for two well-behaved users during abuse by one account, or by one machine without an account, and the
//! resources that the node still holds afterwards. The default limits are in force, and abuse comes from a separate
//! address.
//!
//! ```sh
//! cargo bench --bench abuse                        # three times 10 s of each kind
//! VERBATIM_BENCH=full cargo bench --bench abuse    # three times 20 s
//! cargo bench --bench abuse -- searches            # one kind
//! ```
//!
//! Each kind of abuse alternates with calm, so that a disk or a machine that is slow for a minute is slow for both.

#![allow(clippy::disallowed_methods, reason = "a client has the clock and the ids of its own machine")]

#[path = "abuse/kinds.rs"]
#[allow(unreachable_pub)]
mod kinds;
mod stage;

use std::{
    cell::Cell,
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use kinds::{Abuse, Target};
use stage::{
    Stage, conversations,
    figures::{Figure, full, note},
    part,
    process::{Node, files, memory, run},
    rest::{Person, Rest},
    say,
    sockets::{Audience, Visit},
    talk::paced,
};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use verbatim::{domain::ConversationId, limits::Policy};

/// The conversations of the abuser.
const CONVERSATIONS: usize = 5_000;
/// Messages of the largest of them, and of all others together.
const OF_LARGEST: usize = 50_000;
const OF_OTHERS: usize = 20_000;
/// Messages a second of the quiet pair, which are four fifths of what two people may send, and the interval of their
/// pages.
const MESSAGES: u32 = 8;
const PAGES: Duration = Duration::from_millis(200);
const HELLOS: Duration = Duration::from_millis(2_500);
/// The number of rounds of calm and abuse.
const ROUNDS: usize = 3;
/// The time limit for a node to release all resources.
const AFTER: Duration = Duration::from_secs(20);
/// The metrics of resources that are held while clients are connected.
const HELD: [&str; 5] = ["sockets", "sessions", "events_followed", "replays", "unread_answer_bytes"];

fn main() {
    run(benchmark);
}

async fn benchmark(stage: &Stage) {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let (pair, group, eve, target) = set_up(stage).await;
    let rates = Policy::ALL.map(|policy| {
        let name = format!("VERBATIM_LIMIT_{}", policy.word().to_uppercase());
        (name, policy.default_limit().to_string())
    });
    let mut settings: Vec<(&str, &str)> = rates.iter().map(|(name, rate)| (&**name, &**rate)).collect();
    settings.extend([
        ("VERBATIM_OVERLOAD_WAIT", "200"),
        ("VERBATIM_ARGON2_MEMORY", "19456"),
        ("VERBATIM_ARGON2_PASSES", "2"),
    ]);
    let node = Node::start(stage, "api,gateway,projector", &settings).await;
    let mut target = Target { address: node.address, ..target };
    let mut quiet = Quiet { node: &node, rest: Rest::to(node.address, 16), pair, group };
    let lasting = Duration::from_secs(if full() { 20 } else { 10 });
    quiet.lives(Duration::from_secs(3)).await;
    for abuse in Abuse::ALL {
        let is_wanted = only.iter().any(|name| name == abuse.word());
        if is_wanted || !only.iter().any(|name| Abuse::ALL.iter().any(|abuse| abuse.word() == name)) {
            // All kinds together last longer than an access token lives.
            let [ana, ben] = &quiet.pair;
            quiet.pair = [quiet.rest.logged_in(ana).await, quiet.rest.logged_in(ben).await];
            target.token = quiet.rest.logged_in(&eve).await.token.to_string();
            let (mut calm, mut felt) = (Felt::default(), Felt::default());
            for _ in 0..ROUNDS {
                calm.add(quiet.lives(lasting).await);
                felt.add(beside(&quiet, abuse, &target, lasting).await);
            }
            note_felt(abuse, &felt, &calm);
        }
    }
    drop(quiet);
    node.stop().await;
}

/// Creates a quiet pair with a conversation, and an abuser with thousands of conversations, one of which is long. The
/// node for this has no limits.
async fn set_up(stage: &Stage) -> ([Person; 2], ConversationId, Person, Target) {
    let node = Node::start(stage, "api,gateway,projector", &[]).await;
    let rest = Rest::to(node.address, 64);
    let people = rest.people(4).await;
    let [ana, ben, eve, fay] = <[Person; 4]>::try_from(people).ok().expect("four people");
    let begins = Visit { token: eve.token.clone(), cursor: None };
    let here = Audience::connect(node.address, vec![begins], 1).await;
    let cursor = here.counts().cursors[&eve.token].clone();
    drop(here);
    let talks = conversations(&stage.log, CONVERSATIONS, [eve.id, fay.id]).await;
    say(&stage.log, &talks[1..], OF_OTHERS).await;
    let long = say(&stage.log, &talks[..1], OF_LARGEST).await;
    let last = long.last().expect("a message").position.0;
    rest.viewed(&eve, talks[0].0, last).await;
    let group = rest.group(&[ana.clone(), ben.clone()]).await;
    let address = node.address;
    node.stop().await;
    let target = Target { address, token: eve.token.to_string(), cursor, conversation: talks[0].0, last };
    ([ana, ben], group, eve, target)
}

/// Two people who send, read and reconnect now and then.
struct Quiet<'a> {
    node: &'a Node,
    rest: Rest,
    pair: [Person; 2],
    group: ConversationId,
}

/// How long they waited, sorted.
#[derive(Default)]
struct Felt {
    messages: Vec<Duration>,
    pages: Vec<Duration>,
    hellos: Vec<Duration>,
    /// Messages, pages and sockets that were refused.
    refused: usize,
}

impl Felt {
    fn add(&mut self, other: Self) {
        for (all, more) in [
            (&mut self.messages, other.messages),
            (&mut self.pages, other.pages),
            (&mut self.hellos, other.hellos),
        ] {
            all.extend(more);
            all.sort_unstable();
        }
        self.refused += other.refused;
    }
}

impl Quiet<'_> {
    async fn lives(&self, lasting: Duration) -> Felt {
        let visit = |person: &Person| vec![Visit { token: person.token.clone(), cursor: None }];
        let live = Audience::connect(self.node.address, visit(&self.pair[1]), 1).await;
        let until = Instant::now() + lasting;
        let refused = Cell::new(0);
        let refuse = || refused.set(refused.get() + 1);
        let talk = async {
            let said = Cell::new(0);
            let say = async |n: usize| match self.rest.try_to_say(&self.pair[n % 2], self.group).await {
                Some(_) => said.set(said.get() + 1),
                None => refuse(),
            };
            paced(MESSAGES, lasting, say).await;
            live.until(|counts| counts.events >= said.get()).await;
            let counts = live.counts();
            assert_eq!(counts.events, said.get(), "each comes once");
            refused.set(refused.get() + counts.returned);
            let mut took: Vec<Duration> = counts.heard.iter().map(|heard| heard.after).collect();
            took.sort_unstable();
            took
        };
        let path = format!("/v1/conversations/{}/messages?limit=50", self.group);
        let page = async || {
            let (status, _) = self.rest.try_to("GET", &path, &self.pair[1].token, None).await;
            if status != 200 {
                refuse();
            }
        };
        let hello = async || drop(Audience::connect(self.node.address, visit(&self.pair[0]), 1).await);
        let (messages, pages, hellos) =
            tokio::join!(talk, again(PAGES, until, page), again(HELLOS, until, hello));
        Felt { messages, pages, hellos, refused: refused.get() }
    }
}

/// Repeats an action at an interval, and returns the sorted durations.
async fn again(every: Duration, until: Instant, act: impl AsyncFn()) -> Vec<Duration> {
    let (mut next, mut took) = (interval(every), Vec::new());
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        next.tick().await;
        let begun = Instant::now();
        act().await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took
}

/// Runs one kind of abuse next to the quiet pair, and then waits until the node is idle.
async fn beside(quiet: &Quiet<'_>, abuse: Abuse, target: &Target, lasting: Duration) -> Felt {
    let node = quiet.node;
    // By then, the sockets of the pair are gone, and its budgets are full again.
    sleep(Duration::from_secs(3)).await;
    let (before, held, counted) = (Held::by(node).await, memory(node.pid()), counters(node).await);
    let stop = CancellationToken::new();
    // The abuser has its own thread, so that its work does not delay the measurements of the quiet pair.
    let abuser = {
        let (target, stop) = (target.clone(), stop.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(abuse.goes_on(target, stop))
        })
    };
    sleep(Duration::from_secs(1)).await;
    let felt = quiet.lives(lasting).await;
    let during = Held::by(node).await;
    stop.cancel();
    let answers = abuser.join().expect("the abuser ends");
    let (begun, mut after) = (Instant::now(), Held::by(node).await);
    while !after.is_back_to(&before) && begun.elapsed() < AFTER {
        sleep(Duration::from_millis(100)).await;
        after = Held::by(node).await;
    }

    let figure = |what: &str, unit| Figure::new("abuse", format!("{}: {what}", abuse.name()), unit);
    note(figure("until all is let go", "s"), begun.elapsed().as_secs_f64(), None);
    const MIB: f64 = 1024.0 * 1024.0;
    note(
        figure("memory held afterwards", "MiB").beside("before"),
        memory(node.pid()) / MIB,
        Some(held / MIB),
    );
    println!("{:<12} held before {before:?}, during {during:?}, after {after:?}", "");
    println!("{:<12} answers {answers:?}", "");
    let since: BTreeMap<String, u64> = counters(node)
        .await
        .into_iter()
        .map(|(name, count)| (name.clone(), count - counted.get(&name).copied().unwrap_or_default()))
        .filter(|(_, count)| *count > 0)
        .collect();
    println!("{:<12} counted {since:?}", "");
    felt
}

/// Records what the quiet pair experienced in all rounds together.
fn note_felt(abuse: Abuse, felt: &Felt, calm: &Felt) {
    let figure = |what: &str, unit| Figure::new("abuse", format!("{}: {what}", abuse.name()), unit);
    for (what, felt, calm) in [
        ("message", &felt.messages, &calm.messages),
        ("page", &felt.pages, &calm.pages),
        ("hello", &felt.hellos, &calm.hellos),
    ] {
        for (p, word) in [(0.5, "p50"), (0.99, "p99")] {
            let figure = figure(&format!("{what}, {word}"), "ms").beside("the same in calm");
            let figure = if (what, word) == ("message", "p99") { figure.goal("at most 2 x") } else { figure };
            note(figure, part(felt, p), Some(part(calm, p)));
        }
    }
    note(figure("refused to the pair", ""), felt.refused as f64, None);
}

/// The resources that a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    files: usize,
    gauges: Vec<(&'static str, u64)>,
}

impl Held {
    async fn by(node: &Node) -> Self {
        let text = node.metrics().await;
        let of = |name: &'static str| {
            let line = format!("verbatim_{name} ");
            let value = text.lines().find_map(|text| text.strip_prefix(&line)).expect("the metric");
            (name, value.trim().parse().expect("a number"))
        };
        Self { files: files(node.pid()), gauges: HELD.into_iter().map(of).collect() }
    }

    /// Allows a difference, because connections to Postgres or of the quiet pair may have been opened or closed.
    fn is_back_to(&self, before: &Self) -> bool {
        self.files <= before.files + 24 && self.gauges == before.gauges
    }
}

/// The refusals that a node has counted.
async fn counters(node: &Node) -> BTreeMap<String, u64> {
    let text = node.metrics().await;
    let told = |line: &str| {
        let line = line.strip_prefix("verbatim_")?;
        let (name, value) = line.rsplit_once(' ')?;
        let is_wanted =
            ["rate_limited", "shed", "newcomers", "slow_consumers"].iter().any(|one| name.starts_with(one));
        is_wanted.then_some((name.to_owned(), value.parse().ok()?))
    };
    stream::iter(text.lines()).filter_map(async |line| told(line)).collect().await
}
