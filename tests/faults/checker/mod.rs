//! Checks whether the observations are consistent with the log and the views: a pure function of the history, the log
//! and the views. Its results are violations with their evidence, without exceptions.

mod erasures;
mod feeds;
mod sends;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    time::Duration,
};

use verbatim::domain::{ConversationId, Event, Recorded, Time, UserId};

use crate::{
    history::{Change, Entry, What},
    truth::Truth,
};

/// Two nodes that receive receipts of one user may both append them. The lower watermark may come last if it was
/// drafted at most this long after the higher one: so long a node may take to receive the other node's watermark while
/// its nats-server is gone and an append is retried. Readers keep the greatest watermark, and the answers of REST have
/// to rise in any case.
const UNHEARD: Duration = Duration::from_secs(15);

/// Every row of every view, twice: as it is, and as a second projector built it from the log. Also every row about
/// accounts.
#[derive(Debug, Default, Clone)]
pub struct Views {
    pub live: BTreeMap<String, Vec<String>>,
    pub rebuilt: BTreeMap<String, Vec<String>>,
    pub accounts: BTreeMap<String, Vec<String>>,
}

/// The rules that are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Every acknowledged message is in the log exactly once.
    AcknowledgedOnce,
    /// A refused command had no effect, and a member is not refused.
    RefusedRightly,
    /// Retries get the same answer.
    SameAnswer,
    /// Nothing happened without a request.
    NoPhantom,
    /// Every frame is the event that the log has at its position.
    OneOrder,
    /// Each feed is complete.
    NoHole,
    /// `caught_up` comes after everything that `ready` named has been sent.
    CaughtUp,
    /// Nobody receives an event without permission.
    MembersOnly,
    /// Receipts only rise.
    ReceiptsRise,
    /// The stream has no holes.
    LogWhole,
    /// Only requested data are erased, and they are gone everywhere and for good.
    Forgotten,
    /// The views agree with the log.
    ViewsTrue,
    /// Every fault had an effect: without this, the other rules prove nothing.
    FaultFelt,
    /// No resume ends with `reset`.
    NoReset,
    /// No server made an error.
    NoBlunder,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub evidence: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.evidence)
    }
}

/// All violations. `streams` is the log, stream by stream.
pub fn check(history: &[Entry], streams: &[Vec<Recorded>], views: &Views) -> Vec<Violation> {
    let mut found = Found::default();
    for (index, stream) in streams.iter().enumerate() {
        let hole = stream.iter().zip(1..).find(|(recorded, wanted)| recorded.position.0 != *wanted);
        found.unless(hole.is_none(), Rule::LogWhole, || format!("stream {index}: {hole:?}"));
    }
    let log = &streams.concat()[..];
    let truth = Truth::of(log);
    sends::check(history, log, &truth, &mut found);
    feeds::check(history, &truth, &mut found);
    erasures::check(history, log, &truth, &mut found);
    erasures::check_accounts(history, log, views, &mut found);
    receipts(history, log, &mut found);
    membership(history, log, &mut found);
    compare(log, &truth, views, &mut found);
    for entry in history {
        match &entry.what {
            What::Fault { kind, target, effect: None, .. } => {
                found.violation(Rule::FaultFelt, || format!("{kind} of {target} at {} ms", entry.at));
            }
            What::Blunder { by, what } => found.violation(Rule::NoBlunder, || format!("to {by}: {what}")),
            _ => {}
        }
    }
    found.0
}

/// The violations found so far.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn violation(&mut self, rule: Rule, evidence: impl FnOnce() -> String) {
        self.0.push(Violation { rule, evidence: evidence() });
    }

    fn unless(&mut self, is_so: bool, rule: Rule, evidence: impl FnOnce() -> String) {
        if !is_so {
            self.violation(rule, evidence);
        }
    }
}

