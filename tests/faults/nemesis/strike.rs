//! One fault: it is inflicted, lasts and is healed. Its effect is measured, not assumed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::Method;
use tokio::time::{sleep, timeout};
use verbatim::domain::ConversationId;

use super::{Fault, Kind};
use crate::{
    chance::Chance,
    clients::{Client, Crowd},
    history::{Key, What},
    person::Outcome,
    proxy::{Done, Proxy, Weather},
    servers::signal,
    world::{STREAMS, Way, World},
};

/// How long after a fault its effect may still appear.
const AFTERWARDS: Duration = Duration::from_secs(8);
/// The messages that a slow reader leaves unread: more than all buffers in between and the limit of the gateway hold.
const LOUD: (usize, usize) = (400, 16 * 1024);

/// The number of targets to choose from.
pub(super) fn targets(kind: Kind, world: &World) -> usize {
    match kind {
        Kind::NatsKilled | Kind::NatsFrozen => world.replicas,
        Kind::GatewayKilled
        | Kind::GatewayFrozen
        | Kind::GatewayDrained
        | Kind::GatewayCutOff
        | Kind::GatewayLost => world.gateways.len(),
        Kind::NetworkDelayed | Kind::NetworkCut | Kind::NetworkBlackHole => world.doors.len(),
        _ => 1,
    }
}

pub(super) fn lasts(kind: Kind, chance: &mut Chance) -> Duration {
    chance.millis(match kind {
        Kind::GatewayKilled | Kind::GatewayLost | Kind::PostgresKilled => 0..=3_000,
        // This is longer than clients tolerate silence.
        Kind::GatewayFrozen | Kind::NetworkBlackHole => 5_000..=7_000,
        Kind::ProjectorKilled | Kind::ProjectorFrozen | Kind::ProjectorLost => 1_000..=4_000,
        Kind::NatsKilled => 500..=3_000,
        Kind::NatsFrozen | Kind::NatsUnreachable => 3_000..=6_000,
        Kind::GatewayCutOff | Kind::PostgresFrozen => 3_000..=8_000,
        Kind::PostgresUnreachable | Kind::NetworkDelayed => 2_000..=5_000,
        Kind::GatewayDrained | Kind::NetworkCut | Kind::SlowReader | Kind::ReconnectStorm => 0..=0,
    })
}

/// Inflicts a fault and heals it. Returns its effect.
pub(super) async fn strike(
    fault: Fault,
    world: &World,
    crowd: &Crowd,
    chance: &mut Chance,
) -> Option<String> {
    if reaches_clients(fault.kind) {
        has_sockets(fault.target, world, crowd).await;
    }
    match fault.kind {
        Kind::GatewayKilled | Kind::GatewayFrozen | Kind::GatewayDrained => gateway(fault, world).await,
        Kind::GatewayCutOff => cut_off(fault, world, crowd, chance).await,
        Kind::GatewayLost => gateway_lost(fault, world).await,
        Kind::ProjectorKilled | Kind::ProjectorFrozen | Kind::ProjectorLost => projector(fault, world).await,
        Kind::NatsKilled | Kind::NatsFrozen => nats(fault, world).await,
        Kind::NatsUnreachable => nats_unreachable(fault, world).await,
        Kind::PostgresKilled => postgres_killed(fault, world, crowd).await,
        Kind::PostgresFrozen => postgres_frozen(fault, world, crowd).await,
        Kind::PostgresUnreachable => postgres_unreachable(fault, world, crowd).await,
        Kind::NetworkDelayed => delayed(fault, world, crowd, chance).await,
        Kind::NetworkCut => cut(fault, world).await,
        Kind::NetworkBlackHole => black_hole(fault, world).await,
        Kind::SlowReader => slow_reader(crowd, chance).await,
        Kind::ReconnectStorm => reconnect_storm(world, crowd).await,
    }
}

/// Whether it affects clients of one gateway.
fn reaches_clients(kind: Kind) -> bool {
    use Kind::*;
    matches!(
        kind,
        GatewayKilled
            | GatewayFrozen
            | GatewayDrained
            | GatewayLost
            | NetworkDelayed
            | NetworkCut
            | NetworkBlackHole
    )
}

