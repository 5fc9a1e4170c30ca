//! What is read of the whole cluster beyond nodes and pods: leaders, DaemonSets, name service, other tools, budgets.

use crate::backend::kube::{Cluster, KuredLock, Stops};
use crate::domain::actor::{Actor, DaemonRow, Leader};
use crate::domain::budget::BudgetRow;
use crate::domain::etcd::scheduled::ScheduledBackup;
use crate::domain::ids::NodeName;
use crate::domain::report::Report;
use crate::domain::time::Stamp;
use futures::FutureExt as _;
use std::collections::BTreeMap;
use std::time::Duration;

/// How far back nodes that came and went are counted.
pub const FLAP_SPAN: Duration = Duration::from_mins(10);

/// How often nodes stopped being Ready: as long as events are kept, lately, and when last.
pub type Flaps = BTreeMap<NodeName, Stops>;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    /// Who else is at work.
    pub actors: bool,
    /// Budgets.
    pub budgets: bool,
}

/// What was answered.
pub(super) struct World {
    pub leaders: Result<Vec<Leader>, Report>,
    pub daemons: Result<Vec<DaemonRow>, Report>,
    pub dns: Result<Option<(usize, usize)>, Report>,
    pub actors: Vec<Result<Vec<Actor>, Report>>,
    pub budgets: Option<Result<Vec<BudgetRow>, Report>>,
    pub flaps: Option<Result<Flaps, Report>>,
    pub backups: Result<Vec<ScheduledBackup>, Report>,
}

impl World {
    /// Asks for everything at once; failures are part of it. `clock` is the API server's time.
    pub(super) async fn read(cluster: &Cluster, clock: Stamp, wishes: Wishes) -> Self {
        let since = Stamp(clock.0 - i64::try_from(FLAP_SPAN.as_millis()).unwrap_or(0));
        let ((leaders, dns, daemons), (actors, backups), budgets, flaps) = futures::join!(
            async {
                futures::join!(
                    cluster.leaders().boxed(),
                    cluster.dns_endpoints().boxed(),
                    cluster.daemons().boxed()
                )
            },
            async {
                if !wishes.actors {
                    return (Vec::new(), Ok(Vec::new()));
                }
                futures::join!(cluster.others(clock).boxed(), cluster.etcd_backups().boxed())
            },
            async { if wishes.budgets { Some(cluster.budgets().boxed().await) } else { None } },
            cluster.times_not_ready(since).boxed(),
        );
        let mut actors: Vec<Result<Vec<Actor>, Report>> =
            actors.into_iter().map(|sighting| sighting.map_err(Report::from)).collect();
        if wishes.actors {
            let locks = daemons.as_ref().map(|(_, locks)| locks.iter().map(KuredLock::actor).collect());
            actors.push(locks.map_err(|error| Report::from(error.clone())));
        }
        Self {
            leaders: leaders.map_err(Report::from),
            dns: dns.map_err(Report::from),
            daemons: daemons.map(|(rows, _)| rows).map_err(Report::from),
            actors,
            budgets: budgets.map(|answer| answer.map_err(Report::from)),
            flaps: Some(flaps.map_err(Report::from)),
            backups: backups.map_err(Report::from),
        }
    }
}
