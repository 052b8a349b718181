//! The command line of operators.

use std::{process::Stdio, time::Duration};

use reqwest::Method;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use crate::world::{Database, Person, Program, Ran, World, ask, command, eventually, nats, signal};

/// `verbatim dev` with its data in a folder.
pub struct Dev {
    pub child: tokio::process::Child,
    pub address: std::net::SocketAddr,
}

pub async fn dev(folder: &std::path::Path) -> Dev {
    dev_with(folder, &[]).await
}

async fn dev_with(folder: &std::path::Path, arguments: &[&str]) -> Dev {
    let mut child = command()
        .arg("dev")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("VERBATIM_DATA_DIR", folder)
        .env("VERBATIM_LISTEN", "127.0.0.1:0")
        .env("VERBATIM_ADMIN_LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let address = timeout(Duration::from_secs(120), async {
        while let Some(line) = lines.next_line().await.expect("output") {
            if let Some(rest) = line.trim().strip_prefix("OpenAPI") {
                let rest = rest.trim().trim_start_matches("http://");
                return rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address");
            }
        }
        panic!("dev mode has ended");
    });
    let address = address.await.expect("dev mode is ready in time");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Dev { child, address }
}

/// Processes whose command line names a folder.
async fn left_in(folder: &std::path::Path) -> Vec<String> {
    let listed = Command::new("ps").args(["-eo", "pid,args"]).output().await.expect("ps runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let folder = folder.to_string_lossy().into_owned();
    listed.lines().filter(|line| line.contains(&folder)).map(str::to_owned).collect()
}

#[tokio::test]
async fn dev_mode_keeps_its_data_and_leaves_no_process() {
    let folder = crate::world::folder();
    let mut first = dev(folder.path()).await;
    let ana = Person::registers(first.address, "ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let said = ana.says(&notes, "remember").await["position"].as_u64().expect("position");
    let settings = std::fs::read_to_string(folder.path().join("dev.env")).expect("dev.env");
    assert!(
        settings.contains("VERBATIM_NATS_URL=nats://") && settings.contains("VERBATIM_DATABASE_URL=postgres")
    );
    let key = settings.lines().find_map(|line| line.strip_prefix("VERBATIM_KEY=")).expect("a key").to_owned();
    let operator = Person::program(first.address, "verbatim.dev", "", &key);
    operator.get("/v1/admin/services").await.expect(200);
    let info = ask(first.address, Method::GET, "/v1/info", None).await.expect(200);
    assert_eq!(info["durability"]["sync"], "always", "{info}");

    signal(first.child.id().expect("pid"), "INT").await;
    assert!(first.child.wait().await.expect("wait").success());
    assert_eq!(left_in(folder.path()).await, Vec::<String>::new());

    let mut second = dev(folder.path()).await;
    let ana = ana.at(second.address);
    let settings = std::fs::read_to_string(folder.path().join("dev.env")).expect("dev.env");
    assert!(settings.contains(&format!("VERBATIM_KEY={key}")), "the key is kept");
    operator.at(second.address).get("/v1/admin/services").await.expect(200);
    assert_eq!(ana.history(&notes, said).await, ["remember"], "data and tokens outlive a restart");
    second.child.kill().await.expect("kill -9");
    eventually("nothing outlives a killed parent", || async { left_in(folder.path()).await.is_empty() })
        .await;
}

#[tokio::test]
async fn documents_are_printed_and_checks_tell() {
    let world = World::empty(1).await;
    let run = |arguments: &[&str]| {
        let mut command = command();
        command
            .args(arguments)
            .env("VERBATIM_NATS_URL", world.nats.url())
            .env("VERBATIM_DATABASE_URL", &world.database.url);
        async move { command.output().await.expect("the program runs") }
    };
    let printed = run(&["openapi"]).await.stdout;
    assert_eq!(String::from_utf8_lossy(&printed), include_str!("../../openapi/openapi.json"));
    let printed = run(&["asyncapi"]).await.stdout;
    assert_eq!(String::from_utf8_lossy(&printed), include_str!("../../openapi/asyncapi.yaml"));
    assert!(run(&["check"]).await.status.success());
    assert!(run(&["migrate"]).await.status.success());
    let status = String::from_utf8_lossy(&run(&["status"]).await.stdout).into_owned();
    assert!(status.contains("lag 0 events") && status.contains("parked nothing"), "{status}");
    let checked = String::from_utf8_lossy(&run(&["check"]).await.stdout).into_owned();
    assert!(checked.contains("ok       clock: within 0.") && checked.contains("open files: "), "{checked}");
    assert!(
        checked.contains("WARNING  origins: `*`") && checked.contains("ok       password hashes: 19456 KiB"),
        "{checked}"
    );
    let exposed = ["check", "--listen", "0.0.0.0:8080", "--argon2-memory", "19455"];
    let exposed = String::from_utf8_lossy(&run(&exposed).await.stdout).into_owned();
    for warned in ["encryption: the public listener speaks HTTP", "password hashes: 19455"] {
        assert!(exposed.contains(&format!("WARNING  {warned}")), "{exposed}");
    }
    let refused = run(&["check", "--streams", "4"]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stdout));
    assert_eq!(run(&["sing"]).await.status.code(), Some(2));
    let enough = format!("{} openapi | head -c 1; echo ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_verbatim"));
    let enough = Command::new("bash").args(["-c", &enough]).output().await.expect("bash");
    assert_eq!(String::from_utf8_lossy(&[enough.stdout, enough.stderr].concat()), "{141\n");
    world.finish_without_views().await;
}

