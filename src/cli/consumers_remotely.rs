//! `consumers` over the network, through a node that has the key that signs consumers.

use serde_json::{Value, json};

use crate::{
    app::AppError,
    cli::{
        consumer_args::{Add, What},
        consumer_told::{self as told, creds_file, insists, is_free},
        remote::{NotDone, Remote},
    },
    log::StartAt,
};

const CONSUMERS: &str = "/v1/admin/consumers";

/// Runs the command through the admin API of a node.
pub(super) async fn remotely(node: &Remote, what: What) -> Result<(), AppError> {
    match what {
        What::Add(add) => {
            if add.has_password {
                let why = "--static does not work over the network: unset VERBATIM_URL and run it beside the servers";
                return Err(AppError::Refused(why.into()));
            }
            add.filter()?;
            // Adding the same consumer again writes no credentials, so the file may exist.
            let taken = is_free(&creds_file(add.out.clone(), &add.name)).err();
            if let Some(taken) = taken
                && !is_there(node, &add.name).await?
            {
                return Err(taken);
            }
            let answer = node.post(CONSUMERS, &wanted(&add)).await?;
            told::added(&add, &answer)?;
        }
        What::List { json } => {
            told::listed(&json!({ "items": node.list(CONSUMERS).await? }), &[], json);
        }
        What::Show { name } => println!("{}", node.get(&format!("{CONSUMERS}/{name}")).await?),
        What::Rotate { name, overlap, now, out } => {
            let overlap = if now { 0 } else { overlap.as_secs() };
            let file = creds_file(out, &format!("{name}.new"));
            is_free(&file)?;
            let path = format!("{CONSUMERS}/{name}/rotate");
            told::rotated(&file, &node.post(&path, &json!({ "overlap_s": overlap })).await?, false)?;
        }
        What::Sweep => {
            node.post(&format!("{CONSUMERS}/sweep"), &json!({})).await?;
            println!("No credentials are overdue.");
        }
        What::Replay { name, from: Some(from), yes, .. } => {
            let body = json!({ "from": place(from), "yes": yes });
            node.post(&format!("{CONSUMERS}/{name}/replay"), &body).await?;
            println!("Reset the position of the consumer `{name}`.");
        }
        What::Replay { name, id, .. } => {
            let mut body = json!({ "parked": true });
            if !id.is_empty() {
                body["ids"] = json!(id);
            }
            let given = node.post(&format!("{CONSUMERS}/{name}/replay"), &body).await?;
            println!(
                "{} events will be delivered to `{name}` again, as copies in the stream REPLAY.",
                given["given"]
            );
        }
        What::Parked { name, json } => {
            told::parked(&node.get(&format!("{CONSUMERS}/{name}/parked")).await?, json);
        }
        What::Remove { name, yes } => {
            insists(&name, yes)?;
            node.delete(&format!("{CONSUMERS}/{name}")).await?;
            println!(
                "Removed the consumer `{name}`. The next `verbatim consumers sweep` closes its connections."
            );
        }
    }
    Ok(())
}

/// Whether there is a consumer of this name.
async fn is_there(node: &Remote, name: &str) -> Result<bool, NotDone> {
    match node.get(&format!("{CONSUMERS}/{name}")).await {
        Ok(_) => Ok(true),
        Err(NotDone::Refused { status: 404, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn wanted(add: &Add) -> Value {
    let mut body = json!({ "name": add.name });
    if add.commands_only {
        body["commands_only"] = true.into();
    } else {
        body["from"] = place(add.from);
    }
    for (field, words) in
        [("lanes", &add.lanes), ("conversations", &add.conversations), ("types", &add.types)]
    {
        if !words.is_empty() {
            body[field] = json!(words);
        }
    }
    if add.audit {
        body["audit"] = true.into();
    }
    if add.exclusive {
        body["exclusive"] = true.into();
    }
    if let Some(service) = add.bot {
        body["bot"] = json!(service);
    }
    if let Some(life) = add.expires {
        body["expires_in"] = life.as_secs().into();
    }
    body
}

fn place(from: StartAt) -> Value {
    match from {
        StartAt::First => "start".into(),
        StartAt::Now => "now".into(),
        StartAt::Position(position) => position.into(),
        StartAt::Time(time) => json!(time),
    }
}
