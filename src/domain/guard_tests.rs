//! The ladder, case by case, and two properties that must hold for every world.

use super::*;
use crate::domain::etcd::{MemberHealth, MemberRow, MemberStatus};
use crate::domain::feed::Row;
use crate::domain::node::Readiness;
use crate::domain::time::Stamp;
use proptest::prelude::*;

fn node(name: &str, is_control_plane: bool, is_ready: bool) -> NodeRow {
    NodeRow {
        name: name.into(),
        uid: format!("uid-{name}"),
        roles: vec![if is_control_plane { "control-plane".into() } else { "worker".into() }],
        readiness: if is_ready { Readiness::Ready } else { Readiness::NotReady },
        ..crate::domain::node::sample()
    }
}

fn nodes(rows: impl IntoIterator<Item = NodeRow>) -> Table<NodeRow> {
    rows.into_iter().map(|row| (row.key(), row)).collect()
}

fn member(id: u64, node: &str, is_healthy: bool, learner: bool) -> MemberRow {
    let health = if is_healthy { MemberHealth::Healthy } else { MemberHealth::Unstarted };
    MemberRow {
        id,
        name: node.into(),
        node: Some(node.into()),
        learner,
        health,
        status: None,
        lag: None,
        peer_urls: Vec::new(),
    }
}

fn cluster(ready: [bool; 3]) -> (Table<NodeRow>, EtcdView) {
    let names = ["cp-1", "cp-2", "cp-3"];
    let rows = names.iter().zip(ready).map(|(name, up)| node(name, true, up));
    let members = names.iter().zip(ready).zip(1..).map(|((name, up), id)| member(id, name, up, false));
    let view = EtcdView { members: members.collect(), ..EtcdView::default() };
    (nodes(rows.chain([node("worker-1", false, true)])), view)
}

fn request(kind: Kind, names: &[&str]) -> Request {
    Request::new(kind, names.iter().map(|name| NodeName::from(*name)).collect())
}

fn policy() -> Policy {
    Policy { context: "eu-prod".into(), ..Policy::default() }
}

fn demanded(request: &Request) -> Result<Rung, Report> {
    let (nodes, etcd) = cluster([true; 3]);
    demand(&policy(), request, World { nodes: Some(&nodes), etcd: Some(&etcd), lock: None })
}

#[test]
fn each_request_has_its_rung() {
    let typed = |name: &str| Rung::TypeName(name.into());
    let mut forced = request(Kind::Drain, &["worker-1"]);
    forced.drain.force = true;
    let mut blocked = request(Kind::Drain, &["worker-1"]);
    blocked.blocked = true;
    let cases = [
        (request(Kind::Snapshot, &[]), Rung::Key),
        (request(Kind::Cordon, &["worker-1"]), Rung::Key),
        (request(Kind::Uncordon, &["worker-1"]), Rung::Key),
        (request(Kind::Drain, &["worker-1"]), Rung::Key),
        (forced, typed("worker-1")),
        (blocked, typed("worker-1")),
        (request(Kind::Reboot, &["worker-1"]), typed("worker-1")),
        (request(Kind::Cordon, &["cp-1"]), typed("cp-1")),
        (request(Kind::Drain, &["worker-1", "cp-1"]), typed("cp-1")),
        (request(Kind::Reboot, &["cp-2"]), typed("cp-2")),
    ];
    for (request, rung) in cases {
        assert_eq!(demanded(&request), Ok(rung), "{request:?}");
    }
}

#[test]
fn an_unknown_world_counts_as_a_control_plane() {
    let world = World { nodes: None, etcd: None, lock: None };
    let rung = demand(&policy(), &request(Kind::Cordon, &["worker-1"]), world);
    assert_eq!(rung, Ok(Rung::TypeName("worker-1".into())));
}