/// The exit status and output of a command with these addresses.
async fn told(arguments: &[&str], nats: &str, database: &str) -> (Option<i32>, String) {
    let mut command = command();
    command.args(arguments).args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let ended = command.env("VERBATIM_NATS_URL", nats).env("VERBATIM_DATABASE_URL", database).output();
    let output = timeout(Duration::from_secs(60), ended).await.expect("it ends").expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn credentials_that_are_refused_end_a_process_which_says_what_to_do() {
    let world = World::empty(1).await;
    let (nats, database) = (world.nats.url().to_owned(), world.database.url.clone());
    let as_stranger = |url: &str| {
        let (scheme, rest) = url.split_once("://").expect("a scheme");
        let (_, host) = rest.rsplit_once('@').expect("user and password");
        format!("{scheme}://stranger:wrong@{host}")
    };
    for command in ["serve", "check", "status"] {
        let (code, said) = told(&[command], &as_stranger(&nats), &database).await;
        assert_eq!(code, Some(1), "{command}: {said}");
        assert!(said.contains("nats-server refused the login"), "{command}: {said}");
        assert!(said.contains("VERBATIM_NATS_URL"), "{command}: {said}");
        let (code, said) = told(&[command], &nats, &as_stranger(&database)).await;
        assert_eq!(code, Some(1), "{command}: {said}");
        assert!(
            said.contains("Postgres refused the login") && said.contains("VERBATIM_DATABASE_URL"),
            "{said}"
        );
        assert!(!said.contains("not migrated"), "{command}: {said}");
    }
    let (code, said) = told(&["serve"], &nats, &database.replace("/story_", "/another_")).await;
    assert!(code == Some(1) && said.contains("does not exist"), "{said}");
    let (code, said) = told(&["serve"], "nats://u:a/b@host", &database).await;
    assert!(code == Some(1) && said.contains("percent-encode"), "{said}");
    let (code, said) = told(&["check"], "nats://u:p@127.0.0.1:1", &database).await;
    assert!(code == Some(1) && said.contains("refused (os error"), "the cause is told: {said}");
    world.finish_without_views().await;
}

#[tokio::test]
async fn a_nats_server_that_takes_only_small_messages_is_refused() {
    let mut world = World::empty(1).await;
    world.nats.options().max_payload = Some(8 * 1024);
    world.nats.start_again().await.expect("nats-server starts again");
    for command in ["serve", "check"] {
        let (code, said) = told(&[command], world.nats.url(), &world.database.url).await;
        assert!(
            code == Some(1) && said.contains("max_payload") && said.contains("8192"),
            "{command}: {said}"
        );
    }
    world.finish_without_views().await;
}

#[tokio::test]
async fn passwords_are_percent_encoded_in_addresses() {
    let dir = crate::world::folder();
    let home = dir.path().join("nats");
    std::fs::create_dir(&home).expect("a folder");
    let lines = [
        "VERBATIM_NATS_PASSWORD=aB3/=+x%2F",
        "VERBATIM_NATS_OPERATOR_PASSWORD=operator",
        "VERBATIM_NATS_READER_PASSWORD=reader",
        "VERBATIM_NATS_SYS_PASSWORD=sys",
    ];
    std::fs::write(home.join("passwords"), lines.join("\n")).expect("passwords");
    let nats = nats(dir.path()).await;
    let host = nats.url().rsplit_once('@').expect("user and password").1;
    let database = Database::new().await;
    database.does("create role \"a@b\" login superuser password 'aB3/=+x%2F'").await;
    let (_, at) = database.url.rsplit_once('@').expect("user and password");
    let (nats_url, database_url) = (
        format!("nats://verbatim:aB3%2F%3D%2Bx%252F@{host}"),
        format!("postgres://a%40b:aB3%2F%3D%2Bx%252F@{at}"),
    );
    let (code, said) = told(&["check"], &nats_url, &database_url).await;
    assert_eq!(code, Some(0), "{said}");
    database.does("drop role \"a@b\"").await;
    database.drop().await;
    nats.stop().await;
}

#[tokio::test]
async fn an_origin_that_lets_nobody_in_is_refused_at_the_start() {
    for (origin, instead) in [
        ("https://chat.example/", "write `https://chat.example`"),
        ("chat.example", "as in `https://chat.example`"),
        ("https://*.example", "no wildcards"),
    ] {
        for how in ["serve", "dev", "check"] {
            let ended = command().args([how, "--origins", origin]).output().await.expect("the program runs");
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(2), "{how} {origin}: {said}");
            assert!(said.contains(instead), "{how} {origin}: {said}");
        }
    }
}

