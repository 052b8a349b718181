//! From events to rows. The events of a batch that count are applied to the views, all of them or none. An event that
//! cannot be read or projected is parked, together with its conversation.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, PgConnection};

use crate::{
    domain::{ConversationId, Fold, Point, Position, Recorded},
    log::{Log, PAGE},
    projector::{AnotherLog, stopped::Stopped, turn::in_time},
    telemetry::METRICS,
    views::{self, Advanced, CheckpointState, Fact, Parked, Projection},
};

/// The maximum number of folds that are kept between batches, and the maximum number of their members. A node has folds
/// for each of its streams.
const FOLDS: usize = 20_000;
const MEMBERS: usize = 200_000;

/// The projection of one stream, with the point that it has reached.
pub(super) struct Projecting {
    stream: usize,
    projections: Vec<&'static Projection>,
    at: Point,
    folds: HashMap<ConversationId, Fold>,
    /// The number of members of all folds.
    members: usize,
    parked: Standstill,
    /// How long Postgres may take for each step of a batch. Without a limit, a connection that died silently would
    /// block the projection.
    patience: Duration,
}

/// The parked conversations. The metric counts them.
#[derive(Default)]
struct Standstill(HashSet<ConversationId>);

impl Projecting {
    /// Continues from the checkpoint, with some of the projections.
    pub(super) async fn resume(
        connection: &mut PgConnection,
        log: &Log,
        stream: usize,
        projections: Vec<&'static Projection>,
        patience: Duration,
    ) -> Result<Self, Stopped> {
        let at = match in_time(patience, views::resume(connection, log.epoch(), stream)).await? {
            CheckpointState::At(point) => point,
            CheckpointState::AnotherEpoch(epoch) => return Err(Stopped::AnotherEpoch(epoch)),
            CheckpointState::Apart => return Err(Stopped::Apart),
        };
        // Continuing after a point that is not in this log would mix two logs in one set of views.
        if let Some(foreign) = AnotherLog::at(log, stream, at).await? {
            return Err(Stopped::AnotherLog(foreign));
        }
        let mut parked = Standstill::default();
        let found = in_time(patience, views::parked(connection, stream)).await?;
        for conversation in found.into_iter().filter_map(|parked| parked.conversation) {
            parked.insert(conversation);
        }
        Ok(Self { stream, projections, at, folds: HashMap::new(), members: 0, parked, patience })
    }

    pub(super) fn at(&self) -> Point {
        self.at
    }

    /// Applies a batch to the views and advances their checkpoints, within the transaction of the connection if there
    /// is one. After an error this value must not be used again.
    pub(super) async fn apply(
        &mut self,
        connection: &mut PgConnection,
        batch: Vec<Recorded>,
    ) -> Result<(), Stopped> {
        let Some(last) = batch.last().map(Recorded::point) else { return Ok(()) };
        self.write(connection, batch, Some(last)).await?;
        self.at = last;
        Ok(())
    }

    /// Applies the part of a batch that belongs to some conversations. The checkpoints do not move, because the other
    /// conversations may not be as far yet.
    pub(super) async fn apply_part(
        &mut self,
        connection: &mut PgConnection,
        part: Vec<Recorded>,
    ) -> Result<(), Stopped> {
        self.write(connection, part, None).await
    }

    /// Advances only the checkpoints.
    pub(super) async fn move_to(
        &mut self,
        connection: &mut PgConnection,
        point: Point,
    ) -> Result<(), Stopped> {
        self.advance(connection, Some(point)).await?;
        self.at = point;
        Ok(())
    }

