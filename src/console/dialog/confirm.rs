//! The question before a run starts: object, count, consequence, and how much assent it needs.

use super::{Choice, Confirm, Fact, Prompt, Target, Toggle, Tone};
use crate::console::forecast::{Tally, tally};
use crate::console::model::Model;
use crate::console::phase::{Pulse, node_phase, pulse, quorum_words};
use crate::domain::access;
use crate::domain::config::DrainOptions;
use crate::domain::feed::Source;
use crate::domain::guard::{Request, World, demand};
use crate::domain::ids::NodeName;
use crate::domain::lock::LockChoice;
use crate::domain::node::NodeRow;
use crate::domain::plan::Kind;
use crate::domain::remedy::Resolution;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::RunState;
use crate::domain::text::count;
use crate::domain::time::brief;

/// The request for a kind of run on some nodes, as the console's settings and the forecast make it.
pub fn request(model: &Model, kind: Kind, nodes: Vec<NodeName>, drain: DrainOptions) -> Request {
    let drains = matches!(kind, Kind::Drain | Kind::Reboot | Kind::Roll);
    // without a right to leases the run can only go on without the lock, and the ladder asks for that word too
    let is_unlocked =
        matches!(kind, Kind::Reboot | Kind::Roll) && access::missing_lock(&model.known.access).is_some();
    let lock = match (is_unlocked, drains) {
        (true, _) => LockChoice::Without,
        (false, true) => model.lock_choice,
        (false, false) => LockChoice::Take,
    };
    let blocked = drains && kind != Kind::Roll && tally(model, &nodes, &drain).is_blocked();
    let roll = (kind == Kind::Roll).then(Box::default);
    Request { drain, blocked, lock, roll, ..Request::new(kind, nodes) }
}

/// Puts the question, or says why the request is denied.
pub fn build(model: &Model, request: Request) -> Result<Confirm, Report> {
    deny_beside_a_live_run(model, &request)?;
    if let Some(report) = access::refusal(&model.known.access, request.kind) {
        return Err(report);
    }
    let lock = foreign_lock(model, request.lock);
    let rung = demand(&model.setup.policy, &request, world(model, lock.as_deref()))?;
    Ok(Confirm {
        rung,
        title: title(&request),
        facts: facts(model, &request),
        choices: choices(model, &request),
        at: None,
        targets: targets(model, &request.nodes),
        notice: None,
        prompt: Prompt::new(model.now),
        scroll: 0,
        earlier: None,
        request,
    })
}

/// What the guard may know.
pub fn world<'m>(model: &'m Model, lock: Option<&'m str>) -> World<'m> {
    let known = &model.known;
    World { nodes: known.has_nodes.then_some(&known.nodes), etcd: known.etcd.as_ref(), lock }
}

/// Who else holds the maintenance lock, or left it behind, so that a run may not begin.
pub fn foreign_lock(model: &Model, choice: LockChoice) -> Option<String> {
    let lock = model.known.lock.as_ref()?;
    let is_ours = lock.run.as_ref().is_some_and(|id| model.runs.iter().any(|run| run.id == *id));
    if is_ours { None } else { lock.in_the_way(&model.setup.holder, choice, model.now) }
}

/// What the targets are now.
pub fn targets(model: &Model, nodes: &[NodeName]) -> Vec<Target> {
    let target = |node: &NodeName| {
        let row = model.known.nodes.get(node);
        Target {
            node: node.clone(),
            uid: row.map(|row| row.uid.clone()).unwrap_or_default(),
            boot_id: row.map(|row| row.boot_id.clone()).unwrap_or_default(),
            cordoned: row.is_some_and(|row| row.cordoned),
        }
    };
    nodes.iter().map(target).collect()
}

/// What is another now than when the question was put, in words.
pub fn differences(before: &[Target], now: &[Target]) -> Option<String> {
    let (old, new) = before.iter().zip(now).find(|(old, new)| old != new)?;
    let what = match (new.uid.is_empty(), old.uid == new.uid, old.boot_id == new.boot_id) {
        (true, false, _) => "is gone",
        (false, false, _) => "is another node now",
        (_, _, false) => "has booted anew",
        _ if new.cordoned => "was cordoned",
        _ => "was uncordoned",
    };
    Some(format!("{} {what} while this question stood: read it again", old.node))
}

