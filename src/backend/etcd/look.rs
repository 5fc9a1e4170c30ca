//! Rounds of questions: every member asked at once, each answer with its own deadline.

use super::options::Route;
use super::view::{Answer, Reply};
use super::{Etcd, Slot};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::etcd::{EtcdNews, EtcdView, MemberStatus, parse_version};
use crate::domain::feed::Liveness;
use crate::domain::report::FailureKind;
use crate::domain::text::clean;
use crate::proto::{MemberListRequest, StatusRequest, StatusResponse};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How long one answer may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);

impl Etcd {
    /// One round: `Status` and the member list of every member, at once, each with a deadline of 2 s. None of the
    /// questions needs a quorum or leaves an entry in the log (alarms are read from `Status`, not asked for).
    ///
    /// A member that does not answer is in the view as silent, with its last status. An error only when no member
    /// answers and none ever did, or when there is no way to etcd.
    pub async fn look(&self) -> Result<EtcdView, Error> {
        let (own, others) = futures::join!(self.look_here(), async {
            let others = self.others();
            let looks = others.iter().map(|other| async move { (other, other.look_here().await) });
            let views = futures::future::join_all(looks).await;
            views.into_iter().map(|(other, view)| other.named(view)).collect::<Vec<_>>()
        });
        let mut view = own?;
        view.name = self.name();
        view.others = others;
        Ok(view)
    }

    /// The view of a further cluster; when there is none, one that says so and in which nothing is known.
    fn named(&self, view: Result<EtcdView, Error>) -> EtcdView {
        let blind = |error: Error| EtcdView {
            at: clock::now(),
            unseen: Some(format!("etcd {} cannot be looked at: {error}", self.name())),
            ..EtcdView::default()
        };
        EtcdView { name: self.name(), ..view.unwrap_or_else(blind) }
    }

    pub(super) fn name(&self) -> String {
        self.found().map(|place| place.name).unwrap_or_default()
    }

    /// The round of this cluster alone.
    pub(super) async fn look_here(&self) -> Result<EtcdView, Error> {
        let routes = self.routes()?;
        let slots = self.slots();
        if slots.is_empty() {
            let why = "no control-plane node is known yet";
            return Err(Error::new(FailureKind::NotFound, "find etcd members", "", why)
                .hint("name the members in etcd.endpoints if they are not on control-plane nodes"));
        }
        // what is open already needs no certificate any more
        let is_closed = |slot: &Arc<Slot>| slot.link.try_lock().is_ok_and(|link| link.is_none());
        if slots.iter().all(is_closed)
            && slots.iter().any(|slot| !slot.is_plain())
            && let Err(error) = self.tls().await
        {
            return match error.kind {
                // its own files are wrong: that is to be put right, not to be gone around
                _ if self.inner.options.files().is_some() => Err(error),
                // no host answers: none would tell its health either
                _ if error.code.is_none() && routes == [Route::Ssh] => Err(error),
                _ => self.look_at_health(&error).await,
            };
        }
        let replies = futures::future::join_all(slots.iter().map(|slot| self.question(slot))).await;
        let places =
            slots.iter().map(|slot| (slot.node.clone(), slot.row.clone(), slot.address().to_owned()));
        let replies: Vec<Reply> = places
            .zip(replies)
            .map(|((node, row, address), answer)| Reply { node, row, address, answer })
            .collect();
        let (access, tried) = self.ways_taken(&routes, &slots).await;
        let mut view = self.memory().assemble(&replies, &access, clock::now())?;
        view.tried = tried;
        if let Some(place) = self.found() {
            let statuses = view.members.iter_mut().filter_map(|member| member.status.as_mut());
            statuses.for_each(|status| status.quota = status.quota.or(place.quota));
        }
        Ok(view)
    }

    /// The same, and an error when it is not the whole: for what needs the members themselves.
    pub(super) async fn look_whole(&self, op: &'static str) -> Result<EtcdView, Error> {
        let view = self.look_here().await?;
        match view.unseen {
            Some(unseen) => Err(Error::new(FailureKind::Local, op, "etcd", unseen)),
            None => Ok(view),
        }
    }

