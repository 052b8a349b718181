//! The contract with external programs: the published documents are the committed ones, a committed document
//! is never broken, and every event that was ever stored can be read.
//!
//! After a deliberate, compatible change: `UPDATE=1 cargo test --test contract`.

#[path = "contract/breaking.rs"]
mod breaking;
#[path = "contract/misfits.rs"]
mod misfits;

use std::{fs, path::PathBuf};

use async_nats::HeaderMap;
use bytes::Bytes;
use misfits::misfits;
use serde::Deserialize;
use serde_json::Value;
use verbatim::{
    contract::asyncapi,
    domain::{Audited, Event, Recorded},
    log::{self, Draft},
};

/// A message as it is stored in the stream.
#[derive(Deserialize)]
struct Sample {
    subject: String,
    headers: std::collections::BTreeMap<String, String>,
    payload: String,
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Compares a text with the committed file, or writes the file if `UPDATE` is set.
fn assert_committed(path: &str, now: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file(path), now).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
    let committed = fs::read_to_string(file(path)).unwrap_or_default();
    let line = committed.lines().zip(now.lines()).position(|(committed, now)| committed != now);
    assert!(
        committed == now,
        "{path} is not what the code says, from line {}. If that is meant: UPDATE=1 cargo test --test contract",
        line.map_or(committed.lines().count().min(now.lines().count()), |n| n) + 1,
    );
}

fn schema_path(name: &str) -> String {
    format!("openapi/schemas/{name}.json")
}

fn sample_path(word: &str) -> String {
    format!("tests/contract/events/{word}.json")
}