pub(super) fn deny_beside_a_live_run(model: &Model, request: &Request) -> Result<(), Report> {
    let denied = |message: String, hint: String| Err(Report::new(FailureKind::Denied, message).hint(hint));
    if let Some(chosen) = &request.resolve {
        return deny_second_resolution(model, chosen);
    }
    let drains = |kind: Kind| matches!(kind, Kind::Drain | Kind::Reboot | Kind::Roll);
    for run in model.live_runs() {
        // a node that does not come back is what a power cycle is for; its run waits for a decision
        if request.kind == Kind::PowerCycle && run.state == RunState::Failed {
            continue;
        }
        if let Some(node) = request.nodes.iter().find(|node| run.nodes.contains(node)) {
            let message = format!("{} {node} is denied: {} {} works on it", request.kind, run.kind, run.op);
            return denied(message, "finish or abort that run first".to_owned());
        }
        if drains(run.kind) && drains(request.kind) {
            let node = run.nodes.first().map_or("", NodeName::as_str);
            let message =
                format!("{} is denied: {} {} of {node} is not over", request.kind, run.kind, run.op);
            return denied(message, "one node at a time: finish or abort that run first".to_owned());
        }
    }
    match model.starting.iter().find(|(_, other)| drains(other.kind) && drains(request.kind)) {
        Some((op, other)) => denied(
            format!("{} is denied: {} {op} is just starting", request.kind, other.kind),
            "look at its steps".to_owned(),
        ),
        None => Ok(()),
    }
}

/// A resolution goes on beside the run that is blocked, but not beside another one of the same budget.
fn deny_second_resolution(model: &Model, chosen: &Resolution) -> Result<(), Report> {
    let is_same =
        |other: &Option<Resolution>| other.as_ref().is_some_and(|other| other.budget == chosen.budget);
    let live = model.live_runs().find(|run| is_same(&run.resolve)).map(|run| run.op);
    let starting = model.starting.iter().find(|(_, request)| is_same(&request.resolve)).map(|(op, _)| *op);
    match live.or(starting) {
        None => Ok(()),
        Some(op) => Err(Report::new(
            FailureKind::Denied,
            format!("resolve is denied: resolve {op} works on {}", chosen.budget),
        )
        .hint("let it end, or abort it first")),
    }
}

fn title(request: &Request) -> String {
    let verb = match request.kind {
        Kind::Cordon => "Cordon",
        Kind::Uncordon => "Uncordon",
        Kind::Drain => "Drain",
        Kind::Reboot => "Reboot",
        Kind::Roll => "Roll",
        Kind::PowerCycle => "Cut the power of",
        Kind::Snapshot => return "Take an etcd snapshot?".to_owned(),
        Kind::Unlock => return "Clear the maintenance lock?".to_owned(),
        Kind::Resolve => return super::resolve::title(request),
    };
    match request.nodes.as_slice() {
        [one] => format!("{verb} {one}?"),
        many => format!("{verb} {}?", count(many.len(), "node")),
    }
}

