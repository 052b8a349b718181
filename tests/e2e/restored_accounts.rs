//! The accounts that a restore brings back, and those that it does not.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::{
    archives::{creates, folder, loses_everything, place, restores},
    erasing::{is_done, starts_eraser},
    world::{PASSWORD, Person, Program, World, eventually},
};

const ROLES: &str = "api,gateway,projector";

/// The names of the backups, without their ends.
pub fn backups(world: &World) -> BTreeSet<String> {
    let files = fs::read_dir(folder(world).join("backup")).expect("a folder");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"));
    names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect()
}

/// Makes a backup, and returns its name.
async fn backs_up(world: &World) -> String {
    let before = if folder(world).exists() { backups(world) } else { BTreeSet::new() };
    creates(world).await;
    backups(world).difference(&before).next().expect("a new one").clone()
}

fn document(world: &World, name: &str) -> PathBuf {
    folder(world).join(format!("backup/{name}.json"))
}

async fn logs_in(world: &World, who: &Person) -> u16 {
    let login = json!({ "username": who.name, "password": PASSWORD });
    who.at(world.nodes[0].address).post("/v1/logins", login).await.status.as_u16()
}

#[tokio::test]
async fn who_is_erased_or_suspended_stays_out_even_if_the_restore_is_interrupted() {
    let mut world = World::start().await;
    let program = Program::bootstraps(&world).await.makes("forgets", &["admin:erasure"]).await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    backs_up(&world).await;
    world.nodes[0].stop().await;
    let older = world.database.copy().await;
    world.nodes[0] = world.begins_node(ROLES, &[]).await.serves().await;
    let address = world.nodes[0].address;
    let program = Program { person: program.person.at(address), ..program };
    let mut eraser = starts_eraser(&world);
    let erasure = json!({ "user_id": ana.id, "scope": "account", "reason_code": "request" });
    let erasure = program.person.post("/v1/admin/erasures", erasure).await.expect(202);
    is_done(&program, erasure["id"].as_str().expect("an id")).await;
    eraser.kill().await.expect("it runs");
    assert_eq!(world.runs(&["users", "deactivate", &ben.id]).await.code, Some(0));
    eventually("AUDIT tells of both", || async {
        let told = world.runs(&["audit", "tail"]).await.stdout;
        let tells = |word: &str, who: &Person| {
            told.lines().any(|line| line.contains(word) && line.contains(&*who.id))
        };
        tells("account.erased", &ana) && tells("account.suspended", &ben)
    })
    .await;
    // The archive has these audit events, but no later copy of the accounts.
    let later = backs_up(&world).await;
    fs::remove_file(document(&world, &later)).expect("removed");
    loses_everything(&mut world).await;

    // The restore waits for a lock after it has copied the accounts, and is killed there.
    world.database.does("drop schema view cascade").await;
    let mut other = PgConnection::connect(&world.database.url).await.expect("Postgres");
    let mut holds = other.begin().await.expect("Postgres");
    sqlx::raw_sql("create schema view").execute(&mut *holds).await.expect("a schema");
    let mut begun = world.starts(&["restore", "--from", &place(&world)]);
    let mut looks = PgConnection::connect(&world.database.url).await.expect("Postgres");
    let mut waiting = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut looks).await.unwrap_or_default()
    };
    let waits = "select count(*) from pg_stat_activity where datname = current_database()
                 and wait_event_type = 'Lock' and query like '%create schema view%'";
    while waiting(waits).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    begun.kill().await.expect("it runs");
    let are_in = "select count(*) from auth.account where erased_at is null and deactivated_at is null
                  and kind = 'user'";
    assert_eq!(waiting(are_in).await, 3, "the accounts are as in the backup");
    holds.rollback().await.expect("Postgres");
    drop((other, looks));

    let planned = restores(&world, &["--plan"]).await;
    assert!(planned.stdout.contains("will be restored from the backup of"), "{planned:?}");
    let restored = restores(&world, &[]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let marked: bool = world.database.finds("select to_regclass('auth.restoring') is not null").await;
    assert!(!marked);
    world.nodes[0] = world.begins_node(ROLES, &[]).await.serves().await;
    assert_eq!([logs_in(&world, &ana).await, logs_in(&world, &ben).await], [401, 403]);
    assert_eq!(logs_in(&world, &cleo).await, 201);

    // An older copy of the database is kept, with its suspensions, but an erased account never comes back.
    world.nodes[0].stop().await;
    world.loses_the_log().await;
    std::mem::replace(&mut world.database, older).drop().await;
    let restored = restores(&world, &[]).await;
    assert!(restored.code == Some(0) && restored.stdout.contains("will be kept"), "{restored:?}");
    world.nodes[0] = world.begins_node(ROLES, &[]).await.serves().await;
    assert_eq!([logs_in(&world, &ana).await, logs_in(&world, &ben).await], [401, 201]);
    world.finish().await;
}

