//! One socket, from its handshake to its end.

mod answers;
mod begin;
pub mod door;
mod early;
mod going_live;
pub mod handshake;
mod hello;
mod life;
mod opening;
pub mod places;
mod present;
mod resume;
pub mod shared;
mod strikes;

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, E, F: Future>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_session_does_not_pay_for_a_frame() {
        let size = size_of_future(life::serve);
        assert!(size <= 1_600, "each socket takes {size} bytes for its task");
    }
}
