//! Sending patterns, and the cost of the deliveries that follow.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::{process::cpu, sockets::Audience};

/// The cost of deliveries.
pub struct Spent {
    pub deliveries: u64,
    pub cpu: Duration,
    pub took: Duration,
    /// The latency of each delivery, from the send until the socket had the message, sorted.
    pub latencies: Vec<Duration>,
    /// The latency of the last delivery of each message.
    pub last: Vec<Duration>,
    /// When each message reached its first socket, since the very first one, sorted.
    pub moments: Vec<Duration>,
}

impl Spent {
    /// CPU time for each delivery, in microseconds.
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

/// Runs `talk`, which returns the number of deliveries to expect, and measures the delivering process until the last
/// one has arrived. Panics if a delivery is missing or a socket was cut off.
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

/// Sends `rate` messages a second, whether or not earlier ones have been answered. Returns their number.
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

/// Sends a message at each of these moments, and returns their number. So the floor writes together the messages that
/// the node delivered together.
pub async fn replayed(moments: &[Duration], say: impl AsyncFn(usize)) -> u64 {
    let begun = Instant::now();
    for (n, moment) in moments.iter().enumerate() {
        sleep_until((begun + *moment).into()).await;
        say(n).await;
    }
    moments.len() as u64
}

/// Keeps at most `window` messages in flight to `each` sockets: sends the next half when the first half has arrived.
/// Goes on for `lasting`, and returns the number of messages.
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