/// Runs a command without servers, with only these settings, in this folder.
async fn runs_alone(arguments: &[&str], settings: &[(&str, &str)], folder: &std::path::Path) -> Ran {
    let mut command = command();
    let ended = command.args(arguments).envs(settings.iter().copied()).current_dir(folder).output();
    let output = timeout(Duration::from_secs(120), ended).await.expect("it ends").expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[tokio::test]
async fn commands_work_over_the_network_by_a_key() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let (ana, url) = (world.person("ana").await, format!("http://{}", world.nodes[0].address));
    let with = async |arguments: &[&str], url: &str, key: &str| {
        let settings = [("VERBATIM_URL", url), ("VERBATIM_KEY", key)];
        runs_alone(arguments, &settings, world.dir()).await
    };
    let over = async |arguments: &[&str]| {
        let ran = with(arguments, &url, &operator.person.token).await;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.stdout
    };
    let here = async |arguments: &[&str]| {
        let ran = world.runs(arguments).await;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.stdout
    };
    let word = |text: &str, name: &str| {
        let mut words = text.split_whitespace().skip_while(|word| *word != name);
        words.nth(1).unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
    };

    let shop = word(&over(&["services", "add", "shop", "--scopes", "users:read"]).await, "id");
    assert_eq!(over(&["services", "list"]).await, here(&["services", "list"]).await);
    let made = over(&["services", "keys", "add", &shop, "--name", "first", "--expires-in", "3600"]).await;
    let bot = operator.person.with_token(Some(&word(&made, "key")));
    assert_eq!(bot.get("/v1/me").await.expect(200)["id"], shop);
    let first = word(&made, "id");
    let rotated = over(&["services", "keys", "rotate", &shop, &first, "--overlap", "60"]).await;
    bot.with_token(Some(&word(&rotated, "key"))).get("/v1/me").await.expect(200);
    let list = ["services", "keys", "list", &shop];
    assert_eq!(over(&list).await, here(&list).await);
    let revoked = over(&["services", "keys", "revoke", &shop, &first]).await;
    assert!(revoked.contains("revoked the key on all nodes"), "{revoked}");
    bot.get("/v1/me").await.refuses(401, "invalid_key");

    let code = over(&["invites", "add", "--uses", "3"]).await;
    assert!(code.starts_with("vbi_"), "{code}");
    let listed = over(&["invites", "list"]).await;
    assert_eq!(listed, here(&["invites", "list"]).await);
    let invite = listed.split_whitespace().next().expect("an id");
    assert!(listed.contains("used 0 of 3") && over(&["invites", "revoke", invite]).await.contains("revoked"));
    let shown = over(&["users", "show", &ana.name]).await;
    assert!(shown.contains(&ana.id) && shown.contains(&ana.name), "{shown}");
    assert!(over(&["users", "recover", &ana.name]).await.starts_with("vbr_"));

    crate::audit::nothing_waits(&world).await;
    for more in
        [&[][..], &["--from", "2"], &["--area", "key"], &["--from", "2020-01-01T00:00:00Z", "--id", &shop]]
    {
        let tail = [&["audit", "tail"], more].concat();
        let lines = |text: String| -> Vec<serde_json::Value> {
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        let (remote, local) = (lines(over(&tail).await), lines(here(&tail).await));
        assert!(!remote.is_empty(), "{tail:?}");
        assert_eq!(remote, local, "{tail:?}");
    }

    let refused = async |arguments: &[&str], url: &str, key: &str, says: &str| {
        let ran = with(arguments, url, key).await;
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(says) && !ran.stderr.contains("vbk_"), "{arguments:?} {says}: {ran:?}");
    };
    let (list, key) = (["services", "list"], &*operator.person.token);
    refused(&list, &url, "vbk_x", "401 invalid_key").await;
    let reader = operator.makes("till", &["users:read"]).await.person.token;
    refused(&list, &url, &reader, "`admin:services`").await;
    refused(&["services", "add", "other", "--scopes", "all"], &url, key, "400 unknown_scope").await;
    refused(&["services", "bootstrap"], &url, key, "over the network").await;
    refused(&["users", "show", "nobody"], &url, key, "no account").await;
    refused(&list, "http://10.1.2.3:8080", key, "in the clear").await;
    refused(&list, "http://127.0.0.1:1", key, "VERBATIM_URL").await;
    let alone = runs_alone(&list, &[("VERBATIM_URL", &url)], world.dir()).await;
    assert!(alone.code == Some(1) && alone.stderr.contains("VERBATIM_KEY is not set"), "{alone:?}");
    world.finish().await;
}

