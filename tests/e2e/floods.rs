//! One hostile client costs itself only.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    flood::Flood,
    world::{World, eventually},
};

/// Whoever waits longer is starved, on the slowest machine.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_floods_its_socket_starves_nobody_and_is_thrown_out() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let mut of_ben = ben.connects().await;
    for flood in Flood::ALL {
        let eve = world.person("eve").await;
        let thrown_out = Arc::<AtomicUsize>::default();
        let noted = thrown_out.clone();
        let address = eve.address;
        let pouring = tokio::spawn(async move {
            let note = |code| {
                if code == Some(4408) {
                    noted.fetch_add(1, Ordering::Relaxed);
                }
            };
            flood.pours(address, &eve.token, note).await;
        });
        for number in 0..10 {
            let text = format!("{number} during {flood:?}");
            timeout(SOON, ana.says(&lunch, &text)).await.unwrap_or_else(|_| panic!("{text}: not sent"));
            timeout(SOON, of_ben.sees(&text)).await.unwrap_or_else(|_| panic!("{text}: not seen"));
            let lives = timeout(SOON, world.nodes[0].lives()).await;
            assert_eq!(lives, Ok(true), "{text}: the node does not say that it lives");
        }
        if flood != Flood::Requests {
            eventually(&format!("{flood:?} is closed with 4408"), || async {
                thrown_out.load(Ordering::Relaxed) > 0
            })
            .await;
        }
        pouring.abort();
    }
    world.finish().await;
}
