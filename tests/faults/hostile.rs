//! An attacker who floods one socket after another until it is closed, for the whole run. Nobody else may be affected,
//! so this is not one of the faults that come and go.

use tokio::time::sleep;

use crate::{chance::Chance, flood::Flood, history::What, person::Person};

/// Floods the gateways. Each of them may be down at any time.
pub async fn floods(person: Person, mut chance: Chance) {
    let world = person.world.clone();
    // The nodes of a run have no rate limits, so a flood of requests would take up the small machine.
    let of_sockets: Vec<Flood> = Flood::ALL.into_iter().filter(|flood| *flood != Flood::Requests).collect();
    while let Some(flood) = chance.pick(&of_sockets) {
        let node = chance.below(2);
        let code = flood.pours(world.door(node), &person.token()).await;
        world.history.note(What::Flooded { flood: format!("{flood:?}"), code });
        if matches!(code, Some(4401 | 4501)) {
            person.logs_in(node).await;
        }
        sleep(chance.millis(100..=1_000)).await;
    }
}
