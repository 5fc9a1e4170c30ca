//! Rolling updates in several states, on a cluster of three control planes and 47 workers.

use super::cluster::{FIRST, node, pod};
use super::{NOW, ago, send};
use pitstop::console::model::{Model, Setup};
use pitstop::console::msg::Msg;
use pitstop::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy};
use pitstop::domain::feed::{Delta, Liveness, Observation, Source};
use pitstop::domain::ids::{BudgetKey, NodeName};
use pitstop::domain::node::{CordonNote, NodeRow, Readiness};
use pitstop::domain::pod::PodRow;
use pitstop::domain::selector::Selector;
use pitstop::domain::time::Stamp;
use std::collections::BTreeMap;

/// A roll as it is played; its own clock goes from 40 minutes before [`NOW`] on.
struct Play {
    model: Model,
    at: i64,
}

fn nodes() -> Vec<NodeRow> {
    let workers = (1..=47).map(|number| format!("worker-{number}"));
    let names = (1..=3).map(|number| format!("cp-{number}")).chain(workers);
    names.map(|name| node(&name)).collect()
}

/// `shop/web`: needs 3 of its pods.
fn budget(healthy: i32) -> BudgetRow {
    BudgetRow {
        key: BudgetKey { namespace: "shop".to_owned(), name: "web".to_owned() },
        uid: "uid-web".to_owned(),
        demand: Demand::MinAvailable(Amount::Pods(3)),
        selector: Selector {
            labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            ..Selector::default()
        },
        unhealthy: UnhealthyPolicy::IfHealthyBudget,
        allowed: (healthy - 3).max(0),
        healthy,
        desired: 3,
        expected: healthy,
        generation: 1,
        observed: 1,
        disrupted: Vec::new(),
        sync_failed: None,
    }
}

impl Play {
    fn new() -> Self {
        let mut play = Self { model: Model::new(Setup::default(), (80, 24), ago(2400)), at: 2400 };
        let names: Vec<String> = nodes().iter().map(|row| row.name.0.clone()).collect();
        let apps = names.iter().flat_map(|on| (0..3).map(|number| pod("shop", "front", number, on)));
        let web = ["worker-3", "worker-4", "worker-20"].map(|on| pod("shop", "web", 0, on));
        let msgs = [
            Msg::Joined(FIRST, "eu-west-prod-1".to_owned()),
            Msg::Seen(FIRST, Observation::Version("v1.34.2".to_owned())),
            Msg::Seen(FIRST, Observation::Nodes(Delta::Reset(nodes()))),
            Msg::Seen(FIRST, Observation::Pods(vec![Delta::Reset(apps.chain(web).collect())])),
            Msg::Seen(FIRST, Observation::Budgets(Delta::Reset(vec![budget(3)]))),
            Msg::Source(FIRST, Source::Api, Liveness::Live(NOW)),
        ];
        for msg in msgs {
            send(&mut play.model, msg);
        }
        play.pass(1);
        play
    }

    /// Time passes.
    fn pass(&mut self, secs: i64) {
        let until = self.at - secs;
        while self.at > until {
            self.at -= (self.at - until).min(60);
            send(&mut self.model, Msg::Tick(ago(self.at)));
        }
        send(&mut self.model, Msg::Source(FIRST, Source::Api, Liveness::Live(ago(self.at))));
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut NodeRow, Stamp)) {
        let mut row = self.model.known.nodes[&NodeName::from(name)].clone();
        change(&mut row, ago(self.at));
        send(&mut self.model, Msg::Seen(FIRST, Observation::Nodes(Delta::Upsert(row))));
    }

    fn cordon(&mut self, name: &str) {
        self.change(name, |row, at| {
            row.cordoned = true;
            row.cordon = Some(CordonNote {
                run: None,
                holder: "kubectl-cordon".to_owned(),
                since: Some(at),
                reason: None,
                prior_cordoned: None,
            });
        });
    }

    /// The pods of an app leave a node.
    fn evict(&mut self, name: &str, app: &str, most: usize) {
        let of = |row: &&PodRow| {
            let is_app = row.labels.get("app").is_some_and(|label| label == app);
            is_app && row.node.as_ref().is_some_and(|on| on.as_str() == name)
        };
        let rows: Vec<PodRow> = self.model.known.pods.values().filter(of).take(most).cloned().collect();
        let gone = rows.into_iter().map(Delta::Remove).collect();
        send(&mut self.model, Msg::Seen(FIRST, Observation::Pods(gone)));
    }

    fn turn(&mut self, name: &str) {
        self.cordon(name);
        self.pass(4);
        self.evict(name, "front", 9);
        self.evict(name, "web", 9);
        self.pass(16);
        self.change(name, |row, at| {
            (row.readiness, row.ready_since) = (Readiness::Unknown, Some(at));
        });
        self.pass(70);
        self.change(name, |row, at| {
            row.boot_id = format!("{}-anew", row.boot_id);
            row.version = "v1.35.1".to_owned();
            (row.readiness, row.ready_since) = (Readiness::Ready, Some(at));
        });
        self.pass(6);
        self.change(name, |row, _| (row.cordoned, row.cordon) = (false, None));
    }

    /// Until [`NOW`], with the focus on the roll.
    fn end(mut self) -> Model {
        self.pass(self.at);
        super::type_text(&mut self.model, "6");
        self.model
    }
}

/// After the control planes and two workers, with a third away and a fourth draining.
pub fn moving() -> Model {
    let mut play = Play::new();
    play.pass(1860);
    for name in ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"] {
        play.turn(name);
        play.pass(6);
    }
    play.cordon("worker-5");
    play.evict("worker-5", "front", 9);
    play.pass(2);
    play.change("worker-5", |row, at| (row.readiness, row.ready_since) = (Readiness::Unknown, Some(at)));
    play.cordon("worker-6");
    play.evict("worker-6", "front", 1);
    play.end()
}

/// A budget has blocked the fourth worker for 14 minutes.
pub fn stuck() -> Model {
    let mut play = Play::new();
    play.pass(850);
    for name in ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2", "worker-5"] {
        play.turn(name);
        play.pass(6);
    }
    play.pass(80);
    play.cordon("worker-4");
    play.evict("worker-4", "front", 9);
    play.end()
}

/// The same, seen from the other panes.
pub fn announced() -> Model {
    let mut model = stuck();
    model.watch.is_called = true;
    super::type_text(&mut model, "1");
    model
}

/// Two control planes of three, and then nobody has looked for long: the roll is given up.
pub fn stopped() -> Model {
    let mut play = Play::new();
    play.turn("cp-1");
    play.pass(5);
    play.turn("cp-2");
    play.end()
}

/// No roll at all.
pub fn idle() -> Model {
    Play::new().end()
}