    /// The ways by which members are reached now, in words, and what was wrong with those tried before them.
    async fn ways_taken(&self, routes: &[Route], slots: &[Arc<Slot>]) -> (String, Vec<String>) {
        let (mut taken, mut tried) = (BTreeSet::new(), Vec::new());
        for slot in slots {
            let Some(route) = slot.link.lock().await.as_ref().map(|link| link.route) else { continue };
            taken.insert(route);
            let failed = slot.tried.lock().unwrap_or_else(PoisonError::into_inner);
            tried.extend(failed.iter().map(|words| format!("{}: {words}", slot.node)));
        }
        let words = |route: &Route| route.word();
        let access: Vec<&str> = if taken.is_empty() {
            routes.iter().map(words).collect()
        } else {
            taken.iter().map(words).collect()
        };
        (access.join(", "), tried)
    }

    async fn question(&self, slot: &Slot) -> Result<Answer, Error> {
        let status = self.status(slot).await?;
        let list = self
            .ask(slot, "list the members of", DEADLINE, |link| async move {
                let request = MemberListRequest { linearizable: false };
                Ok(link.cluster().member_list(request).await?.into_inner())
            })
            .await;
        // a learner does not serve the list
        Ok(Answer { members: list.ok().map(|list| list.members), ..status })
    }

    /// What one member says of itself.
    pub(super) async fn status(&self, slot: &Slot) -> Result<Answer, Error> {
        let (response, latency) = self
            .ask(slot, "read the status of", DEADLINE, |link| async move {
                let begun = Instant::now();
                let response = link.maintenance().status(StatusRequest {}).await?.into_inner();
                Ok((response, begun.elapsed()))
            })
            .await?;
        let Some(header) = &response.header else {
            let why = "its answer has no header";
            return Err(Error::new(FailureKind::Unexpected, "read the status of", &slot.label, why));
        };
        Ok(Answer {
            cluster_id: header.cluster_id,
            member_id: header.member_id,
            learner: response.is_learner,
            status: as_status(&response, latency),
            members: None,
        })
    }
}

fn as_status(response: &StatusResponse, latency: Duration) -> MemberStatus {
    let size = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let header = response.header.unwrap_or_default();
    MemberStatus {
        at: clock::now(),
        latency,
        version: clean(&response.version),
        leader: response.leader,
        term: response.raft_term.max(header.raft_term),
        index: response.raft_index,
        applied: response.raft_applied_index,
        db_size: size(response.db_size),
        db_in_use: size(response.db_size_in_use),
        quota: quota(&response.version, size(response.db_size_quota)),
        revision: header.revision,
        errors: response.errors.iter().map(|error| clean(error).trim().to_owned()).collect(),
        downgrading: response.downgrade_info.as_ref().is_some_and(|info| info.enabled),
    }
}

/// The quota, where the server tells it and can be believed: earlier servers of 3.6 tell a wrong one.
fn quota(version: &str, told: u64) -> Option<u64> {
    let is_right = parse_version(version).is_some_and(|version| version >= (3, 6, 6));
    (is_right && told > 0).then_some(told)
}

/// Looks again and again until cancelled: a view after each round that had one, and how alive the source is after each.
pub fn observe_etcd(etcd: Etcd, every: Duration, cancel: CancellationToken) -> mpsc::Receiver<EtcdNews> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let watching = async {
            let mut ticks = interval(every.max(Duration::from_millis(100)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = None;
            loop {
                ticks.tick().await;
                let looked = etcd.look().await;
                let liveness = liveness(&looked, &mut last);
                if let Ok(view) = looked
                    && sender.send(EtcdNews::View(view)).await.is_err()
                {
                    return;
                }
                if sender.send(EtcdNews::Liveness(liveness)).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = watching => {}
            () = cancel.cancelled() => {}
            () = sender.closed() => {}
        }
    });
    receiver
}

fn liveness(looked: &Result<EtcdView, Error>, last: &mut Option<crate::domain::time::Stamp>) -> Liveness {
    match looked {
        Err(error) if error.kind == FailureKind::Local => Liveness::Absent(error.report().line()),
        Err(error) if error.kind == FailureKind::NotFound && last.is_none() => Liveness::Connecting,
        Err(error) => Liveness::Failing { last: *last, report: error.report() },
        Ok(view) => {
            let newest = view
                .members
                .iter()
                .filter(|member| member.speaks())
                .filter_map(|member| Some(member.status.as_ref()?.at))
                .max();
            if let Some(at) = newest {
                *last = Some(at);
                return Liveness::Live(at);
            }
            let silent = view.members.iter().find_map(|member| match &member.health {
                crate::domain::etcd::MemberHealth::Silent(report) => Some(report.clone()),
                _ => None,
            });
            let report = silent.unwrap_or_else(|| {
                crate::domain::report::Report::new(FailureKind::Unreachable, "no etcd member answers")
            });
            Liveness::Failing { last: *last, report }
        }
    }
}
