//! Search: it finds messages that the user may read, in their current state, newest first.

use reqwest::Url;
use serde_json::{Value, json};

use crate::world::{Answer, Conversation, Person, World, position};

/// Searches, with additional parameters.
async fn asks(person: &Person, query: &str, more: &[(&str, &str)]) -> Answer {
    let mut url = Url::parse("http://server/v1/messages").expect("url");
    url.query_pairs_mut().append_pair("query", query).extend_pairs(more);
    person.get(&format!("{}?{}", url.path(), url.query().unwrap_or_default())).await
}

/// Searches one conversation once the views have reached a position.
async fn finds_in(person: &Person, of: &Conversation, query: &str, position: u64) -> Vec<String> {
    let position = position.to_string();
    let more = [("conversation_id", &*of.id), ("min_position", &*position)];
    texts(&asks(person, query, &more).await.expect(200))
}

/// Searches everything.
async fn finds(person: &Person, query: &str) -> Vec<String> {
    texts(&asks(person, query, &[]).await.expect(200))
}

/// Makes Postgres estimate so many messages that every word is frequent. Then conversations are walked instead of
/// querying the index.
async fn as_if_there_were_millions(world: &World) {
    let sql =
        "vacuum view.message; update pg_class set reltuples = 10000000 where oid = 'view.message'::regclass";
    for statement in sql.split(';') {
        world.database.does(statement).await;
    }
}