#[test]
fn losing_quorum_is_denied_with_the_arithmetic() {
    let (nodes, etcd) = cluster([false, true, true]);
    let world = World { nodes: Some(&nodes), etcd: Some(&etcd), lock: None };
    let denied = demand(&policy(), &request(Kind::Reboot, &["cp-2"]), world).unwrap_err();
    assert_eq!(
        denied.message,
        "rebooting cp-2 is denied: 2 of 3 etcd voters are healthy; without cp-2 1 would be left, below the quorum of 2"
    );
    // the member that is down may be rebooted: it is not counted as healthy anyway
    assert!(demand(&policy(), &request(Kind::Reboot, &["cp-1"]), world).is_ok());
}

#[test]
fn under_an_alarm_no_control_plane_is_rebooted() {
    let (nodes, mut etcd) = cluster([true; 3]);
    for member in &mut etcd.members {
        member.health = MemberHealth::Unhealthy(vec!["alarm NOSPACE".into()]);
        member.status = Some(MemberStatus {
            at: Stamp(0),
            latency: std::time::Duration::ZERO,
            version: "3.5.21".into(),
            leader: 1,
            term: 1,
            index: 1,
            applied: 1,
            db_size: 1,
            db_in_use: 1,
            quota: None,
            revision: 1,
            errors: vec!["memberID:3 alarm:NOSPACE".into()],
            downgrading: false,
        });
    }
    let world = World { nodes: Some(&nodes), etcd: Some(&etcd), lock: None };
    let denied = demand(&policy(), &request(Kind::Reboot, &["cp-1"]), world).unwrap_err();
    let words =
        "rebooting cp-1 is denied: etcd has an alarm NOSPACE on cp-3: a database has reached its quota";
    assert!(denied.message.starts_with(words), "{denied}");
    assert!(demand(&policy(), &request(Kind::Reboot, &["worker-1"]), world).is_ok());
    assert!(demand(&policy(), &request(Kind::Snapshot, &[]), world).is_ok());
}

#[test]
fn a_second_control_plane_node_is_not_drained_while_one_is_away() {
    let (nodes, etcd) = cluster([false, true, true]);
    let world = World { nodes: Some(&nodes), etcd: Some(&etcd), lock: None };
    let denied = demand(&policy(), &request(Kind::Drain, &["cp-2"]), world).unwrap_err();
    assert_eq!(
        denied.message,
        "draining cp-2 is denied: another control-plane node, cp-1, is away (not Ready)"
    );
    assert!(demand(&policy(), &request(Kind::Drain, &["cp-1"]), world).is_ok(), "the one that is away");
    assert!(demand(&policy(), &request(Kind::Drain, &["worker-1"]), world).is_ok());
}

#[test]
fn one_voter_cannot_be_spared_and_the_text_says_so() {
    let view = EtcdView { members: vec![member(1, "cp-1", true, false)], ..EtcdView::default() };
    let table = nodes([node("cp-1", true, true)]);
    let world = World { nodes: Some(&table), etcd: Some(&view), lock: None };
    let denied = demand(&policy(), &request(Kind::Reboot, &["cp-1"]), world).unwrap_err();
    assert!(
        denied.message.contains("1 of 1 etcd voters is healthy; without cp-1 0 would be left"),
        "{denied}"
    );
    assert!(denied.hint.as_deref().is_some_and(|hint| hint.contains("three or more voters")), "{denied}");
}

#[test]
fn a_second_control_plane_node_waits_for_the_first() {
    let (mut nodes, etcd) = cluster([true; 3]);
    nodes.insert("cp-3".into(), node("cp-3", true, false));
    let world = World { nodes: Some(&nodes), etcd: Some(&etcd), lock: None };
    let denied = demand(&policy(), &request(Kind::Reboot, &["cp-1"]), world).unwrap_err();
    assert!(denied.message.contains("cp-3, is away"), "{denied}");
    assert!(demand(&policy(), &request(Kind::Reboot, &["worker-1"]), world).is_ok());
}

#[test]
fn the_lock_of_another_denies_what_would_fight_with_it() {
    let (nodes, etcd) = cluster([true; 3]);
    let world = World { nodes: Some(&nodes), etcd: Some(&etcd), lock: Some("ada@ops, reboot of cp-3") };
    for kind in [Kind::Drain, Kind::Reboot] {
        let denied = demand(&policy(), &request(kind, &["worker-1"]), world).unwrap_err();
        assert!(denied.message.contains("ada@ops"), "{denied}");
    }
    assert!(demand(&policy(), &request(Kind::Uncordon, &["worker-1"]), world).is_ok());
}