    async fn write(
        &mut self,
        connection: &mut PgConnection,
        batch: Vec<Recorded>,
        to: Option<Point>,
    ) -> Result<(), Stopped> {
        let patience = self.patience;
        let mut transaction = in_time(patience, connection.begin()).await?;
        self.advance(&mut transaction, to).await?;
        in_time(patience, self.load(&mut transaction, &batch)).await?;
        let (facts, poison) = self.facts(batch);
        match self.project(&mut transaction, &facts).await {
            Err(Stopped::Database(e)) if is_of_the_data(&e) => {
                in_time(patience, transaction.rollback()).await?;
                transaction = in_time(patience, connection.begin()).await?;
                self.advance(&mut transaction, to).await?;
                self.project_what_can_be(&mut transaction, &facts).await?;
            }
            projected => projected?,
        }
        in_time(patience, views::park(&mut transaction, self.stream, &poison)).await?;
        in_time(patience, transaction.commit()).await?;
        if self.folds.len() > FOLDS || self.members > MEMBERS {
            (self.folds, self.members) = (HashMap::new(), 0);
        }
        Ok(())
    }

    async fn advance(&self, transaction: &mut PgConnection, to: Option<Point>) -> Result<(), Stopped> {
        let Some(to) = to else { return Ok(()) };
        match in_time(self.patience, views::advance(transaction, self.stream, self.at, to)).await? {
            Advanced::Yes => Ok(()),
            Advanced::NotOurs => Err(Stopped::NotOurs),
        }
    }