#[tokio::test]
async fn commands_without_settings_find_the_dev_mode_that_runs() {
    let folder = crate::world::folder();
    let data_dir = folder.path().join(".verbatim");
    let mut running =
        dev_with(&data_dir, &["--webhook-allow-http", "--webhook-allow", "127.0.0.0/8,::1"]).await;
    for arguments in [
        &["services", "list"][..],
        // What this dev mode allows, its commands allow, too.
        &["webhooks", "add", "http://127.0.0.1:8000/"],
        &["audit", "tail"],
        &["invites", "list"],
        &["status"],
        &["check"],
        &["verify"],
        &["rebuild", "all"],
    ] {
        let ran = runs_alone(arguments, &[], folder.path()).await;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    }
    let listed = runs_alone(&["services", "list"], &[], folder.path()).await;
    assert!(listed.stdout.contains("username verbatim.dev"), "{listed:?}");
    let elsewhere = crate::world::folder();
    let named = [("VERBATIM_DATA_DIR", data_dir.to_str().expect("text"))];
    assert_eq!(runs_alone(&["status"], &named, elsewhere.path()).await.code, Some(0));
    // Dev mode is not used if a setting names a server, or for commands that change a whole installation.
    let database = [("VERBATIM_DATABASE_URL", "postgres://u:p@127.0.0.1:1/x")];
    let node = [("VERBATIM_URL", "https://chat.example.com")];
    for (arguments, settings) in [
        (&["status"][..], &database[..]),
        (&["webhooks", "list"], &node),
        (&["migrate"], &[]),
        (&["serve"], &[]),
    ] {
        let ran = runs_alone(arguments, settings, folder.path()).await;
        assert!(ran.code == Some(1) && ran.stderr.contains("is not set"), "{arguments:?}: {ran:?}");
    }
    signal(running.child.id().expect("pid"), "INT").await;
    assert!(running.child.wait().await.expect("wait").success());
    let ran = runs_alone(&["status"], &[], folder.path()).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("is not set"), "{ran:?}");
    assert!(ran.stderr.contains("No dev mode is running on .verbatim"), "{ran:?}");
    // Other errors have nothing to do with it.
    let nowhere = format!("dir:{}", folder.path().join("nowhere").display());
    for (arguments, says) in [
        (&["backup", "list"][..], "VERBATIM_ARCHIVE is not set"),
        (&["backup", "verify", "--to", &nowhere], "no archive at"),
    ] {
        let ran = runs_alone(arguments, &[], folder.path()).await;
        assert!(ran.code == Some(1) && ran.stderr.contains(says), "{ran:?}");
        assert!(!ran.stderr.contains("No dev mode"), "{ran:?}");
    }
}
