//! Delivers events again: copies of parked events, or all events from an earlier position.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    accounts::{By, Stamp, consumers},
    consumers::{
        ConsumerError, ConsumerFilter, Office,
        adding::{durables, make},
        looking::{ConsumerActivity, activity, figures},
    },
    domain::Time,
    log::{DeadLetter, Durables, StartAt},
};

/// The most events that are looked up concurrently.
const AT_ONCE: usize = 16;

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
            let asked: Vec<_> = parked.iter().map(|letter| office.log.stored_at(letter)).collect();
            let stored: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
            let is_again = |stored: &Option<Time>| stored.is_none_or(|stored| stored >= first);
            let all = parked.into_iter().zip(stored);
            parked = all.filter(|(_, stored)| is_again(stored)).map(|(letter, _)| letter).collect();
        }
    }
    Ok(parked)
}