fn facts(model: &Model, request: &Request) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    // a roll names its nodes by groups
    let named = if request.kind == Kind::Roll { &[][..] } else { request.nodes.as_slice() };
    for (at, node) in named.iter().enumerate() {
        facts.push(Fact::plain(if at == 0 { "object" } else { "" }, object(model, node)));
    }
    let tally = tally(model, named, &request.drain);
    match request.kind {
        Kind::Cordon => cordon_facts(model, request, &mut facts),
        Kind::Uncordon => uncordon_facts(model, request, &mut facts),
        Kind::Drain => drain_facts(model, request, &tally, &mut facts),
        Kind::Reboot => reboot_facts(model, request, &tally, &mut facts),
        Kind::Roll => facts.extend(super::roll::facts(model, request)),
        Kind::PowerCycle => facts.extend(super::host::power_facts(model, request)),
        Kind::Snapshot => snapshot_facts(model, &mut facts),
        Kind::Unlock => unlock_facts(model, &mut facts),
        Kind::Resolve => facts.extend(super::resolve::facts(model, request)),
    }
    facts.extend(staleness(model).filter(|_| request.kind != Kind::Snapshot));
    if let Some(lock) = &model.known.lock
        && foreign_lock(model, request.lock).is_none()
        && matches!(request.kind, Kind::Drain | Kind::Reboot)
    {
        let does = if request.lock == LockChoice::Adopt { "is taken over" } else { "was left behind" };
        let words = format!("the maintenance lock {does}: {}", lock.words(model.now));
        facts.push(Fact::toned(Tone::Attention, "lock", words));
    }
    facts.push(Fact::toned(Tone::Dim, "command", command(request)));
    facts
}

/// A question that rests on old data says so.
fn staleness(model: &Model) -> Option<Fact> {
    let words = match pulse(model, Source::Api) {
        Pulse::Live(_) => return None,
        Pulse::Delayed(age) | Pulse::Lost(Some(age)) => {
            format!("this is what was known {} ago: the API does not answer", brief(age))
        }
        Pulse::Absent | Pulse::Connecting | Pulse::Lost(None) => "the API has not answered yet".to_owned(),
    };
    Some(Fact::toned(Tone::Bad, "old data", words))
}

/// `cp-1: control-plane, Ready, etcd leader, 14 pods, booted 9d ago`.
fn object(model: &Model, node: &NodeName) -> String {
    let Some(row) = model.known.nodes.get(node) else { return format!("{node}: not known yet") };
    let mut parts = vec![row.roles.join("+"), node_phase(model, row).word().to_owned()];
    if let Some(member) = model.known.etcd.as_ref().and_then(|etcd| etcd.on_node(node)) {
        parts.push(if member.is_leader() { "etcd leader" } else { "etcd member" }.to_owned());
    }
    if let Some(pods) = crate::console::rows::pods_on(model, node) {
        parts.push(count(pods, "pod"));
    }
    if let Some(booted) = crate::console::phase::booted(model, row) {
        parts.push(format!("booted {} ago", brief(model.now.since(booted))));
    }
    parts.retain(|part| !part.is_empty());
    format!("{node}: {}", parts.join(", "))
}

fn already(model: &Model, request: &Request, is_so: impl Fn(&NodeRow) -> bool) -> usize {
    request.nodes.iter().filter_map(|node| model.known.nodes.get(node)).filter(|row| is_so(row)).count()
}

fn cordon_facts(model: &Model, request: &Request, facts: &mut Vec<Fact>) {
    facts.push(Fact::plain("count", count(request.nodes.len(), "node")));
    match already(model, request, |row| row.cordoned) {
        0 => {}
        done => {
            facts.push(Fact::toned(Tone::Attention, "", format!("{done} cordoned already: left as found")));
        }
    }
    facts.push(Fact::plain("consequence", "no new pods are placed here; pods that run here stay"));
    facts.extend(request.nodes.iter().flat_map(|node| etcd_facts(model, node)));
}

fn uncordon_facts(model: &Model, request: &Request, facts: &mut Vec<Fact>) {
    facts.push(Fact::plain("count", count(request.nodes.len(), "node")));
    for row in request.nodes.iter().filter_map(|node| model.known.nodes.get(node)) {
        if let Some(note) = &row.cordon {
            let since = note
                .since
                .map(|since| format!(", {} ago", brief(model.now.since(since))))
                .unwrap_or_default();
            let why = note.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let words = format!("{} was cordoned by {}{since}{why}", row.name, note.holder);
            facts.push(Fact::toned(Tone::Attention, "cordoned", words));
        } else if !row.cordoned {
            facts.push(Fact::toned(Tone::Attention, "", format!("{} is schedulable already", row.name)));
        }
        for lock in &row.foreign_locks {
            facts.push(Fact::toned(Tone::Attention, "in use", format!("{}: {lock}", row.name)));
        }
    }
    facts.push(Fact::plain("consequence", "new pods may be placed here at once"));
}

