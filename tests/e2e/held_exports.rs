//! Exports of legal holds: all held content as it is in the log, for authorised users and nobody else.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    erasing::{asks, is_done, starts_eraser},
    exports::{Files, downloads, file_of, lines, opened, texts, url},
    holds::{HOLDS, is_held_by, lifts, places},
    world::{Answer, Conversation, Person, Program, World, ask, eventually, position},
};

const EXPORTS: &str = "/v1/admin/exports";

async fn requests(clerk: &Program, hold: &str) -> Value {
    let requested = clerk.person.post(EXPORTS, json!({ "hold": hold })).await.expect(202);
    assert_eq!((&requested["state"], &requested["hold"]), (&json!("ready"), &json!(hold)), "{requested}");
    requested
}

async fn exported(world: &World, clerk: &Program, hold: &str) -> Files {
    opened(world, &downloads(clerk.person.address, url(&requests(clerk, hold).await)).await).await
}

async fn gets(who: &Person, link: &str) -> Answer {
    ask(who.address, Method::GET, link, None).await
}

fn path(of: &Conversation, sent: &Value) -> String {
    format!("/v1/conversations/{}/messages/{}", of.id, sent["id"].as_str().expect("id"))
}

#[tokio::test]
async fn an_export_of_a_hold_has_all_that_its_users_said_also_what_is_hidden() {
    let mut world = World::empty(2).await;
    let settings = [("VERBATIM_RETENTION_MIN", "1"), ("VERBATIM_LIMIT_EXPORT", "off")];
    world.add_node_with("api,gateway,projector", &settings).await;
    let operator = Program::bootstraps(&world).await;
    let program = operator.makes("forgets", &["admin:erasure"]).await;
    let counsel = operator.makes("counsel", &["admin:holds"]).await;
    let clerk = operator.makes("clerk", &["admin:export"]).await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let dinner = ben.starts_group("Dinner", &[&ana]).await;
    let walk = ben.starts_group("Walk", &[]).await;
    let mut eraser = starts_eraser(&world);

    let gone = ana.says(&lunch, "erased before the hold").await;
    is_done(&program, &asks(&program, &[(&lunch, position(&gone))]).await).await;
    let edited = ana.says(&lunch, "said first").await;
    let edited = ana.patch(&path(&lunch, &edited), json!({ "text": "said then" })).await.expect(200);
    let deleted = ana.says(&lunch, "deleted").await;
    ana.delete(&path(&lunch, &deleted)).await.reached();
    let erased = ana.says(&lunch, "erased under the hold").await;
    ben.says(&lunch, "said by ben").await;
    ana.says(&dinner, "said at dinner").await;
    ben.removes(&dinner, &ana).await.expect(204);
    ben.says(&walk, "said on the walk").await;
    let name = "Zebra against Crossing";
    let hold = places(&counsel, json!({ "name": name, "users": [ana.id] })).await;
    let bounded = json!({ "name": "b", "conversations": [lunch.id], "from": edited["edited_at"] });
    let hold_of_lunch = places(&counsel, bounded).await;
    let erasure = asks(&program, &[(&lunch, position(&erased))]).await;
    is_held_by(&program, &erasure, &[&hold, &hold_of_lunch]).await;
    // Messages older than the retention are first hidden by the clock alone, and then erased and held.
    ana.patch(&format!("/v1/conversations/{}", lunch.id), json!({ "retention_s": 1 })).await.expect(200);
    let page = format!("/v1/conversations/{}/messages", lunch.id);
    eventually("all is expired", async || ana.get(&page).await.expect(200)["items"] == json!([])).await;

    let requested = requests(&clerk, &hold).await;
    ana.says(&lunch, "said after the request").await;
    let files = opened(&world, &downloads(clerk.person.address, url(&requested)).await).await;
    assert_eq!(texts(&files, &lunch), ["said first", "said then", "deleted", "erased under the hold"]);
    assert_eq!(texts(&files, &dinner), ["said at dinner"]);
    assert!(!files.contains_key(&file_of(&walk)), "ana was never there");
    for line in [lines(&files, &lunch), lines(&files, &dinner)].concat() {
        assert_eq!(line["actor"], *ana.id, "{line}");
        assert!(line["previous"].as_u64() < line["position"].as_u64(), "{line}");
    }
    let of_gone = lines(&files, &lunch).into_iter().find(|line| line["position"] == gone["position"]);
    assert_eq!(of_gone.expect("a skeleton")["data"], json!({ "erased": true, "message_id": gone["id"] }));
    let parsed = |name: &str| serde_json::from_str::<Value>(&files[name]).expect("JSON");
    let kept = parsed("hold.json");
    let user = &kept["users"][0];
    assert_eq!(
        (&kept["name"], &user["id"], &user["username"]),
        (&json!(name), &json!(ana.id), &json!(ana.name)),
        "{kept}"
    );
    let manifest = parsed("manifest.json");
    assert_eq!(
        (&manifest["hold_id"], &manifest["export_id"]),
        (&json!(hold), &requested["id"]),
        "{manifest}"
    );
    assert_eq!(manifest["log"]["positions"].as_object().map(serde_json::Map::len), Some(2), "{manifest}");
    assert!(files["README.txt"].contains(&hold), "{}", files["README.txt"]);

    // A hold on a conversation has everything. If it has time bounds, a message within them comes with all of its
    // edits.
    let files = exported(&world, &clerk, &hold_of_lunch).await;
    let said = texts(&files, &lunch);
    let expected = [
        "said first",
        "said then",
        "deleted",
        "erased under the hold",
        "said by ben",
        "said after the request",
    ];
    assert_eq!(said, expected);
    let kinds: Vec<_> = lines(&files, &lunch).iter().map(|line| line["type"].to_string()).collect();
    assert!(kinds.iter().any(|kind| kind.contains("content.erased")), "{kinds:?}");
    assert!(!kinds.iter().any(|kind| kind.contains("conversation.created")), "before the bounds: {kinds:?}");

    // The hold keeps the name of an erased account.
    let ask = json!({ "user_id": ana.id, "scope": "account_and_content", "reason_code": "request" });
    program.person.post("/v1/admin/erasures", ask).await.expect(202);
    eventually("ana is out", || async { ana.get("/v1/me").await.status == 403 }).await;
    let files = exported(&world, &clerk, &hold).await;
    assert!(files["hold.json"].contains(&ana.name), "{}", files["hold.json"]);
    assert_eq!(texts(&files, &dinner), ["said at dinner"]);
    eraser.kill().await.expect("it runs");
    world.finish().await;
}