#[test]
fn malformed_requests_are_denied_in_words() {
    let cases = [
        (request(Kind::Drain, &[]), "needs the name of a node"),
        (request(Kind::Reboot, &["cp-1", "cp-2"]), "one node at a time"),
        (request(Kind::Cordon, &["nowhere"]), "no node named nowhere"),
    ];
    for (request, words) in cases {
        let denied = demanded(&request).unwrap_err();
        assert!(denied.message.contains(words), "{denied}");
    }
}

#[test]
fn read_only_still_takes_snapshots() {
    let read_only = Policy { read_only: true, ..policy() };
    let world = World { nodes: None, etcd: None, lock: None };
    assert!(demand(&read_only, &request(Kind::Cordon, &["worker-1"]), world).is_err());
    assert_eq!(demand(&read_only, &request(Kind::Snapshot, &[]), world), Ok(Rung::Key));
    assert!(demand(&read_only, &request(Kind::Unlock, &[]), world).is_err());
}

#[test]
fn a_protected_context_must_be_named_by_hand() {
    let policy = Policy { protected: vec!["*prod*".into()], ..policy() };
    let (nodes, etcd) = cluster([true; 3]);
    let world = World { nodes: Some(&nodes), etcd: Some(&etcd), lock: None };
    let ask = request(Kind::Cordon, &["worker-1"]);
    let given = |assent| grant(&policy, &ask, world, assent);
    assert!(given(Assent::Flag { context: None }).is_err());
    assert!(given(Assent::Flag { context: Some("eu-test".into()) }).is_err());
    assert!(given(Assent::Flag { context: Some("eu-prod".into()) }).is_ok());
    assert!(given(Assent::Typed("worker-1".into())).is_err());
    assert!(given(Assent::Typed("eu-prod".into())).is_ok());
}

#[test]
fn a_permit_covers_its_nodes_and_nothing_else() {
    let (nodes, etcd) = cluster([true; 3]);
    let world = World { nodes: Some(&nodes), etcd: Some(&etcd), lock: None };
    let drain =
        grant(&policy(), &request(Kind::Drain, &["worker-1"]), world, Assent::Key).expect("a drain permit");
    let (here, there) = (NodeName::from("worker-1"), NodeName::from("cp-1"));
    assert!(drain.covers(&Change::Cordon(&here)) && drain.covers(&Change::Evict(&here)));
    assert!(drain.covers(&Change::Uncordon(&here)) && drain.covers(&Change::Lock));
    assert!(!drain.covers(&Change::Evict(&there)) && !drain.covers(&Change::Reboot(&here)));
    assert!(!drain.covers(&Change::Snapshot));
    assert_eq!(drain.check(&Change::Reboot(&here)).unwrap_err().kind, FailureKind::Denied);
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Cordon),
        Just(Kind::Uncordon),
        Just(Kind::Drain),
        Just(Kind::Reboot),
        Just(Kind::Snapshot)
    ]
}

fn any_assent() -> impl Strategy<Value = Assent> {
    prop_oneof![
        Just(Assent::Key),
        "(cp-1|worker-1|eu-prod|y|)".prop_map(Assent::Typed),
        prop::option::of("(eu-prod|eu-test)").prop_map(|context| Assent::Flag { context }),
    ]
}