/// Watermarks rise in the log and in the answers of REST to one reader, and no acknowledged watermark is lost.
fn receipts(history: &[Entry], log: &[Recorded], found: &mut Found) {
    let mut told: HashMap<(ConversationId, UserId), (u64, u64)> = HashMap::new();
    let mut raised: HashMap<(ConversationId, UserId), Time> = HashMap::new();
    for recorded in log {
        let Some(Event::ReceiptAdvanced(receipt)) = &recorded.event else { continue };
        let (now, of) = ((receipt.delivered.0, receipt.read.0), (recorded.conversation, recorded.actor));
        let known = told.entry(of).or_default();
        let rises = now.0 >= known.0 && now.1 >= known.1;
        let drafted = raised.entry(of).or_insert(recorded.time);
        if rises {
            *drafted = recorded.time;
        }
        let races = recorded.time <= drafted.plus(UNHEARD);
        found.unless(rises || races, Rule::ReceiptsRise, || {
            format!("{of:?}: (delivered, read) {now:?} at {} after {known:?}", recorded.position)
        });
        *known = (known.0.max(now.0), known.1.max(now.1));
    }
    let mut seen: HashMap<(UserId, ConversationId, UserId), (u64, u64)> = HashMap::new();
    for entry in history {
        match entry.what {
            What::Read { user, conversation, position } => {
                let read = told.get(&(conversation, user)).map_or(0, |known| known.1);
                found.unless(read >= position, Rule::AcknowledgedOnce, || {
                    format!("{user} read up to {position} in {conversation}, the log says {read}")
                });
            }
            What::Watermarks { by, conversation, user, delivered, read } => {
                let before = seen.entry((by, conversation, user)).or_default();
                found.unless(delivered >= before.0 && read >= before.1, Rule::ReceiptsRise, || {
                    format!("{by} saw of {user} in {conversation}: {:?} after {before:?}", (delivered, read))
                });
                *before = (delivered, read);
            }
            _ => {}
        }
    }
}

/// Every change of membership was requested, and every acknowledged one happened.
fn membership(history: &[Entry], log: &[Recorded], found: &mut Found) {
    type Wish = (UserId, ConversationId, UserId, Change);
    let (mut asked, mut changed) = (HashSet::<Wish>::new(), HashSet::<Wish>::new());
    for entry in history {
        match entry.what {
            What::Asked { by, conversation, user, change } => {
                asked.insert((by, conversation, user, change));
            }
            What::Changed { by, conversation, user, change } => {
                changed.insert((by, conversation, user, change));
            }
            _ => {}
        }
    }
    for recorded in log {
        let (user, change) = match &recorded.event {
            Some(Event::MemberAdded(added)) => (added.user_id, Change::Add),
            Some(Event::MemberRemoved(removed)) => (removed.user_id, Change::Remove),
            _ => continue,
        };
        let wish = (recorded.actor, recorded.conversation, user, change);
        changed.remove(&wish);
        found.unless(asked.contains(&wish), Rule::NoPhantom, || {
            format!("nobody asked for {wish:?} at {}", recorded.position)
        });
    }
    for wish in changed {
        found.violation(Rule::AcknowledgedOnce, || format!("{wish:?} was acknowledged and never happened"));
    }
}

/// Compares the live views with the rebuilt ones, and both with the log.
fn compare(log: &[Recorded], truth: &Truth, views: &Views, found: &mut Found) {
    let (live, rebuilt) = (&views.live, &views.rebuilt);
    found.unless(live.keys().eq(rebuilt.keys()), Rule::ViewsTrue, || "there are different tables".into());
    for (table, rows) in live {
        let (rows, wanted): (HashSet<_>, HashSet<_>) =
            (rows.iter().collect(), rebuilt.get(table).into_iter().flatten().collect());
        let differ: Vec<_> = rows.symmetric_difference(&wanted).take(4).collect();
        found.unless(differ.is_empty(), Rule::ViewsTrue, || format!("{table}: {differ:?}"));
    }
    let counts = |recorded: &&Recorded| {
        let told = truth.of_conversation(recorded.conversation);
        matches!(recorded.event, Some(Event::MessageSent(_)))
            && told.is_some_and(|told| told.at(recorded.position.0).is_some())
    };
    let wanted = log.iter().filter(counts).count();
    let has = live.get("message").map_or(0, Vec::len);
    found.unless(has == wanted, Rule::ViewsTrue, || format!("{has} messages of {wanted} are in the view"));
}
