//! The loop over all nodes of a drain: what is seen changes the boards, and the boards say what is sent next.

mod seen;

use super::board::{Answer, Board, Daemonsets};
use super::feeds::{Feeds, is_wide};
use super::ledger::Ledger;
use super::show::{Over, open_places, progress};
use super::successor::Successors;
use super::{IN_FLIGHT, TICK};
use crate::backend::error::Error;
use crate::backend::kube::Eviction;
use crate::domain::config::DrainOptions;
use crate::domain::ids::{NodeName, PodKey};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::text::count;
use crate::domain::time::brief;
use crate::engine::job::{Ending, Job};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Progress is told at most this often.
const SHOWN: Duration = Duration::from_millis(100);
/// A drain that is told to stop waits so long for the answers to what it has sent; the driver gives it hardly more.
const LAST_ANSWERS: Duration = Duration::from_millis(900);

type Flight = BoxFuture<'static, (usize, PodKey, Result<Eviction, Error>)>;

/// How far one node is.
#[derive(Debug)]
enum Standing {
    /// Its turn comes later.
    Queued,
    /// Under way since.
    Active(Instant),
    Drained,
    Failed(Report),
}

/// All nodes of a drain.
pub(super) struct Fleet<'a> {
    job: &'a Job,
    options: DrainOptions,
    nodes: Vec<NodeName>,
    boards: Vec<Board>,
    standing: Vec<Standing>,
    /// The uid of each node, once it was seen cordoned.
    cordoned: Vec<Option<String>>,
    ledger: Ledger,
    elsewhere: Successors,
    daemonsets: Daemonsets,
    /// Sources that do not answer, in words.
    trouble: BTreeMap<&'static str, String>,
    /// Sources that are listed because watching is forbidden.
    listed: BTreeSet<&'static str>,
    /// The server sheds load: nothing is sent before.
    quiet: Option<Instant>,
    has_begun: bool,
    shown: Option<(Instant, Progress)>,
    /// What is shown is not the newest.
    is_behind: bool,
}

impl<'a> Fleet<'a> {
    /// Nothing is asked yet.
    pub(super) fn new(job: &'a Job, nodes: Vec<NodeName>) -> Self {
        let memory = job.memory();
        // pods that an earlier attempt moved still count as moved
        let mut earlier = memory.moved.get(&job.index).cloned().unwrap_or_default();
        let options = job.shared.plan.drain.clone();
        let mut board = |node: &NodeName| {
            let mut board = Board::new(node.clone(), options.clone(), std::mem::take(&mut earlier));
            memory.excused.iter().for_each(|pod| board.leave(pod));
            board
        };
        Self {
            job,
            boards: nodes.iter().map(&mut board).collect(),
            standing: nodes.iter().map(|_| Standing::Queued).collect(),
            cordoned: vec![None; nodes.len()],
            options,
            nodes,
            ledger: Ledger::new(job.backends().reserved.clone()),
            elsewhere: Successors::new(is_wide(&job.backends().cluster)),
            daemonsets: BTreeMap::new(),
            trouble: BTreeMap::new(),
            listed: BTreeSet::new(),
            quiet: None,
            has_begun: false,
            shown: None,
            is_behind: false,
        }
    }

