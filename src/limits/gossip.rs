//! Nodes tell one another, ten times a second, how many units they have admitted.
//!
//! A message is one byte for its format and eight for the node, then for each key eight for the hash, one for
//! the policy and four for the units, all in network byte order.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    clock,
    limits::RateLimits,
    log::{Log, Spendings, Unavailable},
    supervise::Supervisor,
    telemetry::METRICS,
};

/// How often a node reports to the others.
const TELL: Duration = Duration::from_millis(100);
/// The format of the messages that this version writes and reads.
const FORM: u8 = 1;
const HEAD: usize = 9;
const ENTRY: usize = 13;
/// The most bytes of a message.
const MOST: usize = 64 * 1024;

/// Starts the tasks that report to the other nodes and receive their reports.
pub(crate) async fn start(
    limits: &Arc<RateLimits>,
    log: &Log,
    tasks: &Supervisor,
) -> Result<(), Unavailable> {
    // The random half of the UUID: nodes that start at the same time differ in this half.
    let node = clock::name().as_u64_pair().1;
    let spendings = log.spendings().await?;
    tasks.spawn("limits told", tell(limits.clone(), log.clone(), node));
    tasks.spawn("limits heard", hear(limits.clone(), spendings, node));
    Ok(())
}

async fn tell(limits: Arc<RateLimits>, log: Log, node: u64) {
    let mut tick = interval(TELL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // While disconnected, nothing is taken out of the map: a message would wait in the client.
        if !log.is_connected() {
            continue;
        }
        for message in limits.spent(node) {
            if let Err(e) = log.tell_spending(message).await {
                tracing::debug!(error = %e, "could not publish the counts of this node");
            }
        }
    }
}

async fn hear(limits: Arc<RateLimits>, mut spendings: Spendings, node: u64) {
    while let Some(message) = spendings.next().await {
        if !limits.hear(&message, node) {
            METRICS.gossip_ignored.inc();
        }
    }
}

impl RateLimits {
    /// Takes the units that this node has admitted since the last call, as messages.
    fn spent(&self, node: u64) -> Vec<Vec<u8>> {
        let mut messages: Vec<Vec<u8>> = Vec::new();
        self.map.take_spent(|spent| {
            if messages.last().is_none_or(|message| message.len() + ENTRY > MOST) {
                let mut head = vec![FORM];
                head.extend(node.to_be_bytes());
                messages.push(head);
            }
            if let Some(message) = messages.last_mut() {
                message.extend(spent.hash.to_be_bytes());
                message.push(spent.policy);
                message.extend(spent.units.to_be_bytes());
            }
        });
        messages
    }