fn drain_facts(model: &Model, request: &Request, tally: &Tally, facts: &mut Vec<Fact>) {
    facts.push(tally.count());
    facts.extend(tally.verdict());
    let is_cordoned = |node: &&NodeName| model.known.nodes.get(*node).is_some_and(|row| row.cordoned);
    let (before, open): (Vec<&NodeName>, Vec<&NodeName>) = request.nodes.iter().partition(is_cordoned);
    let names =
        |nodes: Vec<&NodeName>| nodes.into_iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
    let mut words = Vec::new();
    if !open.is_empty() {
        let (turn, stay) = if open.len() == 1 { ("becomes", "stays") } else { ("become", "stay") };
        words.push(format!("{} {turn} unschedulable first, and {stay} so if the drain fails", names(open)));
    }
    if !before.is_empty() {
        let (is, stay) = if before.len() == 1 { ("is", "stays") } else { ("are", "stay") };
        words.push(format!("{} {is} cordoned already and {stay} so", names(before)));
    }
    facts.push(Fact::plain("consequence", words.join("; ")));
    if request.drain.disable_eviction {
        facts.push(Fact::toned(
            Tone::Bad,
            "",
            "pods are deleted, not evicted: disruption budgets are bypassed",
        ));
    }
    facts.extend(request.nodes.iter().flat_map(|node| etcd_facts(model, node)));
    facts.extend(tally.obstacles());
}

fn reboot_facts(model: &Model, request: &Request, tally: &Tally, facts: &mut Vec<Fact>) {
    facts.push(tally.count());
    facts.extend(tally.verdict());
    facts.push(Fact::plain(
        "consequence",
        "the host goes down and everything on it stops; nothing is touched before you confirm each step",
    ));
    if let (LockChoice::Without, Some(why)) = (request.lock, access::missing_lock(&model.known.access)) {
        let words =
            format!("goes on WITHOUT the maintenance lock ({why}): nothing keeps another console away");
        facts.push(Fact::toned(Tone::Bad, "unlocked", words));
    }
    facts.extend(request.nodes.iter().flat_map(|node| etcd_facts(model, node)));
    facts.extend(tally.obstacles());
}

/// What servicing a node means for the control plane: who else is away, and the quorum without it.
fn etcd_facts(model: &Model, node: &NodeName) -> Vec<Fact> {
    let mut facts: Vec<Fact> = away(model, node).into_iter().collect();
    let known = &model.known;
    let is_control_plane = known.nodes.get(node).is_none_or(NodeRow::is_control_plane);
    match known.etcd.as_ref().filter(|etcd| etcd.quorum().is_some()) {
        Some(etcd) => {
            let without = etcd.clusters().filter_map(|cluster| {
                let (member, quorum) = (cluster.on_node(node)?, cluster.quorum()?);
                let is_counted = !member.learner && member.health.is_healthy();
                let left = quorum.healthy.saturating_sub(usize::from(is_counted));
                Some(format!("{left} of {}, {} needed", quorum.voters, quorum.needed()))
            });
            let without: Vec<String> = without.collect();
            if without.is_empty() {
                return facts;
            }
            let known = quorum_words(model).unwrap_or_default();
            let words = format!("{known}; without {node}: {}", without.join("; "));
            facts.push(Fact::plain("quorum", words));
        }
        None if is_control_plane => {
            let words = "etcd is not known yet: the run's gates will not pass before it is";
            facts.push(Fact::toned(Tone::Attention, "quorum", words));
        }
        None => {}
    }
    facts
}

/// Says that another control-plane node is away, for a control-plane node.
pub fn away(model: &Model, node: &NodeName) -> Option<Fact> {
    let nodes = &model.known.nodes;
    nodes.get(node).filter(|row| row.is_control_plane())?;
    let is_away = |row: &&NodeRow| row.name != *node && row.is_control_plane() && !row.is_ready();
    let others: Vec<&str> = nodes.values().filter(is_away).map(|row| row.name.as_str()).collect();
    (!others.is_empty()).then(|| {
        let words = format!("another control-plane node is away (not Ready): {}", others.join(", "));
        Fact::toned(Tone::Bad, "careful", words)
    })
}

