//! Time of one frame, from a key to its frame, and from an event in the middle of a roll to its frame, on 500 nodes, 10,000 pods and 100 budgets: `cargo bench --bench frame`.

use pitstop::console::keymap::Key;
use pitstop::console::model::{Model, Setup};
use pitstop::console::msg::Msg;
use pitstop::console::update::update;
use pitstop::console::view::draw;
use pitstop::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy};
use pitstop::domain::feed::{Delta, Observation};
use pitstop::domain::ids::{BudgetKey, Generation, PodKey};
use pitstop::domain::node::{NodeRow, Readiness};
use pitstop::domain::pod::{Phase, PodRow};
use pitstop::domain::selector::Selector;
use pitstop::domain::time::Stamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;
use tokio::time::Instant;

const NODES: usize = 500;
const PODS: usize = 10_000;
const NAMESPACES: usize = 50;
const BUDGETS: usize = 100;
const ROUNDS: usize = 300;
/// Nodes whose pods leave, in the middle of a roll.
const DRAINED: [usize; 3] = [401, 402, 403];

fn node(number: usize) -> NodeRow {
    NodeRow {
        name: format!("worker-{number:03}").into(),
        uid: format!("uid-{number}"),
        roles: vec!["worker".to_owned()],
        readiness: Readiness::Ready,
        ready_since: Some(Stamp(0)),
        heartbeat: Some(Stamp(0)),
        cordoned: number.is_multiple_of(17),
        cordon: None,
        pressure: Vec::new(),
        version: "v1.34.2".to_owned(),
        kernel: "6.1.0-40-amd64".to_owned(),
        os_image: "Debian GNU/Linux 12".to_owned(),
        boot_id: format!("boot-{number}"),
        machine_id: format!("machine-{number}"),
        address: None,
        created: Some(Stamp(0)),
        booted: None,
        pod_capacity: Some(110),
        allocatable: None,
        taints: Vec::new(),
        labels: BTreeMap::new(),
        addresses: Vec::new(),
        foreign_locks: Vec::new(),
    }
}

fn namespace(number: usize) -> String {
    format!("team-{:02}", number % NAMESPACES)
}

fn app(number: usize) -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), format!("app-{}", number % BUDGETS))])
}

fn pod(number: usize) -> PodRow {
    let name = format!("app-{}-{number}", number % BUDGETS);
    PodRow {
        key: PodKey { namespace: namespace(number), uid: format!("uid-{number}"), name },
        node: Some(format!("worker-{:03}", number % NODES).into()),
        phase: Phase::Running,
        ready: true,
        deleting: None,
        grace_secs: 30,
        owner: None,
        mirror: false,
        manifest: None,
        empty_dirs: Vec::new(),
        claims: Vec::new(),
        labels: app(number),
        priority: 0,
        priority_class: String::new(),
        restarts: 0,
        waiting: None,
        finalizers: Vec::new(),
        node_selector: BTreeMap::new(),
        tolerates_cordon: false,
        requests: pitstop::domain::placement::Amounts::default(),
        rules: None,
        created: Some(Stamp(0)),
    }
}

fn budget(number: usize) -> BudgetRow {
    BudgetRow {
        key: BudgetKey { namespace: namespace(number), name: format!("app-{number}") },
        uid: format!("uid-{number}"),
        demand: Demand::MaxUnavailable(Amount::Percent(10)),
        selector: Selector { labels: app(number), ..Selector::default() },
        unhealthy: UnhealthyPolicy::IfHealthyBudget,
        allowed: 10,
        healthy: 100,
        desired: 90,
        expected: 100,
        generation: 1,
        observed: 1,
        disrupted: Vec::new(),
        sync_failed: None,
    }
}

fn model() -> Model {
    let first = Generation(1);
    let mut model = Model::new(Setup::default(), (200, 60), Stamp(1_000));
    for msg in [
        Msg::Joined(first, "bench".to_owned()),
        Msg::Seen(first, Observation::Nodes(Delta::Reset((0..NODES).map(node).collect()))),
        Msg::Seen(first, Observation::Pods(vec![Delta::Reset((0..PODS).map(pod).collect())])),
        Msg::Seen(first, Observation::Budgets(Delta::Reset((0..BUDGETS).map(budget).collect()))),
    ] {
        update(&mut model, msg);
    }
    model
}

/// The same in the middle of a roll: two fifths of the nodes have had their turn, three are being drained.
fn rolling() -> Model {
    let first = Generation(1);
    let mut model = model();
    for number in (0..NODES * 2 / 5).filter(|number| !number.is_multiple_of(17)) {
        let turned =
            NodeRow { version: "v1.35.1".to_owned(), boot_id: format!("boot-{number}-2"), ..node(number) };
        update(&mut model, Msg::Seen(first, Observation::Nodes(Delta::Upsert(turned))));
    }
    for number in DRAINED {
        let drained = NodeRow { cordoned: true, ..node(number) };
        update(&mut model, Msg::Seen(first, Observation::Nodes(Delta::Upsert(drained))));
    }
    update(&mut model, Msg::Key(Key::char('6'), Stamp(2_000)));
    model
}

/// Median and 95th percentile of many rounds.
fn times(mut round: impl FnMut()) -> (Duration, Duration) {
    let mut spans: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            round();
            began.elapsed()
        })
        .collect();
    spans.sort();
    (spans[ROUNDS / 2], spans[ROUNDS * 95 / 100])
}

fn main() -> std::io::Result<()> {
    let mut model = model();
    let area = Rect::new(0, 0, 200, 60);
    let mut buffer = Buffer::empty(area);
    let frame = times(|| {
        buffer.reset();
        draw(&model, &mut buffer, area);
    });
    let mut down = true;
    let key = times(|| {
        down = !down;
        let at = model.now;
        update(&mut model, Msg::Key(Key::char(if down { 'j' } else { 'k' }), at));
        buffer.reset();
        draw(&model, &mut buffer, area);
    });
    let mut roll = rolling();
    let rollout = times(|| {
        buffer.reset();
        draw(&roll, &mut buffer, area);
    });
    let mut round = 0;
    let pod_event = times(|| {
        // a pod of a node that is drained begins or ceases to leave
        round += 1;
        let row = PodRow { deleting: (round % 2 == 0).then_some(Stamp(60_000)), ..pod(DRAINED[round % 3]) };
        update(&mut roll, Msg::Seen(Generation(1), Observation::Pods(vec![Delta::Upsert(row)])));
        buffer.reset();
        draw(&roll, &mut buffer, area);
    });
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{NODES} nodes, {PODS} pods, {BUDGETS} budgets, 200x60, median and 95th percentile of {ROUNDS}"
    )?;
    for (name, (median, high)) in [
        ("frame", frame),
        ("key to frame", key),
        ("rollout pane", rollout),
        ("roll, pod event to frame", pod_event),
    ] {
        writeln!(
            out,
            "{name:<26}{:>8.2} ms{:>8.2} ms",
            median.as_secs_f64() * 1e3,
            high.as_secs_f64() * 1e3
        )?;
    }
    Ok(())
}