    /// Counts the units that another node has admitted. Returns whether all of the message was understood;
    /// parts that were not are ignored.
    fn hear(&self, message: &[u8], this_node: u64) -> bool {
        let Some((head, entries)) = message.split_first_chunk::<HEAD>() else { return false };
        let (entries, rest) = entries.as_chunks::<ENTRY>();
        if head[0] != FORM || !rest.is_empty() {
            return false;
        }
        if head[1..] == this_node.to_be_bytes() {
            return true;
        }
        entries.iter().fold(true, |understood, entry| {
            let (hash, rest) = entry.split_first_chunk::<8>().expect("an entry has 13 bytes");
            let units = rest[1..].try_into().map_or(0, u32::from_be_bytes);
            self.spend(rest[0], u64::from_be_bytes(*hash), units) && understood
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::{
        domain::UserId,
        limits::{Policy, Rates},
    };

    fn user(n: u32) -> UserId {
        format!("01930f3c-5a7b-7c3d-9e4f-0000{n:08x}").parse().expect("id")
    }

    fn node(limit: &str) -> RateLimits {
        RateLimits::new(Rates::default().with(Policy::User, limit.parse().expect("a limit")), &[3; 32])
    }

    fn left(node: &RateLimits, who: UserId) -> u32 {
        node.peek(Policy::User, who).expect("in force").remaining
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_node_admits_the_other_counts() {
        let (one, other) = (node("60/60:10"), node("60/60:10"));
        (0..4).for_each(|_| one.admit(Policy::User, user(1)).expect("admitted"));
        let messages = one.spent(1);
        assert_eq!(messages.iter().map(Vec::len).collect::<Vec<_>>(), [HEAD + ENTRY]);
        assert!(messages.iter().all(|message| other.hear(message, 2)));
        assert_eq!((left(&one, user(1)), left(&other, user(1)), left(&other, user(2))), (6, 6, 10));
        assert!(messages.iter().all(|message| one.hear(message, 1)), "its own message comes back");
        assert_eq!(left(&one, user(1)), 6);
        assert_eq!(other.spent(2), Vec::<Vec<u8>>::new(), "what was heard is not told on");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_after_it_was_told_does_not_add_up_elsewhere() {
        let (one, other) = (node("60/6000:10"), node("60/6000:10"));
        for _ in 0..100 {
            one.admit(Policy::User, user(1)).expect("admitted");
            assert!(one.spent(1).iter().all(|message| other.hear(message, 2)));
            one.give_back(Policy::User, user(1), 1);
            assert!(one.spent(1).iter().all(|message| other.hear(message, 2)));
        }
        assert_eq!((left(&one, user(1)), left(&other, user(1))), (10, 9));
        (0..3).for_each(|_| one.admit(Policy::User, user(1)).expect("admitted"));
        assert!(one.spent(1).iter().all(|message| other.hear(message, 2)));
        assert_eq!((left(&one, user(1)), left(&other, user(1))), (7, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cost_above_the_burst_is_given_back_as_it_was_taken() {
        let (one, other) = (node("60/6000:10"), node("60/6000:10"));
        one.admit_many(Policy::User, user(1), 1_000).expect("a full budget is enough");
        one.give_back(Policy::User, user(1), 1_000);
        one.admit(Policy::User, user(1)).expect("admitted");
        assert!(one.spent(1).iter().all(|message| other.hear(message, 2)));
        assert_eq!((left(&one, user(1)), left(&other, user(1))), (9, 9));
    }

    #[tokio::test(start_paused = true)]
    async fn many_keys_take_several_messages_of_at_most_64_kib() {
        let (one, other) = (node("60/60:10"), node("60/60:10"));
        (0..12_000).for_each(|n| one.admit(Policy::User, user(n)).expect("admitted"));
        let messages = one.spent(1);
        assert!(messages.len() == 3 && messages.iter().all(|message| message.len() <= MOST));
        assert!(messages.iter().all(|message| other.hear(message, 2)));
        assert!((0..12_000).all(|n| left(&other, user(n)) == 9));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_understood_is_ignored() {
        let (one, other) = (node("60/60:10"), node("60/60:10"));
        one.admit(Policy::User, user(1)).expect("admitted");
        let good = one.spent(1).concat();
        let mut unknown = good.clone();
        unknown[HEAD + 8] = 255;
        let mut later = good.clone();
        later[0] = 2;
        let text = b"{\"user\":\"ana\"}";
        for bad in [&good[..HEAD + 5], &good[..3], &unknown, &later, text, b""] {
            assert!(!other.hear(bad, 2), "{bad:?}");
        }
        assert_eq!(left(&other, user(1)), 10);
        assert!(other.hear(&good, 2));
        assert_eq!(left(&other, user(1)), 9);
    }

    /// Three nodes, in turn, with far more requests than the limit: the requests that pass in `seconds`.
    async fn passes(seconds: u64) -> u32 {
        let nodes = [node("300/60:30"), node("300/60:30"), node("300/60:30")];
        let mut passed = 0;
        for tick in 0..seconds * 10 {
            for request in 0..60 {
                passed += u32::from(nodes[request % 3].admit(Policy::User, user(1)).is_ok());
            }
            if tick % 10 == 9 {
                tokio::task::yield_now().await;
            }
            for teller in 0..3 {
                for message in nodes[teller].spent(teller as u64) {
                    nodes.iter().enumerate().for_each(|(hearer, node)| {
                        assert!(node.hear(&message, hearer as u64));
                    });
                }
            }
            advance(Duration::from_millis(100)).await;
        }
        passed
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_long_run_three_nodes_admit_what_one_would() {
        let (ideal, passed) = (3_000, passes(600).await);
        assert!((ideal..=ideal + 3 * 30 + ideal / 100).contains(&passed), "{passed}");
    }
}
