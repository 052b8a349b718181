//! Somebody who means harm, for as long as the run lasts: one socket after another is filled until it is
//! closed. Nobody else may feel that, so it is no fault that comes and goes.

use tokio::time::sleep;

use crate::{chance::Chance, flood::Flood, history::What, person::Person};

/// Floods the gateways, of which each may be away at any time.
pub async fn floods(person: Person, mut chance: Chance) {
    let world = person.world.clone();
    // Requests are not bounded yet, and the machine of a run is small.
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
