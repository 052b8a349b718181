//! Delivers events again: copies of parked events, or all events from an earlier position.

use crate::{
    accounts::{By, Stamp, consumers},
    consumers::{
        ConsumerError, ConsumerFilter, Office,
        adding::{durables, make},
        looking::{ConsumerActivity, activity, figures},
    },
    log::{DeadLetter, Durables, StartAt},
};

/// Delivers copies of a consumer's parked events, of all or of those at `positions`. Returns their number.
pub(crate) async fn replay_parked(
    office: &Office,
    name: &str,
    positions: &[u64],
    by: By,
) -> Result<u32, ConsumerError> {
    let of = office.named(name).await?;
    let mut letters = office.log.parked(name).await?;
    if !positions.is_empty() {
        letters.retain(|letter| positions.contains(&letter.position));
    }
    let given = office.log.give_again(name, &letters).await?;
    if given > 0 {
        let stamp = Stamp::now(&office.clock, by);
        consumers::note_replay(&office.pool, &of, Some(given), stamp).await?;
    }
    Ok(given)
}

/// Resets the position of a consumer. This recreates its durables, so it is refused while the consumer reads, unless
/// the caller insists.
pub(crate) async fn read_anew(
    office: &Office,
    name: &str,
    from: StartAt,
    insists: bool,
    by: By,
) -> Result<(), ConsumerError> {
    let of = office.named(name).await?;
    let live =
        activity(&figures(office, &of, &[]).await?.states, office.clock.now()) == ConsumerActivity::Live;
    if live && !insists {
        return Err(ConsumerError::Refused(format!(
            "the consumer `{name}` is live: stop it first, or confirm with `yes` (`--yes`) that it may receive events again while it runs"
        )));
    }
    let parked = office.log.parked(name).await?;
    let filter = ConsumerFilter::of(&of)?;
    let mark = filter.mark();
    let durables: Vec<_> =
        durables(office, name, &filter).into_iter().filter(|durable| durable.stream != "REPLAY").collect();
    for durable in &durables {
        office.log.remove_durable(name, &durable.stream).await?;
    }
    make(office, &Durables { name, filter: &mark, from, is_exclusive: filter.is_exclusive }, &durables)
        .await?;
    office.log.are_not_parked(&read_again(office, parked, from).await?).await?;
    consumers::note_replay(&office.pool, &of, None, Stamp::now(&office.clock, by)).await?;
    Ok(())
}

/// The parked events that a consumer reads again because it begins at `from`. An event that the log no longer has is one
/// of them: nobody can read it again.
async fn read_again(
    office: &Office,
    mut parked: Vec<DeadLetter>,
    from: StartAt,
) -> Result<Vec<DeadLetter>, ConsumerError> {
    match from {
        StartAt::First => {}
        StartAt::Now => parked.clear(),
        StartAt::Position(first) => parked.retain(|letter| letter.position >= first),
        StartAt::Time(first) => {
            let mut again = Vec::new();
            for letter in parked {
                if office.log.stored_at(&letter).await?.is_none_or(|stored| stored >= first) {
                    again.push(letter);
                }
            }
            parked = again;
        }
    }
    Ok(parked)
}