fn unlock_facts(model: &Model, facts: &mut Vec<Fact>) {
    let held = model.known.lock.as_ref().map_or("nobody".to_owned(), |lock| lock.words(model.now));
    facts.push(Fact::plain("held by", held));
    facts.push(Fact::plain(
        "consequence",
        "others may start maintenance at once; what that run changed stays as it is. A lock that is kept alive is not cleared",
    ));
}

fn snapshot_facts(model: &Model, facts: &mut Vec<Fact>) {
    let etcd = model.known.etcd.as_ref();
    let size = etcd.and_then(|etcd| {
        etcd.members.iter().filter_map(|member| member.status.as_ref()).map(|s| s.db_size).max()
    });
    let size = size
        .map_or("of unknown size".to_owned(), |size| format!("about {}", crate::domain::text::bytes(size)));
    facts.push(Fact::plain("object", "the etcd key space, read from one healthy member"));
    facts.push(Fact::plain("count", format!("1 file, {size}")));
    facts.push(Fact::plain(
        "consequence",
        "load on one member while it is read; nothing in the cluster changes",
    ));
}

fn command(request: &Request) -> String {
    let nodes: Vec<&str> = request.nodes.iter().map(NodeName::as_str).collect();
    let nodes = nodes.join(" ");
    match request.kind {
        Kind::Cordon => format!("kubectl cordon {nodes}"),
        Kind::Uncordon => format!("kubectl uncordon {nodes}"),
        Kind::Drain => format!("kubectl drain {nodes}{}", request.drain.flags()),
        Kind::Reboot => format!("pitstop run reboot {nodes}{}", request.drain.flags()),
        Kind::Roll => format!("{}{}", super::roll::command(request), request.drain.flags()),
        Kind::PowerCycle => format!("pitstop run power-cycle {nodes}"),
        Kind::Snapshot => "pitstop snapshot".to_owned(),
        Kind::Unlock => "pitstop runs unlock".to_owned(),
        Kind::Resolve => super::resolve::command(request),
    }
}

fn choices(model: &Model, request: &Request) -> Vec<Choice> {
    if !matches!(request.kind, Kind::Drain | Kind::Reboot) {
        return Vec::new();
    }
    let drain = &request.drain;
    let tally = tally(model, &request.nodes, drain);
    let words = |toggle| tally.words_for(toggle);
    [
        (Toggle::IgnoreDaemonsets, 'i', "--ignore-daemonsets", drain.ignore_daemonsets),
        (Toggle::DeleteEmptydirData, 'e', "--delete-emptydir-data", drain.delete_emptydir_data),
        (Toggle::Force, 'f', "--force", drain.force),
        (Toggle::DisableEviction, 'd', "--disable-eviction", drain.disable_eviction),
    ]
    .into_iter()
    .map(|(toggle, letter, flag, on)| Choice {
        toggle,
        letter,
        flag: flag.to_owned(),
        words: words(toggle),
        on,
    })
    .collect()
}

/// Turns one switch and puts the question anew (another text, so it arms again).
pub fn toggled(model: &Model, confirm: &Confirm, toggle: Toggle) -> Result<Confirm, Report> {
    let mut drain = confirm.request.drain.clone();
    let switch = match toggle {
        Toggle::IgnoreDaemonsets => &mut drain.ignore_daemonsets,
        Toggle::DeleteEmptydirData => &mut drain.delete_emptydir_data,
        Toggle::Force => &mut drain.force,
        Toggle::DisableEviction => &mut drain.disable_eviction,
    };
    *switch = !*switch;
    let asked = &confirm.request;
    let request = request(model, asked.kind, asked.nodes.clone(), drain);
    let fresh = build(model, Request { lock: asked.lock, ..request })?;
    Ok(Confirm { at: confirm.at, ..fresh })
}
