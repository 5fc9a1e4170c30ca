//! The members of the simulated etcd over time: they follow their machines, elect and hand over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::progress::CATCH_UP;
use super::state::{Health, MemberState, State};
use super::{EtcdSpec, MemberFaults};
use crate::proto::AlarmType;
use crate::sim::machine::{Machine, Power};
use crate::sim::pace::Pace;

/// From a machine's boot until its member runs, at speed 1: kubelet and static pod come first.
const START: Duration = Duration::from_secs(6);
/// Without a leader for so long members elect another, at speed 1 (etcd's default: 1 s, plus jitter).
const ELECTION: Duration = Duration::from_millis(1400);
/// How long a request waits for a quorum, at speed 1: etcd's 5 s plus two election timeouts.
const REQUEST: Duration = Duration::from_secs(7);

/// A handle on the etcd cluster; clones are the same cluster.
#[derive(Clone)]
pub struct Ensemble {
    inner: Arc<Inner>,
}

struct Inner {
    spec: EtcdSpec,
    version: String,
    pace: Pace,
    state: Mutex<State>,
    health: watch::Sender<Health>,
    serving: watch::Sender<bool>,
    /// The machine of each member.
    homes: Vec<watch::Sender<Machine>>,
}

impl Ensemble {
    /// An etcd of `version` with a member on each of `machines`; its tasks end when `stop` is cancelled.
    pub fn start(
        spec: EtcdSpec,
        version: &str,
        machines: &[(Machine, MemberFaults)],
        pace: Pace,
        stop: &CancellationToken,
    ) -> Self {
        let state = State::new(&spec, machines);
        let health = watch::Sender::new(state.health());
        let serving = watch::Sender::new(state.is_serving());
        let state = Mutex::new(state);
        let homes = machines.iter().map(|(machine, _)| watch::Sender::new(machine.clone())).collect();
        let inner = Inner { spec, version: version.to_owned(), pace, state, health, serving, homes };
        let ensemble = Self { inner: Arc::new(inner) };
        for (index, home) in ensemble.inner.homes.iter().enumerate() {
            ensemble.spawn(stop, ensemble.clone().follow(index, home.subscribe()));
        }
        ensemble.spawn(stop, ensemble.clone().hold_elections());
        ensemble
    }

    /// Whether more than half of the voters take part.
    pub fn has_quorum(&self) -> bool {
        self.inner.health.borrow().quorum
    }