    /// Drains until every node has ended.
    pub(super) async fn drive(mut self) -> Ending {
        let cluster = self.job.backends().cluster.clone();
        let mut holds = self.job.backends().reserved.changes();
        let mut feeds = Feeds::open(&cluster, &self.nodes, is_wide(&cluster));
        let mut flights: FuturesUnordered<Flight> = FuturesUnordered::new();
        self.read_admission().await?;
        loop {
            let wake = self.wake(Instant::now());
            tokio::select! {
                biased;
                () = self.job.cancel.cancelled() => {
                    return self.stop(flights).await;
                }
                Some(answer) = flights.next(), if !flights.is_empty() => {
                    self.answered(answer)?;
                    while let Some(Some(answer)) = flights.next().now_or_never() {
                        self.answered(answer)?;
                    }
                }
                Some(words) = feeds.pods.next() => self.pods_changed(words).await?,
                Some(words) = feeds.budgets.next() => for word in words {
                    if let Some(delta) = self.heard("budgets", word).await? {
                        self.ledger.apply(delta);
                    }
                },
                Some(words) = feeds.nodes.next() => self.nodes_changed(words).await?,
                Ok(()) = holds.changed() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            self.leave_excused()?;
            self.tell().await;
            if !self.is_known() {
                if !self.trouble.is_empty() {
                    self.show();
                }
                continue;
            }
            self.begin()?;
            self.check();
            self.launch(&mut flights).await?;
            self.check();
            self.tell().await;
            self.show();
            if let Some(ending) = self.ending() {
                return ending;
            }
        }
    }

    /// Told to stop: nothing more is sent, and what was sent gets a moment to be answered.
    async fn stop(mut self, mut flights: FuturesUnordered<Flight>) -> Ending {
        let end = Instant::now() + LAST_ANSWERS;
        while let Ok(Some(answer)) = tokio::time::timeout_at(end, flights.next()).await {
            // whatever it means for the drain: it ends anyway
            let _ = self.answered(answer);
        }
        self.shown = None;
        self.show();
        let sent = self.boards.iter().flat_map(|board| board.unanswered().map(|key| change_of(board, key)));
        let sent: Vec<String> = sent.collect();
        if !sent.is_empty() {
            self.job.warn(format!("asked for, answer not seen: {}", sent.join(", "))).await;
        }
        self.tell().await;
        Err(Report::new(FailureKind::Cancelled, "the drain was stopped; nothing more is sent"))
    }

    /// Heeds the engineer's word about pods that are to stay: it is on the disk before it counts.
    fn leave_excused(&mut self) -> Result<(), Report> {
        let reserved = &self.job.backends().reserved;
        for board in &mut self.boards {
            for pod in board.asked_to_leave(reserved) {
                self.job.remember(|memory| memory.excused.extend([pod.clone()]))?;
                board.leave(&pod);
                reserved.heed(&pod);
            }
        }
        Ok(())
    }

    /// Counts pods that were let go or went, for this attempt and later ones.
    fn count_moved(&mut self) {
        let moved: Vec<String> = self.boards.iter_mut().flat_map(Board::take_moved).collect();
        if !moved.is_empty() {
            self.job.shared.note_moved(self.job.index, moved);
        }
    }

    /// Pods, budgets and nodes have been listed, and every node that is to be drained now is cordoned.
    fn is_known(&self) -> bool {
        self.ledger.is_known()
            && self.boards.iter().all(Board::is_listed)
            && self
                .standing
                .iter()
                .zip(&self.cordoned)
                .all(|(standing, cordoned)| matches!(standing, Standing::Failed(_)) || cordoned.is_some())
    }

    /// Before anything is sent: the pods of all nodes that may not be moved.
    fn begin(&mut self) -> Result<(), Report> {
        if !std::mem::replace(&mut self.has_begun, true)
            && let Some(report) = self.boards.iter().find_map(Board::refusal)
        {
            return Err(report);
        }
        Ok(())
    }

    fn fail(&mut self, at: usize, report: Report) {
        if matches!(self.standing[at], Standing::Queued | Standing::Active(_)) {
            self.standing[at] = Standing::Failed(report);
        }
    }

    /// Ends what has ended, and lets the next nodes begin; none after a failure.
    fn check(&mut self) {
        let now = Instant::now();
        for at in 0..self.boards.len() {
            self.boards[at].reclassify(&self.daemonsets);
            let Standing::Active(since) = self.standing[at] else { continue };
            if self.boards[at].is_done() {
                self.standing[at] = Standing::Drained;
            } else if self.is_late(since, now) {
                let left = self.boards[at].targets().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
                let words =
                    format!("{} was not drained within {}", self.nodes[at], brief(self.options.timeout));
                let report = Report::new(FailureKind::Timeout, words);
                self.fail(at, report.because(format!("left: {}", left.join(", "))));
            }
        }
        if self.standing.iter().any(|standing| matches!(standing, Standing::Failed(_))) {
            return;
        }
        let active = self.standing.iter().filter(|standing| matches!(standing, Standing::Active(_))).count();
        let room = self.options.parallel.max(1).saturating_sub(active);
        for standing in
            self.standing.iter_mut().filter(|standing| matches!(standing, Standing::Queued)).take(room)
        {
            *standing = Standing::Active(now);
        }
    }

    /// The deadline of one node among several; that of a single one is the step's own.
    fn is_late(&self, since: Instant, now: Instant) -> bool {
        let limit = self.options.timeout;
        self.nodes.len() > 1 && !limit.is_zero() && now.saturating_duration_since(since) >= limit
    }

    fn answered(
        &mut self,
        (at, key, answer): (usize, PodKey, Result<Eviction, Error>),
    ) -> Result<(), Report> {
        let board = &mut self.boards[at];
        self.job.answered_lightly(&change_of(board, &key), &answer);
        let meant = board.answered(&key, &answer, &mut self.ledger, Instant::now());
        self.count_moved();
        match meant {
            Answer::GoOn => Ok(()),
            Answer::Quiet(until) => {
                self.quiet = self.quiet.max(Some(until));
                Ok(())
            }
            Answer::Stop(report) => Err(report),
        }
    }

    /// Sends what may be sent now.
    async fn launch(&mut self, flights: &mut FuturesUnordered<Flight>) -> Result<(), Report> {
        if let Err(error) = self.job.assure_lock().await {
            if !error.kind.is_passing() {
                return Err(error.into());
            }
            self.trouble.insert("the lock", error.to_string());
            return Ok(());
        }
        self.trouble.remove("the lock");
        let now = Instant::now();
        if self.quiet.is_some_and(|until| until > now) {
            return Ok(());
        }
        self.quiet = None;
        let mut ready: Vec<(usize, PodKey)> = Vec::new();
        for at in 0..self.boards.len() {
            if !matches!(self.standing[at], Standing::Active(_)) {
                continue;
            }
            let room = IN_FLIGHT.saturating_sub(flights.len() + ready.len());
            let keys = self.boards[at].take_ready(room, &mut self.ledger, &self.elsewhere, now);
            ready.extend(keys.into_iter().map(|key| (at, key)));
        }
        let changes: Vec<String> = ready.iter().map(|(at, key)| change_of(&self.boards[*at], key)).collect();
        self.job.announce_all(&changes)?;
        for (at, key) in ready {
            flights.push(self.flight(at, key));
        }
        Ok(())
    }

    fn flight(&self, at: usize, key: PodKey) -> Flight {
        let cluster = self.job.backends().cluster.clone();
        let permit = self.job.permit().clone();
        let node = self.nodes[at].clone();
        let grace = (self.options.grace_period >= 0).then_some(self.options.grace_period);
        let bypasses = self.options.disable_eviction;
        async move {
            let answer = if bypasses {
                cluster.delete_pod(&key, &node, grace, &permit).await
            } else {
                cluster.evict(&key, &node, grace, &permit).await
            };
            (at, key, answer)
        }
        .boxed()
    }

    /// When something is to be looked at although nothing was seen.
    fn wake(&self, now: Instant) -> Instant {
        // nobody asks for the pods of a node that was given up
        let active = self.boards.iter().zip(&self.standing).filter(|(_, s)| matches!(s, Standing::Active(_)));
        let held = active.filter_map(|(board, _)| board.next_wake());
        let times = held.chain(self.ledger.next_wake()).chain(self.quiet);
        let next = times.min().unwrap_or(now + TICK);
        // what is due and cannot be sent (the lock, the quiet) is no reason to hurry
        let soon =
            if self.quiet.is_some() || self.trouble.contains_key("the lock") { now + TICK } else { now };
        let shows = self.shown.as_ref().filter(|_| self.is_behind).map(|(at, _)| *at + SHOWN);
        let wake = next.max(soon).min(now + TICK);
        shows.map_or(wake, |shows| wake.min(shows))
    }

    /// Lines for the log about what happened since the last time.
    async fn tell(&mut self) {
        let news: Vec<_> = self.boards.iter_mut().flat_map(Board::take_news).collect();
        for (text, is_warning) in news {
            if is_warning {
                self.job.warn(text).await;
            } else {
                self.job.note(text).await;
            }
        }
    }

    fn show(&mut self) {
        let now = Instant::now();
        let is_over = self.standing.iter().all(|s| matches!(s, Standing::Drained | Standing::Failed(_)));
        let is_early = self.shown.as_ref().is_some_and(|(at, _)| now.saturating_duration_since(*at) < SHOWN);
        self.is_behind = !is_over && is_early;
        if self.is_behind {
            return;
        }
        let trouble = self.trouble.values().next().map(String::as_str);
        let ended = self.standing.iter().filter(|s| matches!(s, Standing::Drained | Standing::Failed(_)));
        let over = Over {
            trouble,
            quiet: self.quiet,
            nodes: (self.nodes.len() > 1).then(|| (ended.count(), self.nodes.len())),
            is_listing: !self.is_known(),
        };
        let mut progress = progress(&self.boards, &self.ledger, &self.elsewhere, &over, now);
        let moved = self.job.memory().moved.get(&self.job.index).map_or(0, BTreeSet::len);
        progress.moved = u64::try_from(moved).ok();
        if self.shown.as_ref().is_none_or(|(_, shown)| *shown != progress) {
            self.job.progress(progress.clone());
        }
        self.shown = Some((now, progress));
    }

    /// The end, once no node is under way and none will begin.
    fn ending(&self) -> Option<Ending> {
        let failed = self.standing.iter().position(|standing| matches!(standing, Standing::Failed(_)));
        let is_open = self.standing.iter().any(|standing| match standing {
            Standing::Active(_) => true,
            Standing::Queued => failed.is_none(),
            Standing::Drained | Standing::Failed(_) => false,
        });
        if is_open {
            return None;
        }
        Some(match failed.map(|at| (at, &self.standing[at])) {
            Some((at, Standing::Failed(report))) => Err(self.failure(at, report)),
            _ => Ok(self.outcome()),
        })
    }

    fn failure(&self, at: usize, report: &Report) -> Report {
        if self.nodes.len() == 1 {
            return report.clone();
        }
        let message = format!("unable to drain node \"{}\" due to error: {}", self.nodes[at], report.message);
        let others = self.standing.iter().zip(&self.nodes).enumerate();
        let pending: Vec<&str> = others
            .filter(|(other, (standing, _))| *other != at && !matches!(standing, Standing::Drained))
            .map(|(_, (_, node))| node.as_str())
            .collect();
        let mut whole = Report { message, ..report.clone() };
        if !pending.is_empty() {
            whole = whole.because(format!("there are pending nodes to be drained: {}", pending.join(", ")));
        }
        whole
    }

    fn outcome(&self) -> Outcome {
        let moved = self.boards.iter().map(Board::gone).sum();
        let stay: usize = self.boards.iter().map(Board::staying).sum();
        let nodes: Vec<&str> = self.nodes.iter().map(NodeName::as_str).collect();
        let mut words = format!("node/{} drained: {} moved away", nodes.join(", node/"), count(moved, "pod"));
        if stay > 0 {
            words.push_str(&format!(", {} left where they belong", count(stay, "pod")));
        }
        match open_places(&self.boards, &self.elsewhere).as_slice() {
            [] => {}
            [one] => words.push_str(&format!("; without a Ready replacement yet: {one}")),
            [first, others @ ..] => words.push_str(&format!(
                "; {} without a Ready replacement yet: {first}, and {} more",
                count(others.len() + 1, "pod"),
                others.len()
            )),
        }
        let mut doubts: Vec<String> = self.boards.iter().flat_map(Board::strangers).collect();
        let left: Vec<String> = self.boards.iter().flat_map(Board::left).map(PodKey::to_string).collect();
        if !left.is_empty() {
            doubts.push(format!("left by the engineer's word: {}", left.join(", ")));
        }
        if doubts.is_empty() {
            return Outcome::Done(words);
        }
        Outcome::Warned(format!("{words}; {}", doubts.join("; ")))
    }
}

fn change_of(board: &Board, key: &PodKey) -> String {
    format!("{} {key} ({})", board.verb(), key.uid)
}
