//! How something is said, and what the deliveries cost that follow from it.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::{process::cpu, sockets::Audience};

/// What deliveries cost.
pub struct Spent {
    pub deliveries: u64,
    pub cpu: Duration,
    pub took: Duration,
    /// From when it was said until a socket had it, for each delivery, in order.
    pub latencies: Vec<Duration>,
    /// The same for the last socket that had it, for each thing that was said.
    pub last: Vec<Duration>,
    /// When each thing that was said came to its first socket, after the very first, in order.
    pub moments: Vec<Duration>,
}

impl Spent {
    /// Microseconds of processor time for each delivery.
    pub fn each(&self) -> f64 {
        micros(self.cpu) / self.deliveries as f64
    }

    pub fn rate(&self) -> f64 {
        self.deliveries as f64 / self.took.as_secs_f64()
    }
}

pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Has something said, which answers how many deliveries it owes, and measures the process that makes
/// them until the last has come. Not one may be missing, and nobody may have been cut off.
pub async fn spent(audience: &Audience, pid: u32, talk: impl AsyncFnOnce() -> u64) -> Spent {
    audience.forget();
    let (before, begun) = (cpu(pid), Instant::now());
    let deliveries = talk().await;
    audience.until(|counts| counts.events >= deliveries).await;
    let (cpu, took) = (cpu(pid) - before, begun.elapsed());
    let mut counts = audience.counts();
    assert_eq!((counts.events, counts.returned), (deliveries, 0), "every delivery once, and nobody cut off");
    counts.heard.sort_unstable_by_key(|heard| (heard.said, heard.after));
    let of_one = || counts.heard.chunk_by(|one, other| one.said == other.said);
    let mut last: Vec<Duration> = of_one().map(|heard| heard[heard.len() - 1].after).collect();
    let mut moments: Vec<Duration> =
        of_one().map(|heard| Duration::from_nanos(heard[0].said) + heard[0].after).collect();
    moments.sort_unstable();
    let first = moments.first().copied().unwrap_or_default();
    moments.iter_mut().for_each(|moment| *moment -= first);
    let mut latencies: Vec<Duration> = counts.heard.iter().map(|heard| heard.after).collect();
    latencies.sort_unstable();
    last.sort_unstable();
    Spent { deliveries, cpu, took, latencies, last, moments }
}

/// Says something so often a second, whether or not what was said before has been answered; how often
/// in all.
pub async fn paced(rate: u32, lasting: Duration, say: impl AsyncFn(usize)) -> u64 {
    let mut next = interval(Duration::from_secs(1) / rate);
    next.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let count = (lasting.as_secs_f64() * f64::from(rate)).round() as usize;
    let mut saying = FuturesUnordered::new();
    let mut said = 0;
    while said < count || !saying.is_empty() {
        tokio::select! {
            _ = next.tick(), if said < count => {
                saying.push(say(said));
                said += 1;
            }
            Some(()) = saying.next(), if !saying.is_empty() => {}
        }
    }
    said as u64
}

/// Says something in each of these moments; how often in all. A floor that is driven like this writes
/// together what came together.
pub async fn replayed(moments: &[Duration], say: impl AsyncFn(usize)) -> u64 {
    let begun = Instant::now();
    for (n, moment) in moments.iter().enumerate() {
        sleep_until((begun + *moment).into()).await;
        say(n).await;
    }
    moments.len() as u64
}

/// Keeps at most `window` of what is said on its way to `each` sockets, says the next half when the
/// first has come, and goes on for so long; how often in all.
pub async fn flat_out(
    audience: &Audience,
    each: u64,
    window: usize,
    lasting: Duration,
    say: impl AsyncFn(usize),
) -> u64 {
    let (begun, mut said, half) = (Instant::now(), 0, window / 2);
    while begun.elapsed() < lasting {
        join_all((said..said + half).map(|n| say(n))).await;
        said += half;
        let come = (said - half) as u64 * each;
        audience.until(|counts| counts.events >= come).await;
    }
    said as u64
}