#[tokio::test]
async fn a_restore_takes_the_latest_accounts_that_are_good() {
    let mut world = World::start().await;
    let ana = world.person("ana").await;
    let first = backs_up(&world).await;
    let ben = world.person("ben").await;
    let second = backs_up(&world).await;
    world.person("cleo").await;
    let third = backs_up(&world).await;
    // A node whose clock was wrong has made one before the others.
    let ahead = "2099-01-01T00:00:00.000Z";
    let backup = folder(&world).join("backup");
    fs::create_dir(backup.join(ahead)).expect("a folder");
    for part in fs::read_dir(backup.join(&first)).expect("a folder") {
        let part = part.expect("a file");
        fs::copy(part.path(), backup.join(ahead).join(part.file_name())).expect("copied");
    }
    let text = fs::read_to_string(document(&world, &first)).expect("a document");
    fs::write(document(&world, ahead), text.replace(&first, ahead)).expect("written");
    // The latest one is damaged, and another one cannot be read.
    let part = backup.join(&third).join("1.copy.zst");
    fs::write(&part, "x").expect("damaged");
    fs::write(document(&world, "2026-01-01T00:00:00.000Z"), "{").expect("written");
    fs::remove_file(backup.join(&first).join("1.copy.zst")).expect("removed");
    let listed = world.runs(&["backup", "list", "--to", &place(&world)]).await;
    let bad = "BAD      backup/2026-01-01T00:00:00.000Z.json: it cannot be read";
    assert!(listed.code == Some(1) && listed.stdout.contains(bad), "{listed:?}");
    assert!(listed.stdout.contains(&second), "{listed:?}");
    let bad = format!("BAD      backup/{first}.json: backup/{first}/1.copy.zst is missing");
    assert!(listed.stdout.contains(&bad), "{listed:?}");

    loses_everything(&mut world).await;
    let planned = restores(&world, &["--plan"]).await;
    for told in [
        format!(
            "a backup of the accounts cannot be used: backup/{third}/1.copy.zst: its content has changed"
        ),
        format!("the accounts will be restored from the backup of {second}"),
    ] {
        assert!(planned.code == Some(0) && planned.stdout.contains(&told), "{told}: {planned:?}");
    }
    let restored = restores(&world, &[]).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let pruned = world.runs(&["backup", "prune", "--keep", "0d", "--to", &place(&world)]).await;
    assert_eq!(pruned.code, Some(0), "{pruned:?}");
    assert_eq!(backups(&world), BTreeSet::from([second.clone(), ahead.to_owned()]), "{pruned:?}");

    // The new epoch gets its own backup at once, although one of the old epoch is fresh and another one from the future.
    let archive = place(&world);
    world.nodes[0] =
        world.begins_node("api,gateway,projector,archiver", &["--archive", &archive]).await.serves().await;
    assert_eq!([logs_in(&world, &ana).await, logs_in(&world, &ben).await], [201, 201]);
    eventually("there is a backup", || async { backups(&world).len() == 3 }).await;
    world.nodes[0].stop().await;
    let made = backups(&world).into_iter().find(|name| *name != second && name != ahead).expect("one");
    let document_of = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(document(&world, name)).expect("a document")).expect("JSON")
    };
    assert_ne!(document_of(&made)["epoch"], document_of(&second)["epoch"]);
    let text = fs::read_to_string(document(&world, &made)).expect("a document");
    fs::remove_file(document(&world, &made)).expect("removed");
    fs::write(document(&world, ahead), text.replace(&made, ahead)).expect("written");
    world.nodes[0] =
        world.begins_node("api,gateway,projector,archiver", &["--archive", &archive]).await.serves().await;
    eventually("there is another backup", || async { backups(&world).len() == 3 }).await;
    world.finish().await;
}