proptest! {
    #[test]
    fn no_permit_without_the_demanded_assent(
        kind in any_kind(),
        target in prop::sample::select(vec!["cp-1", "worker-1"]),
        force in any::<bool>(),
        blocked in any::<bool>(),
        read_only in any::<bool>(),
        is_protected in any::<bool>(),
        given in any_assent(),
    ) {
        let protected = if is_protected { vec!["eu-*".to_owned()] } else { Vec::new() };
        let policy = Policy { read_only, protected, context: "eu-prod".into() };
        let (nodes, etcd) = cluster([true; 3]);
        let world = World { nodes: Some(&nodes), etcd: Some(&etcd), lock: None };
        let mut ask = request(kind, &[target]);
        ask.drain.force = force;
        ask.blocked = blocked;
        let granted = grant(&policy, &ask, world, given.clone());
        match demand(&policy, &ask, world) {
            Err(denied) => prop_assert_eq!(granted, Err(denied)),
            Ok(rung) => {
                let is_enough = match (&rung, &given) {
                    (Rung::Key, _) | (Rung::TypeName(_), Assent::Flag { .. }) => true,
                    (Rung::TypeName(name) | Rung::TypeContext(name), Assent::Typed(text)) => name == text,
                    (Rung::TypeContext(name), Assent::Flag { context }) => Some(name) == context.as_ref(),
                    (_, Assent::Key) => false,
                };
                prop_assert_eq!(granted.is_ok(), is_enough);
            }
        }
    }

    #[test]
    fn a_reboot_is_denied_iff_quorum_or_a_second_control_plane_is_at_stake(
        members in prop::collection::vec((any::<bool>(), prop::bool::weighted(0.2), any::<bool>()), 1..8),
        target in any::<prop::sample::Index>(),
    ) {
        let name = |at: usize| format!("cp-{at}");
        let target = target.index(members.len());
        let table = nodes(members.iter().enumerate().map(|(at, (_, _, ready))| node(&name(at), true, *ready)));
        let view = EtcdView {
            members: members.iter().enumerate().zip(1..)
                .map(|((at, (healthy, learner, _)), id)| member(id, &name(at), *healthy, *learner))
                .collect(),
            ..EtcdView::default()
        };
        // counted anew, without the code under test
        let voters = members.iter().filter(|(_, learner, _)| !learner).count();
        let remaining = members.iter().enumerate()
            .filter(|(at, (healthy, learner, _))| *at != target && *healthy && !learner)
            .count();
        let breaks_quorum = 2 * remaining <= voters;
        let is_second = members.iter().enumerate().any(|(at, (_, _, ready))| at != target && !ready);
        let world = World { nodes: Some(&table), etcd: Some(&view), lock: None };
        let answer = demand(&policy(), &request(Kind::Reboot, &[&name(target)]), world);
        prop_assert_eq!(answer.is_err(), breaks_quorum || is_second, "{:?}", answer);
    }
}

#[test]
fn the_name_to_type_is_that_of_the_control_plane_among_several() {
    let (nodes, etcd) = cluster([true; 3]);
    let world = World { nodes: Some(&nodes), etcd: Some(&etcd), lock: None };
    let asked = |names: &[&str]| demand(&Policy::default(), &request(Kind::Cordon, names), world);
    assert_eq!(asked(&["worker-1", "cp-1"]), Ok(Rung::TypeName("cp-1".into())));
    let typed = Assent::Typed("worker-1".into());
    assert!(grant(&Policy::default(), &request(Kind::Cordon, &["worker-1", "cp-1"]), world, typed).is_err());
}

#[test]
fn whoever_goes_on_without_the_lock_types_that_too() {
    let nodes: Table<NodeRow> =
        [node("worker-1", false, true)].into_iter().map(|row| (row.key(), row)).collect();
    let world = World { nodes: Some(&nodes), etcd: None, lock: None };
    let request = Request { lock: LockChoice::Without, ..request(Kind::Reboot, &["worker-1"]) };
    let policy = Policy::default();
    assert_eq!(demand(&policy, &request, world), Ok(Rung::TypeName("worker-1 unlocked".into())));
    assert!(grant(&policy, &request, world, Assent::Typed("worker-1".into())).is_err());
    assert!(grant(&policy, &request, world, Assent::Typed("worker-1 unlocked".into())).is_ok());
    let protected = Policy { protected: vec!["prod".into()], context: "prod".into(), ..Policy::default() };
    assert_eq!(demand(&protected, &request, world), Ok(Rung::TypeContext("prod unlocked".into())));
    let flag = |context: &str| Assent::Flag { context: Some(context.into()) };
    assert!(grant(&protected, &request, world, flag("prod")).is_ok());
    assert!(grant(&protected, &request, world, flag("lab")).is_err());
}

