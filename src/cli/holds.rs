//! `holds`: legal holds, through a node or directly on the servers.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    app::{self, AppError, AskHolds},
    cli::reach::Reach,
    domain::{ConversationId, HoldId, Time, Title, UserId},
};

const HOLDS: &str = "/v1/admin/holds";

#[derive(Debug, Args)]
pub(super) struct HoldCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists the latest holds, active and lifted.
    List(Reach),
    /// Places a hold on users or on conversations. From then on, their data is not deleted.
    Place(NewHold),
    /// Lifts a hold. Erasures continue unless another hold blocks them.
    Lift {
        /// Id of the hold.
        id: HoldId,

        #[command(flatten)]
        reach: Reach,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("held").args(["user", "conversation"]).required(true)))]
struct NewHold {
    /// Name of the hold: one line of at most 256 bytes.
    #[arg(value_parser = |name: &str| Title::try_from(name.to_owned()))]
    name: Title,

    /// Ids of up to 200 users, separated by commas.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    user: Vec<UserId>,

    /// Ids of up to 200 conversations, separated by commas, instead of users.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    conversation: Vec<ConversationId>,

    /// Start of the messages that the hold keeps, in RFC 3339: 2026-11-24T13:10:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<Time>,

    /// End of the messages that the hold keeps; messages at or after this time are not kept.
    #[arg(long, value_name = "TIME")]
    to: Option<Time>,

    #[command(flatten)]
    reach: Reach,
}

pub(super) async fn holds(HoldCommand { what }: HoldCommand) -> Result<(), AppError> {
    let shown = match what {
        What::List(reach) => match reach.remote()? {
            Some(node) => json!({ "items": node.list(HOLDS).await? }),
            None => asked(&reach, AskHolds::List).await?,
        },
        What::Place(NewHold { name, user: users, conversation: conversations, from, to, reach }) => {
            match reach.remote()? {
                Some(node) => {
                    let mut new = json!({ "name": name });
                    let given = [
                        ("users", (!users.is_empty()).then(|| json!(users))),
                        ("conversations", (!conversations.is_empty()).then(|| json!(conversations))),
                        ("from", from.map(|at| json!(at))),
                        ("to", to.map(|at| json!(at))),
                    ];
                    given
                        .into_iter()
                        .for_each(|(field, value)| value.into_iter().for_each(|one| new[field] = one));
                    node.post(HOLDS, &new).await?
                }
                None => asked(&reach, AskHolds::Place { name, users, conversations, from, to }).await?,
            }
        }
        What::Lift { id, reach } => match reach.remote()? {
            Some(node) => {
                node.delete(&format!("{HOLDS}/{id}")).await?;
                node.get(&format!("{HOLDS}/{id}")).await?
            }
            None => asked(&reach, AskHolds::Lift(id)).await?,
        },
    };
    println!("{shown:#}");
    Ok(())
}

async fn asked(reach: &Reach, ask: AskHolds) -> Result<Value, AppError> {
    app::ask_holds(&reach.servers.settings, &reach.servers.addresses()?, ask).await
}
