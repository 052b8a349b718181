//! The output of `consumers`, for people or as JSON, from answers in the format of the admin API.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    app::AppError,
    cli::consumer_args::Add,
    consumers::{Language, Snippet},
};

/// Prints the consumer that was added, and writes its credentials.
pub(super) fn added(add: &Add, answer: &Value) -> Result<(), AppError> {
    let name = &add.name;
    let streams = words(&answer["streams"]);
    if answer["added"] != true {
        match add.json {
            true => println!("{}", json!({ "name": name, "added": false, "streams": streams })),
            false => eprintln!(
                "The consumer `{name}` already exists and has credentials. To write new ones, run \
                 `verbatim consumers rotate {name}`."
            ),
        }
        return Ok(());
    }
    let servers = words(&answer["servers"]);
    let file = creds_file(add.out.clone(), name);
    write_creds(&file, answer["credentials"].as_str().unwrap_or_default())?;
    let absolute = file.canonicalize().unwrap_or(file);
    if add.commands_only {
        match add.json {
            true => println!(
                "{}",
                json!({
                    "name": name, "added": true, "credentials_file": absolute, "servers": servers, "streams": streams,
                    "inbox_prefix": format!("_INBOX_{name}"),
                })
            ),
            false => eprintln!(
                "Added the consumer `{name}`. Its credentials are in {}: keep that file secret. It sends commands \
                 under verbatim.commands.{name}, with the inbox prefix _INBOX_{name}.",
                absolute.display()
            ),
        }
        return Ok(());
    }
    let language = Language::from(add.lang);
    let snippet = Snippet {
        name,
        servers: &servers,
        creds: &absolute,
        streams: &streams,
        types: &add.types,
        is_exclusive: add.exclusive,
    };
    let (hint, text) = (language.hint(name), snippet.text(language));
    if add.json {
        println!(
            "{}",
            json!({
                "name": name, "added": true, "credentials_file": absolute, "servers": servers, "streams": streams,
                "api_prefix": "log.api", "inbox_prefix": format!("_INBOX_{name}"), "run": hint, "snippet": text,
            })
        );
        return Ok(());
    }
    eprintln!(
        "Added the consumer `{name}`. Its credentials are in {}: keep that file secret.\n\
         To run the program below: {hint}\n",
        absolute.display()
    );
    if !add.types.is_empty() {
        eprintln!(
            "The server delivers events of all types. The program skips all types but {}.\n",
            add.types.join(", ")
        );
    }
    print!("{text}");
    Ok(())
}

/// Prints all consumers, and the removed ones whose credentials still work.
pub(super) fn listed(answer: &Value, gone: &[String], json: bool) {
    match answer["items"].as_array() {
        _ if json => println!("{}", json!({ "items": answer["items"] })),
        Some(items) if items.is_empty() => println!("none"),
        Some(items) => items.iter().for_each(|item| println!("{}", line(item))),
        None => {}
    }
    for name in gone {
        eprintln!(
            "OVERDUE: the consumer `{name}` is removed, but its credentials were not revoked: run \
             `verbatim consumers sweep`."
        );
    }
}

/// Writes new credentials, and prints when the old ones end, unless they are revoked already.
pub(super) fn rotated(file: &Path, answer: &Value, are_revoked: bool) -> Result<(), AppError> {
    write_creds(file, answer["credentials"].as_str().unwrap_or_default())?;
    let old = match are_revoked {
        true => "are revoked.".to_owned(),
        false => format!(
            "are due at {}: the next `verbatim consumers sweep`, or any other `consumers` command with the operator's \
             key, then revokes them.",
            answer["old_expires_at"].as_str().unwrap_or("-"),
        ),
    };
    println!("The new credentials are in {}. The old ones {old}", file.display());
    Ok(())
}

/// Prints parked events.
pub(super) fn parked(answer: &Value, json: bool) {
    if json {
        println!("{answer}");
        return;
    }
    for letter in answer["items"].as_array().into_iter().flatten() {
        let text = |field: &str| letter[field].as_str().unwrap_or("-");
        println!(
            "{} {}  {}  {} deliveries  first {}  last {}",
            text("stream"),
            letter["position"],
            text("reason"),
            letter["deliveries"],
            text("first_at"),
            text("last_at")
        );
    }
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The file for credentials: `out`, or else one that is named after the consumer.
pub(super) fn creds_file(out: Option<PathBuf>, name: &str) -> PathBuf {
    out.unwrap_or_else(|| PathBuf::from(format!("{name}.creds")))
}

/// Refuses a file that exists. Callers check this first, because the result of the command could not be stored.
pub(super) fn is_free(file: &Path) -> Result<(), AppError> {
    match file.exists() {
        false => Ok(()),
        true => Err(AppError::Refused(format!(
            "{} already exists and is not overwritten: name another file with --out",
            file.display()
        ))),
    }
}

/// Writes a file that only its owner can read. An existing file is not replaced.
fn write_creds(file: &Path, creds: &str) -> Result<(), AppError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written: io::Result<()> = opened.and_then(|mut opened| opened.write_all(creds.as_bytes()));
    written.map_err(|e| {
        AppError::Refused(format!(
            "cannot write the credentials to {}: {e}. Write new ones to another file with `verbatim consumers rotate`",
            file.display()
        ))
    })
}

/// Formats a consumer as one line.
pub(super) fn line(item: &Value) -> String {
    let text = |field: &str| item[field].as_str().unwrap_or("-").to_owned();
    let lanes: Vec<&str> = item["lanes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let overdue = if item["overdue"] == true { "  OVERDUE: credentials were not revoked" } else { "" };
    format!(
        "{}  {}  lag {} events, {} s  parked {}  redelivered {}  connections {}  last active {}  lanes {}{overdue}",
        text("name"),
        text("state"),
        item["lag_events"],
        item["lag_seconds"],
        item["parked"],
        item["redelivered"],
        item["connections"].as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string()),
        text("last_active"),
        lanes.join(","),
    )
}

/// Refuses to remove a consumer without `--yes`.
pub(super) fn insists(name: &str, yes: bool) -> Result<(), AppError> {
    match yes {
        true => Ok(()),
        false => Err(AppError::Refused(format!(
            "`{name}` would lose its position in the log for good, and its connections: confirm with --yes"
        ))),
    }
}
