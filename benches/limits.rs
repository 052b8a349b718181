//! The cost of the rate limits for a request: all budgets that a send takes, with a million others in memory. It needs
//! no servers, because a check is local.

#![allow(clippy::disallowed_methods, reason = "a benchmark has the clock and the ids of its own machine")]

#[path = "stage/figures.rs"]
#[allow(dead_code, unreachable_pub)]
mod figures;

use std::{
    collections::HashMap,
    hint::black_box,
    sync::Mutex,
    time::{Duration, Instant},
};

use figures::{Figure, full};
use uuid::Uuid;
use verbatim::{
    domain::{ConversationId, UserId},
    limits::{Policy, RateLimits, Rates},
};

/// The same allocator as in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Budgets in memory besides those that are used: the maximum.
const IN_MEMORY: usize = 1_000_000;

fn main() {
    let requests = if full() { 2_000_000 } else { 500_000 };
    let users: Vec<UserId> = ids(IN_MEMORY, "4");
    let conversations: Vec<ConversationId> = ids(IN_MEMORY / 10, "5");
    let limits = RateLimits::new(Rates::default(), &[7; 32]);
    for user in &users {
        let _ = limits.admit(Policy::User, *user);
    }
    let floor: Mutex<HashMap<Uuid, u64>> = Mutex::default();
    floor.lock().expect("no panic").extend(users.iter().map(|user| (user.uuid(), 0)));

    let (mut few, mut many) = (figure("1,000 users, interleaved"), figure("a million users, interleaved"));
    for _ in 0..3 {
        for (figure, users) in [(&mut few, &users[..1_000]), (&mut many, &users[..])] {
            let send = |n: usize| {
                let (user, conversation) = (users[step(n, users)], conversations[step(n, &conversations)]);
                black_box(limits.admit(Policy::User, user)).ok();
                let admitted = limits.admit(Policy::Send, user);
                if admitted.and_then(|()| limits.admit(Policy::Conversation, conversation)).is_ok() {
                    limits.instead_of_user(user);
                }
            };
            let look_up = |n: usize| {
                let now = Instant::now();
                let mut floor = floor.lock().expect("no panic");
                let place = floor.get_mut(&users[step(n, users)].uuid()).expect("it is there");
                *place = black_box(*place + now.elapsed().as_nanos() as u64);
            };
            figure.round(each(requests, send), Some(each(requests, look_up)));
        }
    }
    few.note();
    many.note();
}

fn figure(who: &str) -> Figure {
    Figure::new("limits", format!("the budgets of a send: {who}"), "ns")
        .beside("one look-up in a HashMap and one reading of the clock")
        .goal("at most 1,000 ns")
}

/// Nanoseconds of each call.
fn each(count: usize, mut act: impl FnMut(usize)) -> f64 {
    let began = Instant::now();
    (0..count).for_each(&mut act);
    let took: Duration = began.elapsed();
    took.as_nanos() as f64 / count as f64
}

/// Consecutive steps are far apart in memory.
fn step<T>(n: usize, of: &[T]) -> usize {
    n.wrapping_mul(7_919) % of.len()
}

fn ids<T: std::str::FromStr<Err: std::fmt::Debug>>(count: usize, group: &str) -> Vec<T> {
    let id = |n: usize| format!("01930f3c-5a7b-7c3d-9e4f-{group}{n:011x}");
    (0..count).map(|n| id(n).parse().expect("an id")).collect()
}