fn sample(word: &str) -> (Sample, Recorded) {
    let path = sample_path(word);
    let sample: Sample = serde_json::from_str(&read(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut headers = HeaderMap::new();
    sample.headers.iter().for_each(|(name, value)| headers.insert(name.as_str(), value.as_str()));
    let data = Bytes::from(sample.payload.clone());
    let recorded = Recorded::read(7, &sample.subject, Some(&headers), data);
    (sample, recorded.unwrap_or_else(|e| panic!("{path} can no longer be read: {e}")))
}

/// An update must not hide a breaking change, so all committed schemas are checked before any is written.
#[test]
fn published_schemas_are_compatible_and_committed() {
    let schemas = log::schemas();
    for (name, now) in &schemas {
        let Ok(committed) = fs::read_to_string(file(&schema_path(name))) else { continue };
        let committed: Value = serde_json::from_str(&committed).expect("a committed schema is JSON");
        let breaks = breaking::changes(&committed, now);
        assert!(
            breaks.is_empty(),
            "{name} breaks its readers. Published types only grow: add optional properties, or publish a new \
             type beside it.\n{}",
            breaks.join("\n")
        );
    }
    let files = log::schema_files();
    let gone: Vec<String> =
        files_of("openapi/schemas").into_iter().filter(|f| !files.contains_key(f)).collect();
    assert!(gone.is_empty(), "{gone:?} were published: types are never removed or renamed");
    for (name, _) in &schemas {
        let text = files.get(&format!("{name}.json")).expect("a schema is served by its name");
        assert_committed(&schema_path(name), text);
    }
}

#[test]
fn the_asyncapi_document_is_compatible_and_committed() {
    let committed: Value = serde_saphyr::from_str(&read("openapi/asyncapi.yaml")).expect("YAML");
    let breaks = breaking::changes_of_documents(&committed, &asyncapi::document());
    assert!(breaks.is_empty(), "readers of the log would break:\n{}", breaks.join("\n"));
    assert_committed("openapi/asyncapi.yaml", &asyncapi::text());
}

#[test]
fn every_type_has_a_schema_and_a_sample_and_is_in_the_document() {
    let document = asyncapi::document();
    let schemas = log::schemas();
    for word in Event::TYPES {
        let name = log::type_name(word);
        assert!(schemas.iter().any(|(named, _)| *named == name), "{name} has no schema");
        let path = sample_path(word);
        assert!(file(&path).is_file(), "{path} is missing: store one message as it lies in the stream");
        assert_eq!(
            document["components"]["messages"][word]["name"],
            name.as_str(),
            "{word} is not in AsyncAPI"
        );
        let channels = document["channels"].as_object().expect("channels");
        let carried = channels.values().filter(|channel| !channel["messages"][word].is_null()).count();
        assert_eq!(carried, 1, "{word} belongs in one channel");
    }
    let known: Vec<String> = Event::TYPES.iter().map(|word| format!("{word}.json")).collect();
    for file in files_of("tests/contract/events") {
        // An older form of a type has its own file next to it: `message.sent.without-metadata.json`.
        let of_a_type = known.iter().any(|known| file.starts_with(known.trim_end_matches("json")));
        assert!(of_a_type, "tests/contract/events/{file} is of no type that this version reads");
    }
}

#[test]
fn samples_are_read_and_written_back_byte_by_byte() {
    for name in files_of("tests/contract/events") {
        let (sample, recorded) = sample(name.trim_end_matches(".json"));
        let event = recorded.event.unwrap_or_else(|| panic!("{name}: this version does not know the type"));
        let key = event.client_id().map(|key| key.to_owned().try_into().expect("a key"));
        let Recorded { conversation, id, actor, time, .. } = recorded;
        let draft = Draft { conversation, id, actor, via: None, time, event, key, trace: None };
        assert_eq!(draft.payload(), sample.payload.as_bytes(), "{name}");
        assert_eq!(draft.subject(), sample.subject, "{name}");
        let written = |url: Option<&str>| -> std::collections::BTreeMap<String, String> {
            let url = url.map(|url| url.parse().expect("a public URL"));
            let headers = draft.headers(url.as_ref());
            headers.iter().map(|(name, values)| (name.to_string(), values[0].to_string())).collect()
        };
        // Samples may name their schema only by its path, as older versions did.
        let mut wanted = sample.headers;
        let schema = wanted.remove("ce-dataschema").expect("a sample names its schema");
        assert_eq!(written(None), wanted, "{name}");
        let url = "https://chat.example.com";
        wanted.insert("ce-dataschema".into(), format!("{url}{}", schema.trim_start_matches(url)));
        assert_eq!(written(Some(url)), wanted, "{name}");
    }
}

#[test]
fn samples_and_examples_fit_their_schemas() {
    let schemas = log::schemas();
    for name in files_of("tests/contract/events") {
        let (sample, recorded) = sample(name.trim_end_matches(".json"));
        let wanted = log::type_name(&recorded.word);
        let (_, schema) = schemas.iter().find(|(named, _)| *named == wanted).expect("a schema");
        let payload: Value = serde_json::from_str(&sample.payload).expect("a payload is JSON");
        assert_eq!(misfits(schema, &payload), Vec::<String>::new(), "{name}");
        assert_eq!(misfits(schema, &schema["examples"][0]), Vec::<String>::new(), "the example of {wanted}");
    }
}

#[test]
fn audit_samples_are_read_and_written_back_byte_by_byte() {
    let (schemas, document) = (log::schemas(), asyncapi::document());
    for word in Audited::types().iter().map(|of| of.word) {
        let path = format!("tests/contract/audit/{word}.json");
        let mut sample: Sample = serde_json::from_str(&read(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut headers = HeaderMap::new();
        sample.headers.iter().for_each(|(name, value)| headers.insert(name.as_str(), value.as_str()));
        let event = log::read_audit(&sample.subject, Some(&headers), &sample.payload.clone().into());
        let event = event.unwrap_or_else(|| panic!("{path} can no longer be read"));
        assert_eq!(
            (event.word.as_str(), event.data.as_str(), log::audit_subject(&event)),
            (word, &*sample.payload, sample.subject.clone())
        );
        let schema = sample.headers.remove("ce-dataschema").expect("a sample names its schema");
        let url = schema.split_once("/schemas/").expect("a schema").0.parse().expect("a public URL");
        for (public_url, named) in [(None, None), (Some(&url), Some(&schema))] {
            let mut wanted = sample.headers.clone();
            wanted.extend(named.map(|schema| ("ce-dataschema".to_owned(), schema.clone())));
            let written = log::audit_headers(&event, public_url);
            let written: std::collections::BTreeMap<String, String> =
                written.iter().map(|(name, values)| (name.to_string(), values[0].to_string())).collect();
            assert_eq!(written, wanted, "{path}");
        }
        let name = log::type_name(word);
        let (_, schema) = schemas.iter().find(|(named, _)| *named == name).expect("a schema");
        let payload: Value = serde_json::from_str(&sample.payload).expect("a payload is JSON");
        for fits in [&payload, &schema["examples"][0]] {
            assert_eq!(misfits(schema, fits), Vec::<String>::new(), "{path}");
        }
        assert!(document["channels"]["audit"]["messages"][word].is_object(), "{word} is not in AsyncAPI");
        assert_eq!(document["components"]["messages"][word]["name"], name.as_str());
    }
}

#[test]
fn what_does_not_fit_a_schema_is_noticed() {
    let (_, schema) =
        log::schemas().into_iter().find(|(name, _)| name.contains("created")).expect("a schema");
    let good = &schema["examples"][0];
    let spoil = |pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).expect("it is there") = value;
        misfits(&schema, &bad)
    };
    assert_eq!(misfits(&schema, good), Vec::<String>::new());
    for (pointer, value) in [
        ("", Value::Null),
        ("/kind", "crowd".into()),
        ("/members", Value::Null),
        ("/members/0", serde_json::json!({})),
        ("/members/0/user_id", 7.into()),
        ("/members/0/user_id", "7".into()),
        ("/title", "".into()),
        ("/title", "x".repeat(257).into()),
    ] {
        assert!(!spoil(pointer, value.clone()).is_empty(), "{pointer} {value}");
    }
}

fn files_of(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(file(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every code that the sources contain next to a status, or in a constructor of problems, is in the published list:
/// `x-codes` in the document, which `/problems/<code>` explains.
#[test]
fn every_code_of_a_refusal_is_in_the_published_list() {
    let document: Value = serde_json::from_str(&read("openapi/openapi.json")).expect("JSON");
    let listed = &document["components"]["schemas"]["Problem"]["properties"]["code"]["x-codes"];
    let listed: Vec<&str> =
        listed.as_array().expect("codes").iter().filter_map(|one| one["code"].as_str()).collect();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(listed, sorted, "in alphabetical order, each once");
    let mut found = 0;
    let mut folders = ["src/api", "src/gateway", "src/listen"].map(file).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.file_name().is_some_and(|name| name.to_string_lossy().contains("tests")) {
                continue;
            }
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let text = fs::read_to_string(&entry).expect("a source");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for begin in [
                "StatusCode::",
                "::conflict(",
                "::forbidden(",
                "::unauthorized(",
                "::unavailable(",
                "::too_many(",
            ] {
                for rest in text.split(begin).skip(1) {
                    let rest =
                        rest.trim_start_matches(|c: char| c.is_ascii_uppercase() || "_, \n".contains(c));
                    let Some(code) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                        continue;
                    };
                    assert!(
                        listed.contains(&code),
                        "{}: `{code}` is not in src/problems/codes.rs",
                        entry.display()
                    );
                    found += 1;
                }
            }
        }
    }
    assert!(found > 50, "the sources are read: {found}");
}
