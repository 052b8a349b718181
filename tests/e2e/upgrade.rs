//! A new version runs next to the old one and is removed again, as in deploy/UPGRADE.md. There is only one program, so
//! the story does by hand what a newer one would do: migrations, views and events that this one does not know.

use tokio_util::sync::CancellationToken;
use verbatim::{
    app,
    log::{Log, Wanted},
    projector,
    supervise::Supervisor,
    views,
};

use crate::{
    newer::Newer,
    world::{World, eventually},
};

#[tokio::test]
async fn a_new_version_comes_beside_the_old_one_and_goes_again() {
    let mut world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    ana.says(&lunch, "by the old one").await;
    let mut device = ben.connects().await;

    // Upgrade: the new version migrates, fills its own views, and writes. The old node continues to serve.
    for sql in [
        "alter table auth.account add column of_a_newer_version text not null default ''",
        "create table auth.of_a_newer_version (account uuid references auth.account)",
        "insert into auth._sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'of a newer version', true, '', 0)",
    ] {
        world.database.does(sql).await;
    }
    let pool = app::database_with(&world.database.url, 2, "view_2".into()).await.expect("Postgres");
    let log = Log::open(world.nats.url(), Wanted::default(), &Supervisor::new()).await.expect("the log");
    let stop = CancellationToken::new();
    let projecting = tokio::spawn(projector::project(log, pool.clone(), "view_2".into(), 0, stop.clone()));
    let newer = Newer::version(&world, &lunch).await;
    newer.appends("timeline", "verbatim.message.sent.v2", &ana).await;
    let last = ana.says(&lunch, "by the old one, beside the new one").await["position"].as_u64();
    device.sees("by the old one, beside the new one").await;
    let progress = views::Progress::new(pool.clone());
    eventually("the new version has filled its views", || async {
        progress.positions().await.is_ok_and(|at| at.get(&0).is_some_and(|at| Some(at.0) >= last))
    })
    .await;
    world.person("carl").await;

    // Downgrade: the new version has stopped, and the old program starts on the data that it has left.
    stop.cancel();
    projecting.await.expect("the projection ends");
    pool.close().await;
    world.nodes[0].stop().await;
    world.add_node("api,gateway,projector").await;
    world.nodes[1].is_ready().await;
    let (ana, ben) = (ana.at(world.nodes[1].address), ben.at(world.nodes[1].address));
    let mut device = ben.connects().await;
    let last = ana.says(&lunch, "by the old one again").await["position"].as_u64().expect("position");
    device.sees("by the old one again").await;
    let told = ["by the old one", "by the old one, beside the new one", "by the old one again"];
    assert_eq!(ana.history(&lunch, last).await, told);
    for command in ["check", "verify"] {
        let ran = world.runs(&[command]).await;
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    }

    // Later, `status` names the views of the version that is gone for good, and the command that drops them.
    let status = world.runs(&["status"]).await;
    assert!(status.code == Some(0) && status.stdout.contains("parked nothing"), "{status:?}");
    let drop = status.stdout.split('`').find(|text| text.starts_with("drop schema")).expect("a statement");
    assert_eq!(drop, "drop schema view_2 cascade");
    world.database.does(drop).await;
    assert!(!world.runs(&["status"]).await.stdout.contains("view_2"));
    world.finish().await;
}