    /// The present state and all later ones.
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.inner.health.subscribe()
    }

    /// Whether a leader is there that a quorum follows, now and later: what an API server needs.
    pub fn serving(&self) -> watch::Receiver<bool> {
        self.inner.serving.subscribe()
    }

    /// Node of the leader, as the members see it.
    pub fn leader(&self) -> Option<String> {
        let state = self.lock();
        state.leader.map(|index| state.members[index].node.clone())
    }

    /// Node names of all members.
    pub fn nodes(&self) -> Vec<String> {
        self.lock().members.iter().map(|member| member.node.clone()).collect()
    }

    /// Whether the member of `node` runs (it may hang).
    pub fn is_up(&self, node: &str) -> bool {
        let state = self.lock();
        state.position(node).is_some_and(|index| state.members[index].up)
    }

    /// Whether the member of `node` accepts connections and answers nothing.
    pub fn hangs(&self, node: &str) -> bool {
        let state = self.lock();
        state.position(node).is_some_and(|index| state.members[index].faults.hang)
    }

    /// Whether any member raised `alarm`.
    pub fn has_alarm(&self, alarm: AlarmType) -> bool {
        self.lock().alarms.iter().any(|(_, raised)| *raised == i32::from(alarm))
    }

    /// Member id of `node`.
    pub fn member_id(&self, node: &str) -> Option<u64> {
        let state = self.lock();
        state.position(node).map(|index| state.members[index].id)
    }

    /// Changes what is wrong with the member of `node`. A change of `stopped` takes effect at once.
    pub fn change_faults(&self, node: &str, change: impl FnOnce(&mut MemberFaults)) {
        self.update(|state| {
            let Some(index) = state.position(node) else { return };
            let member = &mut state.members[index];
            change(&mut member.faults);
            let (id, faults) = (member.id, member.faults.clone());
            for (is_raised, alarm) in
                [(faults.nospace, AlarmType::Nospace), (faults.corrupt, AlarmType::Corrupt)]
            {
                let alarm = (id, alarm.into());
                if is_raised {
                    state.alarms.insert(alarm);
                } else {
                    state.alarms.remove(&alarm);
                }
            }
            self.start_or_stop(state, index);
        });
    }

    /// Carries the data directory of the member of `node` over to another machine: the same member goes on there, under
    /// that machine's name and address.
    pub fn carry_over(&self, node: &str, machine: &Machine) {
        let moved = self.update(|state| {
            let index = state.position(node)?;
            machine.name().clone_into(&mut state.members[index].node);
            machine.address().clone_into(&mut state.members[index].address);
            Some(index)
        });
        if let Some(home) = moved.and_then(|index| self.inner.homes.get(index)) {
            home.send_replace(machine.clone());
        }
    }

    /// Ends when linearizable requests are answered; false when that does not happen in etcd's time.
    pub async fn serves_in_time(&self) -> bool {
        let mut health = self.watch();
        let wait = health.wait_for(|health| health.serving);
        matches!(tokio::time::timeout(self.pace().of(REQUEST), wait).await, Ok(Ok(_)))
    }

    pub(super) fn pace(&self) -> Pace {
        self.inner.pace
    }

    pub(super) fn spec(&self) -> &EtcdSpec {
        &self.inner.spec
    }

    pub(super) fn version(&self) -> &str {
        &self.inner.version
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member as it is now.
    pub(super) fn member(&self, index: usize) -> Option<MemberState> {
        self.lock().members.get(index).cloned()
    }

    /// Changes the state and tells who watches.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        state.settle();
        let health = state.health();
        drop(state);
        // Told even when the summary is the same: a follower may have gone.
        self.inner.health.send_replace(health);
        self.inner
            .serving
            .send_if_modified(|known| std::mem::replace(known, health.serving) != health.serving);
        result
    }

    #[expect(clippy::unused_self, reason = "reads as what the ensemble does")]
    fn spawn(&self, stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
        let stop = stop.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// The member runs while its machine does, and starts a while after a boot.
    async fn follow(self, index: usize, mut home: watch::Receiver<Machine>) {
        let mut power: watch::Receiver<Power> = home.borrow_and_update().power();
        loop {
            let now = power.borrow_and_update().clone();
            let was_powered = self.member(index).is_some_and(|member| member.powered);
            if now.is_serving() && !was_powered {
                let start = tokio::time::sleep(self.pace().of(START));
                tokio::select! {
                    () = start => self.update(|state| {
                        state.members[index].powered = true;
                        self.start_or_stop(state, index);
                    }),
                    _ = power.changed() => continue,
                    _ = home.changed() => {
                        power = home.borrow_and_update().power();
                        continue;
                    }
                }
            } else if !now.is_serving() && was_powered {
                self.update(|state| {
                    state.members[index].powered = false;
                    self.stop_member(state, index, now.on);
                });
            }
            tokio::select! {
                changed = power.changed() => if changed.is_err() { return },
                _ = home.changed() => power = home.borrow_and_update().power(),
            }
        }
    }

    /// The process runs when its machine does and nothing else keeps it from running.
    fn start_or_stop(&self, state: &mut State, index: usize) {
        let member = &state.members[index];
        let runs = member.powered && !member.faults.stopped && !member.faults.unstarted;
        state.set_up(index, runs, self.pace().of(CATCH_UP));
    }

    /// A member that is told to stop hands leadership over first, as etcd does on SIGTERM.
    fn stop_member(&self, state: &mut State, index: usize, is_graceful: bool) {
        state.set_up(index, false, self.pace().of(CATCH_UP));
        if is_graceful
            && state.leader == Some(index)
            && state.has_quorum()
            && let Some(next) = state.candidate()
        {
            state.elect(next);
        }
    }

    /// Replaces a leader that is gone, after the election timeout.
    async fn hold_elections(self) {
        let mut health = self.watch();
        loop {
            let wanted = health.wait_for(|now| !now.serving && (now.quorum || now.leader != 0)).await.is_ok();
            if !wanted {
                return;
            }
            tokio::time::sleep(self.pace().of(ELECTION)).await;
            self.update(|state| {
                if state.is_serving() {
                    return;
                }
                if !state.has_quorum() {
                    state.leader = None;
                } else if let Some(next) = state.candidate() {
                    state.elect(next);
                }
            });
        }
    }
}