/// Waits a while until a client is connected to a gateway, because otherwise the fault would have no effect.
async fn has_sockets(node: usize, world: &World, crowd: &Crowd) {
    let waiting = async {
        // Another fault may be using the gateway.
        while world.gateways[node].try_lock().is_err() || crowd.connected_to(node) == 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = timeout(AFTERWARDS * 4, waiting).await;
}

/// The effect is that sockets of that node end.
async fn gateway(Fault { kind, target, lasts }: Fault, world: &World) -> Option<String> {
    let began = world.history.now();
    let mut node = world.gateways[target].lock().await;
    match kind {
        Kind::GatewayFrozen => {
            let pid = node.pid()?;
            signal(pid, "STOP").await;
            sleep(lasts).await;
            signal(pid, "CONT").await;
        }
        Kind::GatewayDrained => {
            if !node.stop().await {
                return None;
            }
        }
        _ => {
            node.kill9().await;
            sleep(lasts).await;
        }
    }
    if kind != Kind::GatewayFrozen {
        node.start_again().await;
        world.doors[target].leads_to(node.address);
    }
    let code = (kind == Kind::GatewayDrained).then_some(1012);
    let ended = |what: &What| {
        matches!(what, What::Ended { node, code: said, .. }
            if *node == target && (code.is_none() || *said == code))
    };
    felt(|| world.history.count_since(began, ended), "sockets ended").await
}

/// The effect is that the gateway is reachable but stores nothing, which otherwise succeeds at once.
async fn cut_off(
    Fault { target, lasts, .. }: Fault,
    world: &World,
    crowd: &Crowd,
    chance: &mut Chance,
) -> Option<String> {
    let client = chance.pick(&crowd.clients)?;
    let conversation = *chance.pick(&client.conversations)?;
    let client_id = format!("cut-off-{}", world.history.now());
    let key = Key { user: client.person.id, conversation, client_id };
    let _turn = world.gateways[target].lock().await;
    let sending = async {
        // By then, everything in flight has arrived.
        sleep(Duration::from_millis(200)).await;
        client.begins(&key, "is anybody there?");
        let attempt = client.person.sends(target, &key, "is anybody there?");
        let patience = lasts.saturating_sub(Duration::from_millis(500));
        match timeout(patience, attempt).await {
            Ok(outcome) => matches!(outcome, Outcome::Unknown),
            Err(_) => {
                world.history.note(What::Unknown { key: key.clone(), why: "cut off".into() });
                true
            }
        }
    };
    let (held, is_felt) = tokio::join!(held(world.ways[target].to_nats.iter().collect(), lasts), sending);
    held.filter(|_| is_felt).map(|bytes| format!("nothing was stored there, {bytes} bytes were held back"))
}

/// The effect is that its sockets become silent while the servers still consider it connected.
async fn gateway_lost(Fault { target, lasts, .. }: Fault, world: &World) -> Option<String> {
    let began = world.history.now();
    let mut node = world.gateways[target].lock().await;
    let way = &world.ways[target];
    let before = way.left_alone();
    way.loses_its_machine();
    world.doors[target].loses_a_machine();
    node.kill9().await;
    let left_alone = left_alone(way, before).await;
    sleep(lasts).await;
    node.start_again().await;
    world.doors[target].leads_to(node.address);
    let silent =
        |what: &What| matches!(what, What::Ended { node, why, .. } if *node == target && why == "silent");
    let felt = felt(|| world.history.count_since(began, silent), "sockets fell silent").await?;
    Some(format!("{felt}, {} ends of connections were left alone", left_alone?))
}

/// The number of connection ends that have lost their peer since there were `before`. `None` if there is none within a
/// second, so nothing was lost.
async fn left_alone(way: &Way, before: u64) -> Option<u64> {
    let some = async {
        while way.left_alone() == before {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(1), some).await.ok()?;
    Some(way.left_alone() - before)
}

/// The effect is that the log grows and the views do not change.
async fn projector(Fault { kind, lasts, .. }: Fault, world: &World) -> Option<String> {
    let mut node = world.projector.lock().await;
    let pid = node.pid()?;
    let way = world.way_of_projector();
    let ends = way.left_alone();
    match kind {
        Kind::ProjectorFrozen => signal(pid, "STOP").await,
        Kind::ProjectorLost => {
            way.loses_its_machine();
            node.kill9().await;
            left_alone(way, ends).await?;
        }
        _ => node.kill9().await,
    }
    // By then, a statement in flight has completed.
    sleep(Duration::from_millis(200)).await;
    let before = world.log_and_views().await;
    sleep(lasts).await;
    let after = world.log_and_views().await;
    match kind {
        Kind::ProjectorFrozen => signal(pid, "CONT").await,
        _ => node.start_again().await,
    }
    let ((log, views), (log_then, views_then)) = (before?, after?);
    (views == views_then && log_then > log).then(|| format!("the views stood for {} events", log_then - log))
}

/// The effect is that nothing is acknowledged in the streams that the server leads, or that another server becomes the
/// leader. In a cluster, the target is a leader, because the loss of another server has hardly any effect.
async fn nats(Fault { kind, target, lasts }: Fault, world: &World) -> Option<String> {
    let began = world.history.now();
    let mut backbone = world.backbone.lock().await;
    let before = backbone.leaders().await;
    let leading: Vec<usize> = before.iter().copied().flatten().collect();
    let target = *leading.get(target % leading.len().max(1))?;
    match kind {
        Kind::NatsFrozen => backbone.server(target).freeze(),
        _ => backbone.server(target).kill9(),
    }
    sleep(lasts).await;
    let led = |stream: usize| before[stream] == Some(target);
    let moved = match backbone.size() {
        1 => 0,
        _ => {
            let after = backbone.leaders().await;
            (0..after.len()).filter(|stream| led(*stream) && after[*stream] != Some(target)).count()
        }
    };
    match kind {
        Kind::NatsFrozen => backbone.server(target).thaw(),
        _ => backbone.server(target).start_again().await.expect("nats-server starts again"),
    }
    let quiet = silence(world, began, lasts, led);
    backbone.settles().await;
    quiet.or((moved > 0).then(|| format!("{moved} streams are led by another")))
}

async fn nats_unreachable(Fault { lasts, .. }: Fault, world: &World) -> Option<String> {
    let began = world.history.now();
    held(world.ways.iter().flat_map(|way| &way.to_nats).collect(), lasts).await?;
    silence(world, began, lasts, |_| true)
}

/// The time in which nothing was acknowledged in some streams, if it is at least half of the fault.
fn silence(world: &World, began: u64, lasts: Duration, of: impl Fn(usize) -> bool) -> Option<String> {
    let stream = |conversation: ConversationId| usize::from(conversation.shard()) * STREAMS / 256;
    let acknowledged =
        |what: &What| matches!(what, What::Acknowledged { key, .. } if of(stream(key.conversation)));
    let longest = world.history.longest_without(began, acknowledged);
    (u128::from(longest) * 2 >= lasts.as_millis() && longest > 100)
        .then(|| format!("nothing was acknowledged for {longest} ms"))
}

/// Blocks links for a while. Returns the number of bytes held back.
async fn held(links: Vec<&Proxy>, lasts: Duration) -> Option<u64> {
    let held_by = || links.iter().map(|link| link.done(|done: &Done| &done.held_bytes)).sum::<u64>();
    let before = held_by();
    links.iter().for_each(|link| link.set(Weather::BlackHole));
    sleep(lasts).await;
    let held = held_by() - before;
    links.iter().for_each(|link| link.set(Weather::Fair));
    (held > 0).then_some(held)
}

async fn postgres_killed(Fault { lasts, .. }: Fault, world: &World, crowd: &Crowd) -> Option<String> {
    let mut postgres = world.postgres.lock().await;
    postgres.kill9();
    let (failed, ()) = tokio::join!(reads_that_fail(crowd), sleep(lasts));
    postgres.start_again().await.expect("Postgres starts again");
    failed
}

async fn postgres_frozen(Fault { lasts, .. }: Fault, world: &World, crowd: &Crowd) -> Option<String> {
    let mut postgres = world.postgres.lock().await;
    postgres.freeze(true);
    let (failed, ()) = tokio::join!(reads_that_fail(crowd), sleep(lasts));
    postgres.freeze(false);
    failed
}

async fn postgres_unreachable(Fault { lasts, .. }: Fault, world: &World, crowd: &Crowd) -> Option<String> {
    let (failed, held) = tokio::join!(
        reads_that_fail(crowd),
        held(world.ways.iter().map(|way| &way.to_postgres).collect(), lasts)
    );
    held.and(failed)
}

/// Sends reads that need Postgres. The effect of its fault is that one of them fails.
async fn reads_that_fail(crowd: &Crowd) -> Option<String> {
    sleep(Duration::from_millis(50)).await;
    let person = &crowd.clients[0].person;
    let asked = [0, 1]
        .map(|node| timeout(Duration::from_millis(1_500), person.ask(node, Method::GET, "/v1/me", None)));
    let answers = join_all(asked).await;
    let failed = answers.iter().filter(|answer| !matches!(answer, Ok(Some(answer)) if answer.status == 200));
    Some(failed.count()).filter(|failed| *failed > 0).map(|failed| format!("{failed} of 2 reads failed"))
}

/// The effect is that a request takes at least as long as the delays of both directions.
async fn delayed(
    Fault { target, lasts, .. }: Fault,
    world: &World,
    crowd: &Crowd,
    chance: &mut Chance,
) -> Option<String> {
    let _turn = world.gateways[target].lock().await;
    let (door, by) = (&world.doors[target], chance.millis(50..=400));
    door.set(Weather::Delayed(by));
    let person = &crowd.clients[0].person;
    let asking = async {
        let asked = Instant::now();
        let _ = person.ask(target, Method::GET, "/v1/info", None).await;
        asked.elapsed()
    };
    let before = door.done(|done| &done.delayed_bytes);
    let (took, ()) = tokio::join!(asking, sleep(lasts));
    let bytes = door.done(|done| &done.delayed_bytes) - before;
    door.set(Weather::Fair);
    (took >= by * 2 && bytes > 0).then(|| format!("{} ms later each way", by.as_millis()))
}

/// The effect is that a connection was cut within a frame.
async fn cut(Fault { target, .. }: Fault, world: &World) -> Option<String> {
    let _turn = world.gateways[target].lock().await;
    let door = &world.doors[target];
    let before = door.done(|done| &done.cut_in_frame);
    door.set(Weather::Cut(Instant::now()));
    let felt = felt(|| (door.done(|done| &done.cut_in_frame) - before) as usize, "cut within a frame").await;
    sleep(Duration::from_millis(1_200)).await;
    door.set(Weather::Fair);
    felt
}

/// The effect is that bytes were held back and clients gave up.
async fn black_hole(Fault { target, lasts, .. }: Fault, world: &World) -> Option<String> {
    let _turn = world.gateways[target].lock().await;
    let began = world.history.now();
    held(vec![&world.doors[target]], lasts).await?;
    let silent =
        |what: &What| matches!(what, What::Ended { node, why, .. } if *node == target && why == "silent");
    felt(|| world.history.count_since(began, silent), "sockets fell silent").await
}

/// A device stops reading while many messages are sent. The effect is that the server closes its socket.
async fn slow_reader(crowd: &Crowd, chance: &mut Chance) -> Option<String> {
    let client = chance.pick(&crowd.clients)?;
    let history = &client.person.world.history;
    let notes = client.person.starts("Notes", &[]).await;
    let which = chance.below(client.devices.len());
    client.devices[which].is_slow.send_replace(true);
    let began = history.now();
    let (count, size) = LOUD;
    let lanes = (0..8).map(|lane| {
        let (client, mut chance) = (client.clone(), chance.apart("loud", lane));
        async move {
            for number in (lane..count).step_by(8) {
                says_loudly(&client, notes, number, size, &mut chance).await;
            }
        }
    });
    let said = timeout(Duration::from_secs(45), join_all(lanes)).await;
    client.devices[which].is_slow.send_replace(false);
    let number = client.devices[which].number;
    let closed = |what: &What| matches!(what, What::Ended { device, .. } if *device == number);
    let felt = felt(|| history.count_since(began, closed), "slow sockets were ended").await;
    felt.filter(|_| said.is_ok())
}

async fn says_loudly(
    client: &Arc<Client>,
    to: ConversationId,
    number: usize,
    size: usize,
    chance: &mut Chance,
) {
    let key = Key { user: client.person.id, conversation: to, client_id: format!("loud-note-{number}") };
    let text = format!("{number} {}", "x".repeat(size - 8));
    client.begins(&key, &text);
    client.says_over_rest(&key, &text, chance).await;
}

/// All devices disconnect at once and reconnect at once.
async fn reconnect_storm(world: &World, crowd: &Crowd) -> Option<String> {
    let began = world.history.now();
    crowd.storm.send_modify(|times| *times += 1);
    let went = |what: &What| matches!(what, What::Ended { why, .. } if why == "storm");
    let came = |what: &What| matches!(what, What::Ready { .. });
    let went = felt(|| world.history.count_since(began, went), "sockets went").await?;
    // This takes longer while another fault prevents sessions from beginning.
    let come = || felt(|| world.history.count_since(began, came), "came");
    let came = match come().await {
        None => come().await?,
        some => some?,
    };
    Some(format!("{went}, {came} at once"))
}

/// Waits a while for the effect of a fault.
async fn felt(count: impl Fn() -> usize, of: &str) -> Option<String> {
    let counted = async {
        while count() == 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(AFTERWARDS, counted).await.ok()?;
    Some(format!("{} {of}", count()))
}
