//! The planned faults: a seeded schedule in two concurrent lanes, one for processes and their links, one for clients
//! and their network. A fault counts only if it had an effect.

mod strike;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use crate::{chance::Chance, clients::Crowd, history::What, world::World};

/// The time limit for the system to work again after a fault.
const RECOVERY: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    GatewayKilled,
    GatewayFrozen,
    GatewayDrained,
    /// Cut off from NATS only: clients reach it, and it reaches Postgres.
    GatewayCutOff,
    /// Lost with its machine: its peers are not told that the connections have ended.
    GatewayLost,
    ProjectorKilled,
    ProjectorFrozen,
    /// Lost with its machine.
    ProjectorLost,
    NatsKilled,
    NatsFrozen,
    NatsUnreachable,
    PostgresKilled,
    PostgresFrozen,
    PostgresUnreachable,
    NetworkDelayed,
    NetworkCut,
    NetworkBlackHole,
    SlowReader,
    ReconnectStorm,
}

impl Kind {
    pub const OF_SERVERS: [Self; 14] = [
        Self::GatewayKilled,
        Self::GatewayFrozen,
        Self::GatewayDrained,
        Self::GatewayCutOff,
        Self::GatewayLost,
        Self::ProjectorKilled,
        Self::ProjectorFrozen,
        Self::ProjectorLost,
        Self::NatsKilled,
        Self::NatsFrozen,
        Self::NatsUnreachable,
        Self::PostgresKilled,
        Self::PostgresFrozen,
        Self::PostgresUnreachable,
    ];
    pub const OF_CLIENTS: [Self; 5] = [
        Self::NetworkDelayed,
        Self::NetworkCut,
        Self::NetworkBlackHole,
        Self::SlowReader,
        Self::ReconnectStorm,
    ];

    /// The kinds that the run has to inflict: all of `kinds`, unless `VERBATIM_FAULTS_KINDS` names some.
    pub fn wanted(kinds: &[Self]) -> Vec<Self> {
        let Ok(named) = std::env::var("VERBATIM_FAULTS_KINDS") else { return kinds.to_vec() };
        let named: Vec<&str> = named.split(',').map(str::trim).collect();
        let all = Self::OF_SERVERS.iter().chain(&Self::OF_CLIENTS).map(|kind| kind.word());
        let words: Vec<String> = all.collect();
        for name in &named {
            assert!(words.iter().any(|word| word == name), "{name} is none of {}", words.join(", "));
        }
        kinds.iter().copied().filter(|kind| named.contains(&&*kind.word())).collect()
    }

    pub fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// The maximum number of attempts for a fault that has no effect, because its target was not in use at that moment.
const ATTEMPTS: usize = 3;

/// One planned fault.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub kind: Kind,
    /// The number of the gateway or server.
    pub target: usize,
    pub lasts: Duration,
}

/// Inflicts faults until the time is over. Every kind occurs once before any occurs again.
pub async fn rages(world: Arc<World>, crowd: Arc<Crowd>, kinds: &[Kind], chance: Chance, until: Instant) {
    let mut chance = chance;
    let mut plan: Vec<Kind> = Vec::new();
    while Instant::now() < until {
        if plan.is_empty() {
            plan = kinds.to_vec();
            chance.shuffle(&mut plan);
        }
        let Some(kind) = plan.pop() else { return };
        let target = chance.below(strike::targets(kind, &world));
        let mut fault = Fault { kind, target, lasts: strike::lasts(kind, &mut chance) };
        let history = &world.history;
        let (mut began, mut effect) = (history.now(), None);
        for _ in 0..ATTEMPTS {
            began = history.now();
            effect = strike::strike(fault, &world, &crowd, &mut chance).await;
            if effect.is_some() {
                break;
            }
            history.note(What::InVain { kind: kind.word() });
            // All clients may have moved to the other target.
            fault.target = (fault.target + 1) % strike::targets(kind, &world);
        }
        let (kind, target) = (kind.word(), fault.target.to_string());
        history.note(What::Fault { kind: kind.clone(), target, began, healed: history.now(), effect });
        if timeout(RECOVERY, recovers(&world, &crowd)).await.is_err() {
            let what = format!("{} sockets are open after {kind}", crowd.connected());
            let by = crowd.clients[0].person.id;
            history.note(What::Blunder { by, what: format!("no recovery within {RECOVERY:?}: {what}") });
        }
        sleep(chance.millis(300..=1_500)).await;
    }
}

/// Waits until messages are acknowledged again and most sockets are open.
async fn recovers(world: &World, crowd: &Crowd) {
    let since = world.history.now();
    let all: usize = crowd.clients.iter().map(|client| client.devices.len()).sum();
    let acknowledged = |what: &What| matches!(what, What::Acknowledged { .. });
    while world.history.count_since(since, acknowledged) == 0 || crowd.connected() * 10 < all * 8 {
        sleep(Duration::from_millis(100)).await;
    }
}