fn texts(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["message"]["text"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn words_are_found_in_all_my_conversations_the_newest_first() {
    let world = World::start().await;
    let (ana, ben, cleo) = (world.person("ana").await, world.person("ben").await, world.person("cleo").await);
    let lunch = ana.starts_group("Lunch", &[&ben]).await;
    let dinner = ana.starts_group("Dinner", &[&ben]).await;
    let secret = ana.starts_group("Secret", &[]).await;
    ana.says(&lunch, "Pizza at noon?").await;
    let hidden = position(&ana.says(&secret, "no pizza for Ben").await);
    ben.says(&dinner, "hot soup, cold PIZZA").await;
    ana.says(&lunch, "Ärger im Büro: <b>pasta</b> …").await;
    let last = position(&ana.says(&dinner, "東京 soup: cold and hot").await);
    finds_in(&ana, &secret, "pizza", hidden).await;
    finds_in(&ben, &dinner, "soup", last).await;

    let all = [
        ("pizza", &["hot soup, cold PIZZA", "Pizza at noon?"][..]),
        ("pizza noon", &["Pizza at noon?"]),
        ("noon or pasta", &["Ärger im Büro: <b>pasta</b> …", "Pizza at noon?"]),
        ("pizza -soup", &["Pizza at noon?"]),
        ("\"hot soup\"", &["hot soup, cold PIZZA"]),
        ("soup -\"hot soup\"", &["東京 soup: cold and hot"]),
        ("ÄRGER büro", &["Ärger im Büro: <b>pasta</b> …"]),
        ("京", &["東京 soup: cold and hot"]),
        ("piz", &[]),
    ];
    for (query, found) in all {
        assert_eq!(finds(&ben, query).await, found, "{query}");
    }
    as_if_there_were_millions(&world).await;
    for (query, found) in all {
        assert_eq!(finds(&ben, query).await, found, "{query}, walked");
    }
    assert_eq!(finds_in(&ben, &lunch, "pizza", lunch.position).await, ["Pizza at noon?"]);
    assert!(finds(&ana, "pizza").await.contains(&"no pizza for Ben".to_owned()));

    let page = asks(&ben, "pasta", &[]).await.expect(200);
    let piece = |text: &str, hit: bool| json!({ "text": text, "hit": hit });
    let pieces = [piece("Ärger im Büro: <b>", false), piece("pasta", true), piece("</b> …", false)];
    assert_eq!(page["items"][0]["highlight"], json!(pieces));
    assert_eq!(page["items"][0]["conversation_id"], lunch.id);

    assert!(finds(&cleo, "pizza").await.is_empty(), "a stranger finds nothing");
    for id in [&lunch.id, "01930f3d-0c11-7a52-9b3e-4d5f60718293"] {
        let refused = asks(&cleo, "pizza", &[("conversation_id", id), ("min_position", "1")]).await;
        refused.refuses(404, "not_found");
    }
    world.finish().await;
}

#[tokio::test]
async fn every_script_is_searched_as_it_is_written() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let notes = ana.starts_group("Notes", &[]).await;
    let often = format!("{}の本", "の日".repeat(300));
    let ligatures = format!("{} at the very end", "ﷺ".repeat(5_000));
    let mut last = 0;
    for text in [
        "本日は日曜",
        "日本語",
        "สวัสดีครับ",
        "ខ្ញុំស្រឡាញ់",
        "ສະບາຍດີ",
        "ΟΔΥΣΣΕΥΣ",
        "Große Straße",
        "İstanbul",
        &often,
        &ligatures,
    ] {
        last = position(&ana.says(&notes, text).await);
    }
    finds_in(&ana, &notes, "x", last).await;
    let all = [
        ("日本", &["日本語"][..]),
        ("本日", &["本日は日曜"]),
        ("日本 -本日", &["日本語"]),
        ("ดีสวัส", &[]),
        ("สวัสดี", &["สวัสดีครับ"]),
        ("ស្រឡាញ់", &["ខ្ញុំស្រឡាញ់"]),
        ("ສະບາຍ", &["ສະບາຍດີ"]),
        ("Οδυσσευσ", &["ΟΔΥΣΣΕΥΣ"]),
        ("οδυσσευς", &["ΟΔΥΣΣΕΥΣ"]),
        ("STRASSE", &["Große Straße"]),
        ("große strasse", &["Große Straße"]),
        ("istanbul", &["İstanbul"]),
        ("ISTANBUL", &["İstanbul"]),
        ("の本", &[&often]),
        ("\"の本\"", &[&often]),
        ("\"very end\"", &[&ligatures]),
        ("\"end very\"", &[]),
    ];
    for (query, found) in all {
        assert_eq!(finds(&ana, query).await, found, "{query}");
    }
    as_if_there_were_millions(&world).await;
    for (query, found) in all {
        assert_eq!(finds(&ana, query).await, found, "{query}, walked");
    }
    let page = asks(&ana, "日本", &[]).await.expect(200);
    let piece = |text: &str, hit: bool| json!({ "text": text, "hit": hit });
    let pieces = [piece("日", true), piece("本", true), piece("語", false)];
    assert_eq!(page["items"][0]["highlight"], json!(pieces));
    world.finish().await;
}

#[tokio::test]
async fn a_search_goes_on_where_the_page_before_ended() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let groups = [ana.starts_group("One", &[]).await, ana.starts_group("Two", &[]).await];
    let mut last = [0, 0];
    for number in 0..12 {
        let sent = ana.says(&groups[number % 2], &format!("needle {number}")).await;
        last[number % 2] = position(&sent);
        ana.says(&groups[number % 2], "hay").await;
    }
    for (group, last) in groups.iter().zip(last) {
        assert_eq!(finds_in(&ana, group, "needle", last).await.len(), 6);
    }
    let expected: Vec<String> = (0..12).rev().map(|number| format!("needle {number}")).collect();
    for is_walked in [false, true] {
        if is_walked {
            as_if_there_were_millions(&world).await;
        }
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut more = vec![("limit", "5")];
            more.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = asks(&ana, "needle", &more).await.expect(200);
            found.push(texts(&page));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 2], "walked: {is_walked}");
        assert_eq!(found.concat(), expected, "walked: {is_walked}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_old_message_is_found_behind_thousands_of_newer_ones() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    ana.says(&lunch, "a needle").await;
    let say = async |number: u32| position(&ana.says(&lunch, &format!("hay {number}")).await);
    let all = futures_util::StreamExt::buffer_unordered(futures_util::stream::iter((0..2_100).map(say)), 64);
    let last = futures_util::StreamExt::fold(all, 0, async |last: u64, at| last.max(at)).await;
    assert_eq!(finds_in(&ana, &lunch, "needle", last).await, ["a needle"]);
    assert_eq!(finds(&ana, "needle").await, ["a needle"]);
    assert_eq!(finds(&ana, "hay").await.len(), 50);
    as_if_there_were_millions(&world).await;
    assert_eq!(finds(&ana, "needle").await, ["a needle"]);
    assert_eq!(finds(&ana, "hay").await.len(), 50);
    world.finish().await;
}