#[test]
fn clearing_a_lock_permits_nothing_else() {
    let world = World { nodes: None, etcd: None, lock: Some("ann@desk") };
    let request = request(Kind::Unlock, &["cp-9"]);
    let permit = grant(&Policy::default(), &request, world, Assent::Flag { context: None }).unwrap();
    let node = "cp-9".into();
    assert!(permit.covers(&Change::Lock));
    for change in
        [Change::Cordon(&node), Change::Uncordon(&node), Change::Evict(&node), Change::Reboot(&node)]
    {
        assert!(!permit.covers(&change), "{change:?}");
    }
}

fn resolving(remedy: Remedy, is_unsure: bool) -> Request {
    let pod = crate::domain::ids::PodKey { namespace: "shop".into(), name: "web-1".into(), uid: "u".into() };
    let target = crate::domain::remedy::Target { pod, node: "worker-1".into(), is_ready: true };
    let budget = BudgetKey { namespace: "shop".into(), name: "web".into() };
    Request::resolving(Resolution { budget, remedy, targets: vec![target], is_unsure, healthy: None })
}

#[test]
fn a_way_out_asks_for_what_it_may_break() {
    let rows = nodes([node("worker-1", false, true)]);
    let world = World { nodes: Some(&rows), etcd: None, lock: None };
    let asks = |remedy, is_unsure| demand(&Policy::default(), &resolving(remedy, is_unsure), world);
    let typed = |name: &str| Ok(Rung::TypeName(name.into()));
    for remedy in [Remedy::Wait, Remedy::SkipPod, Remedy::SkipNode, Remedy::Surge, Remedy::Restart] {
        assert_eq!(asks(remedy, false), Ok(Rung::Key), "{remedy}");
    }
    assert_eq!(asks(Remedy::Surge, true), typed("web"), "what is not known asks for more");
    assert_eq!(asks(Remedy::Relax, false), typed("web"));
    assert_eq!(asks(Remedy::AllowUnhealthy, false), typed("web"));
    assert_eq!(asks(Remedy::DeleteHealthy, false), typed("web-1"));
    assert_eq!(asks(Remedy::DisableEviction, false), typed("worker-1"));
    for remedy in [Remedy::DeleteBudget, Remedy::Narrow, Remedy::ForceDelete] {
        assert!(asks(remedy, false).is_err(), "{remedy} is explained only");
    }
    let read_only = Policy { read_only: true, ..Policy::default() };
    assert!(demand(&read_only, &resolving(Remedy::Relax, false), world).is_err());
    let protected = Policy { protected: vec!["prod*".into()], context: "prod-1".into(), read_only: false };
    let answer = demand(&protected, &resolving(Remedy::Relax, false), world);
    assert_eq!(answer, Ok(Rung::TypeContext("prod-1".into())));
    let locked = World { lock: Some("bob@desk"), ..world };
    assert!(demand(&Policy::default(), &resolving(Remedy::Relax, false), locked).is_err());
    assert!(demand(&Policy::default(), &resolving(Remedy::Wait, false), locked).is_ok());
}

#[test]
fn a_permit_for_one_way_is_none_for_another() {
    let world = World { nodes: None, etcd: None, lock: None };
    let given = Assent::Flag { context: None };
    let permit = grant(&Policy::default(), &resolving(Remedy::Relax, false), world, given).unwrap();
    let budget = BudgetKey { namespace: "shop".into(), name: "web".into() };
    let other = BudgetKey { namespace: "shop".into(), name: "api".into() };
    assert!(permit.covers(&Change::Borrow(&budget, Remedy::Relax)));
    assert!(!permit.covers(&Change::Borrow(&budget, Remedy::Surge)));
    assert!(!permit.covers(&Change::Borrow(&other, Remedy::Relax)));
    assert!(permit.covers(&Change::Evict(&"worker-1".into())));
    assert!(!permit.covers(&Change::Evict(&"worker-2".into())));
    assert!(permit.covers(&Change::Restore) && !permit.covers(&Change::Uncordon(&"worker-1".into())));
}