    /// Reads the folds that the batch needs and that are not in memory.
    async fn load(&mut self, connection: &mut PgConnection, batch: &[Recorded]) -> sqlx::Result<()> {
        let is_missing = |id: &ConversationId| !self.folds.contains_key(id) && !self.parked.0.contains(id);
        let mut missing: Vec<ConversationId> =
            batch.iter().map(|recorded| recorded.conversation).filter(is_missing).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let loaded = views::folds(connection, &missing).await?;
            self.members += loaded.values().map(members).sum::<usize>();
            self.folds.extend(loaded);
        }
        Ok(())
    }

    /// The facts of a batch, in order, and the unreadable events. A void event is a fact, too, if it has an idempotency
    /// key.
    fn facts(&mut self, batch: Vec<Recorded>) -> (Vec<Fact>, Vec<Parked>) {
        let (mut facts, mut poison) = (Vec::with_capacity(batch.len()), Vec::new());
        for recorded in batch {
            let (id, conversation) = (recorded.id, recorded.conversation);
            if self.parked.0.contains(&conversation) {
                continue;
            }
            if let Some(reason) = recorded.poison.clone() {
                let conversation = recorded.has_conversation().then_some(conversation);
                poison.push(Parked { position: recorded.position, conversation, reason });
                if let Some(conversation) = conversation {
                    self.stop(conversation);
                }
                continue;
            }
            if recorded.event.is_none() {
                METRICS.unknown_events.inc();
            }
            let Recorded { position, actor, lane, event, .. } = &recorded;
            let fold = self.folds.entry(conversation).or_default();
            self.members -= members(fold);
            let counts = fold.apply(*position, *actor, *lane, event.as_ref()).is_some();
            self.members += members(fold);
            if counts || recorded.key().is_some() {
                let snapshot = counts.then(|| views::snapshot_due(fold, id)).flatten();
                facts.push(Fact { counts, changes: fold.changes, snapshot, recorded });
            }
        }
        (facts, poison)
    }

    fn stop(&mut self, conversation: ConversationId) {
        tracing::error!(%conversation, "could not apply an event; the views of its conversation stop there (see table `parked`)");
        self.parked.insert(conversation);
        let stopped = self.folds.remove(&conversation);
        self.members -= stopped.as_ref().map_or(0, members);
    }

    async fn project(&self, transaction: &mut PgConnection, facts: &[Fact]) -> Result<(), Stopped> {
        for projection in &self.projections {
            in_time(self.patience, (projection.apply)(transaction, facts)).await?;
        }
        Ok(())
    }

    /// Halves the facts until each refused fact is alone, and parks the refused ones.
    async fn project_what_can_be(
        &mut self,
        transaction: &mut PgConnection,
        facts: &[Fact],
    ) -> Result<(), Stopped> {
        self.halve(transaction, facts, &mut HashSet::new()).await
    }

    /// Projects the facts, and halves them if Postgres refuses one. Skips the facts after a refused fact of the same
    /// conversation, which are those of the conversations in `behind`. A conversation that was parked for another
    /// reason has only earlier facts here, and these count.
    fn halve<'a>(
        &'a mut self,
        transaction: &'a mut PgConnection,
        facts: &'a [Fact],
        behind: &'a mut HashSet<ConversationId>,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        Box::pin(async move {
            let facts: Vec<Fact> =
                facts.iter().filter(|fact| !behind.contains(&fact.recorded.conversation)).cloned().collect();
            if facts.is_empty() {
                return Ok(());
            }
            let mut attempt = in_time(self.patience, transaction.begin()).await?;
            let refused = match self.project(&mut attempt, &facts).await {
                Ok(()) => return in_time(self.patience, attempt.commit()).await,
                Err(Stopped::Database(e)) if is_of_the_data(&e) => e,
                Err(e) => return Err(e),
            };
            in_time(self.patience, attempt.rollback()).await?;
            if let [Fact { recorded: Recorded { position, conversation, .. }, .. }] = facts[..] {
                let reason = format!("Postgres refused its rows: {refused}");
                let parked = Parked { position, conversation: Some(conversation), reason };
                self.stop(conversation);
                behind.insert(conversation);
                return in_time(self.patience, views::park(transaction, self.stream, &[parked])).await;
            }
            let (first, second) = facts.split_at(facts.len() / 2);
            self.halve(transaction, first, behind).await?;
            self.halve(transaction, second, behind).await
        })
    }

    /// Retries the parked events, up to the point of the projection, because this version may be able to read them.
    pub(super) async fn take_up_parked(
        &mut self,
        connection: &mut PgConnection,
        log: &Log,
    ) -> Result<(), Stopped> {
        let patience = self.patience;
        for parked in in_time(patience, views::parked(connection, self.stream)).await? {
            let Some(conversation) = parked.conversation else { continue };
            let mut replay = log
                .replay(self.stream, Position(parked.position.0 - 1), self.at.position, &[conversation])
                .await?;
            let mut transaction = in_time(patience, connection.begin()).await?;
            self.advance(&mut transaction, Some(self.at)).await?;
            in_time(patience, views::unpark(&mut transaction, conversation)).await?;
            self.parked.remove(conversation);
            loop {
                let mut page = replay.page(PAGE).await?;
                page.retain(|recorded| recorded.position <= self.at.position);
                if page.is_empty() || self.parked.0.contains(&conversation) {
                    break;
                }
                in_time(patience, self.load(&mut transaction, &page)).await?;
                let (facts, poison) = self.facts(page);
                self.project_what_can_be(&mut transaction, &facts).await?;
                in_time(patience, views::park(&mut transaction, self.stream, &poison)).await?;
            }
            in_time(patience, transaction.commit()).await?;
            if !self.parked.0.contains(&conversation) {
                tracing::info!(%conversation, "resumed a parked conversation");
            }
        }
        Ok(())
    }
}

fn members(fold: &Fold) -> usize {
    fold.conversation.members().len()
}

/// Whether Postgres refuses the content of an event, and not only the statement.
fn is_of_the_data(e: &sqlx::Error) -> bool {
    // The error classes for cardinality, data values, constraints and program limits, such as a key too long for its
    // index.
    const CLASSES: [&str; 4] = ["21", "22", "23", "54"];
    let Some(refused) = e.as_database_error() else { return false };
    refused.code().is_some_and(|code| CLASSES.contains(&code.get(..2).unwrap_or_default()))
}

impl Standstill {
    fn insert(&mut self, conversation: ConversationId) {
        if self.0.insert(conversation) {
            METRICS.parked.inc();
        }
    }

    fn remove(&mut self, conversation: ConversationId) {
        if self.0.remove(&conversation) {
            METRICS.parked.dec();
        }
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        METRICS.parked.dec_by(self.0.len() as i64);
    }
}