#[tokio::test]
async fn only_what_i_may_read_now_is_found_as_it_is_now() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let lunch = ana.starts_group("Lunch", &[]).await;
    let path = format!("/v1/conversations/{}", lunch.id);
    ana.patch(&path, json!({ "history": "since_join" })).await.expect(200);
    ana.says(&lunch, "pizza before").await;
    ana.invites(&lunch, &ben).await.expect(201);
    let edited = ana.says(&lunch, "pizza to edit").await;
    let deleted = ana.says(&lunch, "pizza to delete").await;
    let last = position(&ana.says(&lunch, "pizza to keep").await);
    let all = ["pizza to keep", "pizza to delete", "pizza to edit", "pizza before"];
    assert_eq!(finds_in(&ben, &lunch, "pizza", last).await, all[..3]);
    assert_eq!(finds(&ben, "pizza").await, all[..3]);
    as_if_there_were_millions(&world).await;
    assert_eq!(finds(&ben, "pizza").await, all[..3]);
    assert_eq!(finds(&ana, "pizza").await, all);

    let message = |sent: &Value| format!("{path}/messages/{}", sent["id"].as_str().expect("id"));
    ana.delete(&message(&deleted)).await.expect(204);
    let edit = ana.patch(&message(&edited), json!({ "text": "pasta now" })).await.expect(200);
    assert_eq!(finds_in(&ben, &lunch, "pizza", position(&edit)).await, ["pizza to keep"]);
    assert_eq!(finds(&ben, "pasta").await, ["pasta now"]);
    assert!(finds(&ben, "edit or delete").await.is_empty());

    ana.removes(&lunch, &ben).await.expect(204);
    assert!(finds(&ben, "pizza").await.is_empty(), "at once, whatever the views know");
    world.finish().await;
}

#[tokio::test]
async fn bad_queries_are_told_what_to_do_and_odd_ones_do_no_harm() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let lunch = ana.starts_group("Lunch", &[]).await;
    let sent = position(&ana.says(&lunch, "it's 5 o'clock & all is (well) | done: a:* <-> !b \\ 'x'").await);
    finds_in(&ana, &lunch, "clock", sent).await;
    for (query, code) in [
        ("", "invalid"),
        ("  ", "no_words"),
        ("?! …", "no_words"),
        ("-pizza", "no_words"),
        ("\0", "no_words"),
    ] {
        let body = asks(&ana, query, &[]).await.refuses(400, "invalid_parameter");
        assert_eq!(
            (&body["errors"][0]["pointer"], &body["errors"][0]["code"]),
            (&json!("/query"), &json!(code))
        );
    }
    let body = asks(&ana, &"a".repeat(257), &[]).await.refuses(400, "invalid_parameter");
    assert_eq!(body["errors"][0]["pointer"], "/query");
    asks(&ana, "well", &[("min_position", "1")]).await.refuses(400, "invalid_parameter");
    asks(&ana, "well", &[("cursor", "nonsense")]).await.refuses(400, "invalid_parameter");
    ana.get("/v1/messages").await.refuses(400, "invalid_parameter");
    for odd in [
        "well \"",
        "\"\"\" well",
        "well -",
        "- well",
        "--well x",
        "well -\"",
        "well or",
        "or well or or",
        "a:* well",
        "well & | ! ( ) <-> :*",
        "well \\ ' ''",
        "well \0",
        "'; drop table message; --",
        "\u{202e}well",
        "well -- -\"\"-",
        &"well ".repeat(51),
        &"\u{fdfa}".repeat(256),
        &"\"a".repeat(128),
        &"a -b ".repeat(50),
        &"東".repeat(256),
    ] {
        asks(&ana, odd, &[]).await.expect(200);
    }
    for odd in ["a:* well", "well & ! | <->", "it's o'clock", "well \"", "well -"] {
        assert_eq!(finds(&ana, odd).await.len(), 1, "{odd}");
    }
    world.finish().await;
}
