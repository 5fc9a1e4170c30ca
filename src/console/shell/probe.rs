//! Asks hosts when they booted: all of them once, one again after each boot, and one control plane now and then to know
//! that SSH still works.
//!
//! At most four at a time. When the first few hosts all refuse, the rest is not tried: SSH is then not set up for this
//! cluster, and a hundred failed logins would help nobody.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::host::Hosts;
use crate::console::msg::Msg;
use crate::domain::feed::{Liveness, Source};
use crate::domain::host::HostFacts;
use crate::domain::ids::{Generation, NodeName};
use crate::domain::node::NodeRow;
use crate::domain::time::Stamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

const AT_ONCE: usize = 4;
/// So many hosts may fail before any has answered.
const GIVE_UP_AFTER: usize = 3;
/// How often a host is asked to know that SSH works; also the time before a host that failed is asked again.
const AGAIN: Duration = Duration::from_secs(10);
/// How often one host is asked again after failures.
const TRIES: u8 = 6;

type Answer = (NodeRow, u8, Result<HostFacts, Error>);

/// The task's state.
pub(super) struct Prober {
    hosts: Hosts,
    generation: Generation,
    to: mpsc::Sender<Msg>,
    /// Hosts to be asked, and how often they were.
    queue: VecDeque<(NodeRow, u8)>,
    /// To be asked again at the next turn.
    later: Vec<(NodeRow, u8)>,
    known: BTreeMap<NodeName, NodeRow>,
    last: Option<Stamp>,
    failed: usize,
    turn: usize,
    under_way: JoinSet<Answer>,
    cancel: CancellationToken,
}

/// Asks whatever comes in until cancelled.
pub(super) fn spawn(
    hosts: Hosts,
    generation: Generation,
    asked: mpsc::Receiver<NodeRow>,
    to: mpsc::Sender<Msg>,
    cancel: CancellationToken,
) {
    let prober = Prober {
        hosts,
        generation,
        to,
        queue: VecDeque::new(),
        later: Vec::new(),
        known: BTreeMap::new(),
        last: None,
        failed: 0,
        turn: 0,
        under_way: JoinSet::new(),
        cancel: cancel.clone(),
    };
    tokio::spawn(async move {
        let _ = cancel.run_until_cancelled(prober.run(asked)).await;
    });
}

impl Prober {
    async fn run(mut self, mut asked: mpsc::Receiver<NodeRow>) {
        let mut turns = interval_at(Instant::now() + AGAIN, AGAIN);
        loop {
            while self.under_way.len() < AT_ONCE && self.may_try() {
                let Some((row, tries)) = self.queue.pop_front() else { break };
                let hosts = self.hosts.clone();
                self.under_way.spawn(async move {
                    let facts = Box::pin(hosts.facts(&row)).await;
                    (row, tries + 1, facts)
                });
            }
            tokio::select! {
                row = asked.recv() => match row {
                    Some(row) => self.enqueue(row),
                    None => return,
                },
                Some(answer) = self.under_way.join_next() => {
                    if let Ok(answer) = answer && !self.take(answer).await {
                        return;
                    }
                }
                _ = turns.tick() => self.next_turn(),
            }
        }
    }

    fn may_try(&self) -> bool {
        self.last.is_some() || self.failed < GIVE_UP_AFTER
    }

    /// Control planes first: they matter most, and there are few.
    fn enqueue(&mut self, row: NodeRow) {
        if self.known.insert(row.name.clone(), row.clone()).is_some() {
            // asked again by hand, or after a new boot: worth another attempt
            self.failed = 0;
        }
        self.queue.retain(|(queued, _)| queued.name != row.name);
        self.later.retain(|(queued, _)| queued.name != row.name);
        if row.is_control_plane() {
            self.queue.push_front((row, 0));
        } else {
            self.queue.push_back((row, 0));
        }
    }

    /// Once in a while: those that failed, and one that is known, for the age of the last answer. After giving up this
    /// one is also the way back.
    fn next_turn(&mut self) {
        self.queue.extend(self.later.drain(..));
        let masters: Vec<&NodeRow> = self.known.values().filter(|row| row.is_control_plane()).collect();
        let rota = if masters.is_empty() { self.known.values().collect() } else { masters };
        if rota.is_empty() {
            return;
        }
        let row = rota.get(self.turn % rota.len()).map(|row| (*row).clone());
        self.turn += 1;
        if let Some(row) = row
            && self.under_way.is_empty()
        {
            let hosts = self.hosts.clone();
            self.under_way.spawn(async move {
                let facts = Box::pin(hosts.facts(&row)).await;
                (row, TRIES, facts)
            });
        }
    }

    /// `false` = nobody listens any more.
    async fn take(&mut self, (row, tries, answer): Answer) -> bool {
        match answer {
            Ok(facts) => {
                let at = now();
                self.last = Some(at);
                if tries < TRIES && self.hosts.asks_reboot_need() {
                    let (hosts, to) = (self.hosts.clone(), self.to.clone());
                    super::hosts::ask_need(
                        hosts,
                        self.generation,
                        vec![row.clone()],
                        to,
                        self.cancel.clone(),
                    );
                }
                let host = Msg::Host(self.generation, row.name.clone(), facts);
                self.say(host).await && self.live(Liveness::Live(at)).await
            }
            Err(error) => {
                tracing::debug!(node = %row.name, error = %error.report(), "the host was not reached");
                self.failed += 1;
                let away = Msg::HostAway(self.generation, row.name.clone(), error.report());
                if !self.say(away).await {
                    return false;
                }
                if tries < TRIES {
                    self.later.push((row, tries));
                }
                // one host that is away says nothing of the others
                match self.last {
                    Some(last) => self.live(Liveness::Live(last)).await,
                    None => self.live(Liveness::Failing { last: None, report: error.report() }).await,
                }
            }
        }
    }

    async fn live(&self, liveness: Liveness) -> bool {
        self.say(Msg::Source(self.generation, Source::Ssh, liveness)).await
    }

    async fn say(&self, msg: Msg) -> bool {
        self.to.send(msg).await.is_ok()
    }
}
