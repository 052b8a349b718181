//! The results of a run, in numbers.

use std::{collections::BTreeMap, fmt};

use crate::history::{Entry, What};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub seed: u64,
    pub seconds: u64,
    pub sockets: usize,
    pub servers: usize,
    pub acknowledged: usize,
    pub stored_events: usize,
    pub unknown: usize,
    pub refused: usize,
    pub frames: usize,
    /// Messages whose erasure was requested, and those of them whose receipt says `done`.
    pub erasures: (usize, usize),
    /// The same for accounts.
    pub accounts: (usize, usize),
    pub membership_changes: usize,
    /// For each kind, the number of faults, and of those that had an effect.
    pub faults: BTreeMap<String, (usize, usize)>,
    /// Flooded connections, and those of them that were closed with 4408.
    pub floods: usize,
    pub thrown_out: usize,
    /// Attempts at faults that had no effect. Each was repeated.
    pub in_vain: usize,
    pub sessions: usize,
    pub resumes: usize,
    pub resets: usize,
    /// Milliseconds from `hello` to `caught_up`.
    pub resume_p50: u64,
    pub resume_p99: u64,
    /// The longest time in which nothing was acknowledged while people were sending, in milliseconds.
    pub longest_silence: u64,
    /// The number of ended sockets, by close code or word.
    pub ends: BTreeMap<String, usize>,
}

impl Report {
    pub fn of(history: &[Entry], stored_events: usize) -> Self {
        let mut report = Self { stored_events, ..Self::default() };
        let (mut resumes, mut last) = (Vec::new(), None);
        for Entry { at, what } in history {
            match what {
                What::Acknowledged { .. } => {
                    report.acknowledged += 1;
                    report.longest_silence = report.longest_silence.max(at - last.unwrap_or(*at));
                    last = Some(*at);
                }
                What::Unknown { .. } => report.unknown += 1,
                What::Refused { .. } => report.refused += 1,
                What::Frame { .. } => report.frames += 1,
                What::Forget { .. } => report.erasures.0 += 1,
                What::Forgotten { state, .. } => report.erasures.1 += usize::from(state == "done"),
                What::ForgetAccount { .. } => report.accounts.0 += 1,
                What::ForgottenAccount { state, .. } => report.accounts.1 += usize::from(state == "done"),
                What::Flooded { code, .. } => {
                    report.floods += 1;
                    report.thrown_out += usize::from(*code == Some(4408));
                }
                What::InVain { .. } => report.in_vain += 1,
                What::Changed { .. } => report.membership_changes += 1,
                What::Ready { .. } => report.sessions += 1,
                What::Reset { .. } => report.resets += 1,
                What::CaughtUp { millis, .. } => resumes.push(*millis),
                What::Ended { code, why, .. } => {
                    let word = code.map_or_else(|| why.chars().take(60).collect(), |code| code.to_string());
                    *report.ends.entry(word).or_default() += 1;
                }
                What::Fault { kind, effect, .. } => {
                    let counts = report.faults.entry(kind.clone()).or_default();
                    counts.0 += 1;
                    counts.1 += usize::from(effect.is_some());
                }
                _ => {}
            }
        }
        resumes.sort_unstable();
        let part = |percent: usize| resumes.get(resumes.len() * percent / 100).copied().unwrap_or_default();
        (report.resume_p50, report.resume_p99) = (part(50), part(99));
        report.resumes = resumes.len();
        report
    }

    pub fn effective_faults(&self) -> usize {
        self.faults.values().map(|counts| counts.1).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, seconds, sockets, servers, .. } = self;
        writeln!(f, "seed {seed}: {seconds} s, {servers} nats-server(s), 2 gateways, {sockets} sockets")?;
        writeln!(f, "  acknowledged            {}", self.acknowledged)?;
        writeln!(f, "  without answer, refused {}, {}", self.unknown, self.refused)?;
        writeln!(f, "  events in the log       {}", self.stored_events)?;
        writeln!(f, "  frames given            {}", self.frames)?;
        writeln!(f, "  erasures asked, done    {}, {}", self.erasures.0, self.erasures.1)?;
        writeln!(f, "  accounts asked, done    {}, {}", self.accounts.0, self.accounts.1)?;
        writeln!(f, "  membership changes      {}", self.membership_changes)?;
        writeln!(
            f,
            "  sessions, resumes       {}, {} ({} resets)",
            self.sessions, self.resumes, self.resets
        )?;
        writeln!(f, "  resume p50, p99         {} ms, {} ms", self.resume_p50, self.resume_p99)?;
        writeln!(f, "  floods, thrown out      {}, {}", self.floods, self.thrown_out)?;
        writeln!(f, "  longest without acks    {} ms", self.longest_silence)?;
        writeln!(
            f,
            "  faults felt             {} ({} attempts in vain)",
            self.effective_faults(),
            self.in_vain
        )?;
        for (kind, (all, felt)) in &self.faults {
            writeln!(f, "    {kind:<22}{felt} of {all}")?;
        }
        writeln!(f, "  sockets ended by")?;
        for (why, count) in &self.ends {
            writeln!(f, "    {count:<6}{why}")?;
        }
        Ok(())
    }
}