#[tokio::test]
async fn an_export_of_a_hold_is_for_whoever_asked_and_ends_with_the_hold() {
    let world = World::start().await;
    let operator = Program::bootstraps(&world).await;
    let counsel = operator.makes("counsel", &["admin:holds"]).await;
    let clerk = operator.makes("clerk", &["admin:export"]).await;
    let other = operator.makes("other", &["admin:export"]).await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    ana.says(&lunch, "said").await;
    let hold = places(&counsel, json!({ "name": "a", "conversations": [lunch.id] })).await;
    let wanted = json!({ "hold": hold });
    for refused in [&ana, &counsel.person] {
        refused.post(EXPORTS, wanted.clone()).await.refuses(403, "missing_scope");
    }
    let nobody = "01930f3d-5d64-7fa5-8e83-92a3b4c5d6e7";
    let refused = clerk.person.post(EXPORTS, json!({ "hold": nobody })).await.refuses(400, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/hold", "{refused}");

    let requested = requests(&clerk, &hold).await;
    let (own, link) = (format!("{EXPORTS}/{}", requested["id"].as_str().expect("id")), url(&requested));
    assert_eq!(clerk.person.get(&own).await.expect(200), requested);
    counsel.person.get(&own).await.refuses(403, "missing_scope");
    other.person.get(&own).await.refuses(404, "not_found");
    other.person.get(&format!("{EXPORTS}/{nobody}")).await.refuses(404, "not_found");
    // An export of one's own data is not an export of a hold, and vice versa.
    let of_ana = ana.post("/v1/me/exports", json!({})).await.expect(202);
    let of_ana = of_ana["id"].as_str().expect("id");
    clerk.person.get(&format!("{EXPORTS}/{of_ana}")).await.refuses(404, "not_found");
    ana.get(&own.replace("admin", "me")).await.refuses(404, "not_found");

    // Another key has its own link. A link ends with its key, and with the scope of its service account.
    let key = operator.adds_key(&clerk.person.id, json!({ "name": "second" })).await;
    let second = Program {
        person: clerk.person.with_token(key["key"].as_str()),
        key_id: key["id"].as_str().expect("an id").to_owned(),
    };
    let of_second = url(&second.person.get(&own).await.expect(200)).to_owned();
    assert_ne!(of_second, link);
    downloads(ana.address, &of_second).await;
    operator.person.delete(&second.path()).await.expect(204);
    gets(&ana, &of_second).await.refuses(410, "export_over");
    let scopes = format!("update auth.service_account set scopes = '{{}}' where id = '{}'", clerk.person.id);
    world.database.does(&scopes).await;
    gets(&ana, link).await.refuses(410, "export_over");
    world.database.does(&scopes.replace("{}", "{admin:export}")).await;
    downloads(ana.address, link).await;

    // Each hold has a budget of its own.
    let refused = clerk.person.post(EXPORTS, wanted.clone()).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.refuses(429, "rate_limited");
    let third = places(&counsel, json!({ "name": "c", "users": [ana.id] })).await;
    requests(&clerk, &third).await;

    lifts(&counsel, &hold).await;
    gets(&ana, link).await.refuses(410, "hold_lifted");
    let over = clerk.person.get(&own).await.expect(200);
    assert_eq!((&over["state"], &over["url"]), (&json!("expired"), &Value::Null), "{over}");
    other.person.post(EXPORTS, wanted).await.refuses(410, "hold_lifted");
    assert!(counsel.person.get(&format!("{HOLDS}/{hold}")).await.expect(200)["lifted_at"].is_string());
    let trail = world.runs(&["audit", "tail"]).await.stdout;
    assert_eq!(
        (trail.matches("export.requested").count(), trail.matches(&hold).count() >= 3),
        (2, true),
        "{trail}"
    );
    assert!(!trail.contains(of_ana), "{trail}");
    world.finish().await;
}
