//! The order of a roll, and how many may be away.

use super::*;
use crate::domain::node::sample;
use std::collections::BTreeSet;

fn row(name: &str, zone: &str) -> (NodeName, NodeRow) {
    let mut row = sample();
    row.name = name.into();
    row.roles = if name.starts_with("cp") { vec!["control-plane".to_owned()] } else { Vec::new() };
    if !zone.is_empty() {
        row.labels.insert(ZONE.to_owned(), zone.to_owned());
    }
    (row.name.clone(), row)
}

fn turns(rows: &Table<NodeRow>, canary: bool) -> Vec<Turn> {
    let nodes: Vec<NodeName> = rows.keys().cloned().collect();
    sequence(&nodes, rows, None, |node| rows[node].is_control_plane(), canary)
}

#[test]
fn the_control_plane_is_first_and_workers_go_round_the_zones() {
    let rows: Table<NodeRow> = [
        row("worker-10", "a"),
        row("worker-2", "a"),
        row("worker-3", "b"),
        row("worker-1", "a"),
        row("worker-4", "c"),
        row("cp-2", "b"),
        row("cp-1", "a"),
    ]
    .into();
    let turns = turns(&rows, true);
    let names: Vec<&str> = turns.iter().map(|turn| turn.node.as_str()).collect();
    assert_eq!(names, ["cp-1", "cp-2", "worker-1", "worker-3", "worker-4", "worker-2", "worker-10"]);
    assert_eq!(turns[2].group, Group::Canary);
    assert!(turns[3..].iter().all(|turn| turn.group == Group::Workers));
    assert!(turns[..2].iter().all(|turn| turn.group == Group::ControlPlane));
}

#[test]
fn a_share_is_rounded_down_and_never_none() {
    assert_eq!(Quota::Percent(10).of(47), 4);
    assert_eq!(Quota::Percent(1).of(47), 1);
    assert_eq!(Quota::Nodes(5).of(2), 5);
    for wrong in ["0", "0%", "101%", "-1", "x", "%", ""] {
        assert!(wrong.parse::<Quota>().is_err(), "{wrong}");
    }
    assert_eq!("25%".parse(), Ok(Quota::Percent(25)));
    assert_eq!("command:".parse::<RollAction>().ok(), None);
    assert_eq!("command:kubeadm".parse(), Ok(RollAction::Command("kubeadm".to_owned())));
}

#[test]
fn room_counts_whoever_is_away_and_keeps_each_zone() {
    let mut rows: Table<NodeRow> =
        [row("worker-1", "a"), row("worker-2", "a"), row("worker-3", "b"), row("worker-4", "c")].into();
    let all = turns(&rows, false);
    let all: Vec<&Turn> = all.iter().collect();
    let none = BTreeSet::new();
    let quota = Quota::Nodes(3);
    let away = unavailable(&rows, |_| false, &none, &none);
    assert!(away.is_empty());
    assert_eq!(room(&all, (&away, &none), quota, &all), Room::Next(0));

    // one of zone a is in its turn: the next is of another zone, though a third would fit
    let ours: BTreeSet<NodeName> = ["worker-1".into()].into();
    let away = unavailable(&rows, |_| false, &ours, &none);
    let waiting = [all[3], all[1]];
    assert_eq!(waiting[0].zone.as_deref(), Some("a"));
    assert_eq!(room(&waiting, (&away, &ours), quota, &all), Room::Next(1));
    assert!(
        matches!(room(&waiting[..1], (&away, &ours), quota, &all), Room::Full(why) if why.contains("zone"))
    );

    // what somebody else cordoned counts, and its own turn takes no more room
    rows.get_mut(&NodeName::from("worker-3")).unwrap().cordoned = true;
    let away = unavailable(&rows, |_| false, &none, &none);
    assert_eq!(
        room(&all[..1], (&away, &none), Quota::Nodes(1), &all),
        Room::Full("worker-3 away: no more than 1 at a time".to_owned())
    );
    let its_own = all.iter().position(|turn| turn.node.as_str() == "worker-3").unwrap();
    assert_eq!(room(&all, (&away, &none), Quota::Nodes(1), &all), Room::Next(its_own));
    let meant: BTreeSet<NodeName> = ["worker-3".into()].into();
    assert!(unavailable(&rows, |_| false, &none, &meant).is_empty());
}
