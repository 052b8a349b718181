//! What a fold says about a followed event.

/// What the fold of its conversation says about a followed event. If the event counts, there is more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<C> {
    /// The event counts.
    Counts(C),
    /// The event is void, or was already known.
    Void,
    /// This process does not know the conversation.
    Unknown,
}

impl<C> Verdict<C> {
    /// Says something else about an event that counts.
    pub(super) fn map<D>(self, map: impl FnOnce(C) -> D) -> Verdict<D> {
        match self {
            Self::Counts(counts) => Verdict::Counts(map(counts)),
            Self::Void => Verdict::Void,
            Self::Unknown => Verdict::Unknown,
        }
    }

    pub(super) fn as_ref(&self) -> Verdict<&C> {
        match self {
            Self::Counts(counts) => Verdict::Counts(counts),
            Self::Void => Verdict::Void,
            Self::Unknown => Verdict::Unknown,
        }
    }
}
