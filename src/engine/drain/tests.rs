//! The ledger and the board, with answers made by hand.

mod late;

use super::board::{Answer, Board};
use super::ledger::{Ledger, Turn};
use super::reserved::{Purpose, Reserved};
use super::show::{Over, progress};
use super::successor::Successors;
use crate::backend::error::{Error, Refusal};
use crate::backend::kube::Eviction;
use crate::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy};
use crate::domain::config::DrainOptions;
use crate::domain::feed::Delta;
use crate::domain::ids::{BudgetKey, PodKey};
use crate::domain::pod::{Owner, Phase, PodRow};
use crate::domain::report::FailureKind;
use crate::domain::run::Progress;
use crate::domain::selector::Selector;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

fn pod(name: &str) -> PodRow {
    PodRow {
        key: PodKey { namespace: "shop".into(), name: name.into(), uid: format!("uid-{name}") },
        node: Some("w1".into()),
        phase: Phase::Running,
        ready: true,
        deleting: None,
        grace_secs: 30,
        owner: Some(Owner {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: "web".into(),
            uid: "u".into(),
        }),
        mirror: false,
        manifest: None,
        empty_dirs: Vec::new(),
        claims: Vec::new(),
        labels: BTreeMap::from([("app".into(), "web".into())]),
        priority: 0,
        priority_class: String::new(),
        restarts: 0,
        waiting: None,
        finalizers: Vec::new(),
        node_selector: BTreeMap::new(),
        tolerates_cordon: false,
        requests: crate::domain::placement::Amounts::default(),
        rules: None,
        created: None,
    }
}

fn budget(name: &str, allowed: i32) -> BudgetRow {
    BudgetRow {
        key: BudgetKey { namespace: "shop".into(), name: name.into() },
        uid: name.into(),
        demand: Demand::MinAvailable(Amount::Pods(2)),
        selector: Selector::default(),
        unhealthy: UnhealthyPolicy::IfHealthyBudget,
        allowed,
        healthy: 2 + allowed,
        desired: 2,
        expected: 4,
        generation: 1,
        observed: 1,
        disrupted: Vec::new(),
        sync_failed: None,
    }
}

/// A board with its ledger.
struct Desk {
    board: Board,
    ledger: Ledger,
    elsewhere: Successors,
}

impl Desk {
    fn new(pods: Vec<PodRow>, budgets: Vec<BudgetRow>) -> Self {
        Self::with(DrainOptions::default(), pods, budgets, Reserved::default())
    }

    fn with(options: DrainOptions, pods: Vec<PodRow>, budgets: Vec<BudgetRow>, reserved: Reserved) -> Self {
        let board = Board::new("w1".into(), options, BTreeSet::new());
        let mut desk = Self { board, ledger: Ledger::new(reserved), elsewhere: Successors::new(true) };
        desk.ledger.apply(Delta::Reset(budgets));
        desk.see(Delta::Reset(pods));
        desk
    }

    fn see(&mut self, delta: Delta<PodRow>) {
        self.elsewhere.changed(&delta, |node| node.as_str() == "w1");
        self.board.pods_changed(&delta, &BTreeMap::new(), Instant::now());
    }

    fn take(&mut self, room: usize, now: Instant) -> Vec<PodKey> {
        self.board.take_ready(room, &mut self.ledger, &self.elsewhere, now)
    }

    fn answer(&mut self, key: &PodKey, answer: Result<Eviction, Error>, now: Instant) -> Answer {
        self.board.answered(key, &answer, &mut self.ledger, now)
    }

    fn shown(&self) -> Progress {
        let boards = std::slice::from_ref(&self.board);
        progress(boards, &self.ledger, &self.elsewhere, &Over::default(), Instant::now())
    }

    fn news(&mut self) -> String {
        self.board.take_news().into_iter().map(|(text, _)| text).collect::<Vec<_>>().join("\n")
    }
}

fn names(keys: &[PodKey]) -> Vec<&str> {
    keys.iter().map(|key| key.name.as_str()).collect()
}

fn refused(refusal: Refusal) -> Error {
    let mut error = Error::new(FailureKind::Throttled, "evict", "shop/a", "refused");
    error.refusal = Some(refusal);
    error
}

fn full() -> Error {
    refused(Refusal::BudgetFull { budget: None, needs: Some(2), has: Some(2) })
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_per_budget_and_the_next_when_its_status_shows_room() {
    let mut desk = Desk::new(vec![pod("a"), pod("b"), pod("c")], vec![budget("web", 1)]);
    let now = Instant::now();
    let first = desk.take(16, now);
    assert_eq!(names(&first), ["a"]);
    assert!(desk.take(16, now).is_empty(), "one is on its way");
    assert!(matches!(desk.answer(&first[0], Ok(Eviction::Accepted), now), Answer::GoOn));
    assert!(desk.take(16, now).is_empty(), "spent, and the status has not caught up");
    desk.ledger.apply(Delta::Upsert(budget("web", 0)));
    assert!(desk.take(16, now).is_empty());
    let text = desk.shown().items.join("\n");
    assert!(text.contains("shop/b: waiting for budget shop/web (needs 2, has 2)"), "{text}");
    desk.ledger.apply(Delta::Upsert(budget("web", 1)));
    assert_eq!(names(&desk.take(16, now)), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn the_room_of_a_budget_that_a_resolution_holds_is_not_spent() {
    let reserved = Reserved::default();
    let key = budget("web", 1).key;
    let mut desk =
        Desk::with(DrainOptions::default(), vec![pod("a")], vec![budget("web", 1)], reserved.clone());
    let now = Instant::now();
    let hold = reserved.try_hold(&key, Purpose::Resolution);
    assert!(desk.take(16, now).is_empty());
    assert!(desk.shown().items[0].contains("held for a resolution"), "{:?}", desk.shown());
    drop(hold);
    assert_eq!(names(&desk.take(16, now)), ["a"]);
    assert_eq!(reserved.purpose(&key), Some(Purpose::Eviction));
}

#[tokio::test(start_paused = true)]
async fn a_status_from_before_the_eviction_does_not_give_its_room_back() {
    let mut desk = Desk::new(vec![pod("a"), pod("b"), pod("c")], vec![budget("web", 2)]);
    let now = Instant::now();
    let first = desk.take(16, now);
    desk.answer(&first[0], Ok(Eviction::Accepted), now);
    // written before the server took from the budget, heard after its answer
    desk.ledger.apply(Delta::Upsert(budget("web", 2)));
    let second = desk.take(16, now);
    assert_eq!(names(&second), ["b"]);
    desk.answer(&second[0], Ok(Eviction::Accepted), now);
    desk.ledger.apply(Delta::Upsert(BudgetRow { disrupted: vec!["a".into()], ..budget("web", 1) }));
    assert!(desk.take(16, now).is_empty(), "the room of b is spent, though not shown yet");
    desk.ledger.apply(Delta::Upsert(BudgetRow { disrupted: vec!["b".into()], ..budget("web", 1) }));
    assert_eq!(names(&desk.take(16, now)), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn room_for_three_is_still_one_request_at_a_time() {
    let mut desk = Desk::new(vec![pod("a"), pod("b"), pod("c")], vec![budget("web", 3)]);
    let now = Instant::now();
    for name in ["a", "b", "c"] {
        let next = desk.take(16, now);
        assert_eq!(names(&next), [name]);
        desk.answer(&next[0], Ok(Eviction::Accepted), now);
    }
    assert!(desk.take(16, now).is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_without_a_budget_go_together_up_to_the_limit() {
    let pods = (0..20).map(|index| pod(&format!("p{index:02}"))).collect();
    let mut desk = Desk::new(pods, Vec::new());
    let now = Instant::now();
    assert_eq!(desk.take(16, now).len(), 16);
    assert_eq!(desk.take(0, now).len(), 0);
    assert_eq!(desk.take(16, now).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refused_budget_is_asked_again_when_it_changes_or_after_a_while() {
    let mut desk = Desk::new(vec![pod("a")], vec![budget("web", 1)]);
    let now = Instant::now();
    let sent = desk.take(16, now);
    desk.answer(&sent[0], Err(full()), now);
    assert!(desk.take(16, now + Duration::from_secs(4)).is_empty());
    let due = desk.ledger.next_wake().expect("a moment");
    assert!(desk.shown().items[0].contains("(needs 2, has 2); asked again in"), "{:?}", desk.shown());
    assert_eq!(names(&desk.take(16, due)), ["a"]);
    desk.answer(&sent[0], Err(full()), now);
    desk.ledger.apply(Delta::Upsert(budget("web", 1)));
    assert_eq!(names(&desk.take(16, now)), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_asks_for_is_waited_for() {
    let mut desk = Desk::new(vec![pod("a")], Vec::new());
    let now = Instant::now();
    let sent = desk.take(16, now);
    let mut error = refused(Refusal::Throttled);
    error.retry_after = Some(Duration::from_secs(7));
    desk.answer(&sent[0], Err(error), now);
    assert!(desk.take(16, now + Duration::from_millis(6900)).is_empty());
    assert_eq!(desk.take(16, now + Duration::from_secs(7)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_stops_the_drain_and_the_api_going_away_does_not() {
    let mut desk = Desk::new(vec![pod("a")], Vec::new());
    let now = Instant::now();
    let sent = desk.take(16, now);
    let away = Error::new(FailureKind::Unreachable, "evict", "shop/a", "connection refused");
    assert!(matches!(desk.answer(&sent[0], Err(away), now), Answer::GoOn));
    assert_eq!(desk.take(16, now + Duration::from_secs(2)).len(), 1);
    let forbidden =
        Error { kind: FailureKind::Forbidden, ..refused(Refusal::Forbidden("create pods/eviction".into())) };
    assert!(matches!(desk.answer(&sent[0], Err(forbidden), now), Answer::Stop(_)));
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_done_when_its_uid_is_gone() {
    let mut desk = Desk::new(vec![pod("db-0")], Vec::new());
    let now = Instant::now();
    let sent = desk.take(16, now);
    desk.answer(&sent[0], Ok(Eviction::Accepted), now);
    assert!(!desk.board.is_done());
    desk.see(Delta::Remove(pod("db-0")));
    assert!(desk.board.is_done());
    assert_eq!(desk.board.gone(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_anew_tells_what_vanished_while_nobody_looked() {
    let mut desk = Desk::new(vec![pod("a"), pod("b")], Vec::new());
    desk.see(Delta::Reset(vec![pod("b")]));
    assert_eq!((desk.board.gone(), desk.board.is_done()), (1, false));
}

#[test]
fn refused_pods_are_named_with_their_option() {
    let mut bare = pod("bare");
    bare.owner = None;
    let refusal = Desk::new(vec![bare, pod("a")], Vec::new()).board.refusal().expect("a refusal");
    assert_eq!(refusal.kind, FailureKind::Denied);
    assert!(refusal.line().contains("shop/bare") && refusal.line().contains("--force"), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn the_ledger_knows_what_the_server_would_say() {
    let turn = |pod: &PodRow, budgets: Vec<BudgetRow>| {
        let mut ledger = Ledger::default();
        ledger.apply(Delta::Reset(budgets));
        ledger.turn(pod, Instant::now())
    };
    let waits = |turn: Turn, words: &str| match turn {
        Turn::Wait(wait) => assert!(wait.why.contains(words), "{wait:?}"),
        Turn::Now(_) => panic!("sent, although {words}"),
    };
    let web = pod("a");
    let unready = PodRow { ready: false, ..pod("a") };
    waits(turn(&web, vec![budget("one", 1), budget("two", 1)]), "both cover it");
    waits(turn(&web, vec![BudgetRow { observed: 0, ..budget("web", 1) }]), "older than its spec");
    waits(turn(&web, vec![BudgetRow { demand: Demand::Nothing, ..budget("web", 0) }]), "blocked by budget");
    assert_eq!(turn(&unready, vec![budget("web", 0)]), Turn::Now(None), "the budget is met without it");
    let unmet = BudgetRow { healthy: 1, ..budget("web", 0) };
    waits(turn(&unready, vec![unmet.clone()]), "needs 2, has 1");
    let lenient = BudgetRow { unhealthy: UnhealthyPolicy::AlwaysAllow, ..unmet };
    assert_eq!(turn(&unready, vec![lenient]), Turn::Now(None));
    assert_eq!(turn(&PodRow { phase: Phase::Pending, ..pod("a") }, vec![budget("web", 0)]), Turn::Now(None));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_failed_after_the_pod_was_seen_going_keeps_nobody_busy() {
    let mut desk = Desk::new(vec![pod("a")], vec![budget("web", 1)]);
    let now = Instant::now();
    let sent = desk.take(16, now);
    let going = PodRow { deleting: Some(crate::backend::clock::now()), ..pod("a") };
    desk.see(Delta::Upsert(going));
    let away = Error::new(FailureKind::Timeout, "evict", "shop/a", "no answer");
    assert!(matches!(desk.answer(&sent[0], Err(away), now), Answer::GoOn));
    let later = now + Duration::from_secs(30);
    assert!(desk.take(16, later).is_empty());
    assert_eq!(desk.board.next_wake(), None, "nothing is to be done");
    assert!(desk.shown().items[0].contains("terminating"), "{:?}", desk.shown());
}

#[tokio::test(start_paused = true)]
async fn no_server_makes_the_drain_wait_for_hours() {
    let mut desk = Desk::new(vec![pod("a")], Vec::new());
    let now = Instant::now();
    let sent = desk.take(16, now);
    let error = Error { retry_after: Some(Duration::from_hours(5)), ..refused(Refusal::Throttled) };
    desk.answer(&sent[0], Err(error), now);
    assert_eq!(desk.take(16, now + Duration::from_mins(1)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_cannot_list_says_so() {
    let over = Over { trouble: Some("connection refused"), is_listing: true, ..Over::default() };
    let boards = [Board::new("w1".into(), DrainOptions::default(), BTreeSet::new())];
    let text = progress(&boards, &Ledger::default(), &Successors::new(true), &over, Instant::now()).text;
    assert!(text.starts_with("listing the pods") && text.ends_with("connection refused"), "{text}");
}

fn with_priority(name: &str, priority: i32) -> PodRow {
    let mut row = PodRow { priority, labels: BTreeMap::new(), ..pod(name) };
    // no budget is there
    row.key.namespace = "infra".into();
    row
}

#[tokio::test(start_paused = true)]
async fn a_wave_begins_when_the_one_before_it_is_gone() {
    let mut desk = Desk::new(vec![with_priority("csi", 1000), with_priority("web", 0)], Vec::new());
    let now = Instant::now();
    let first = desk.take(16, now);
    assert_eq!(names(&first), ["web"]);
    desk.answer(&first[0], Ok(Eviction::Accepted), now);
    assert!(desk.take(16, now).is_empty(), "it still terminates");
    assert!(desk.shown().items.iter().any(|item| item.contains("comes after the ordinary pods")));
    desk.see(Delta::Remove(with_priority("web", 0)));
    assert_eq!(names(&desk.take(16, now)), ["csi"]);
}

#[tokio::test(start_paused = true)]
async fn what_never_goes_holds_no_wave_back_and_that_is_said() {
    let never = BudgetRow { demand: Demand::MaxUnavailable(Amount::Pods(0)), ..budget("web", 0) };
    let mut desk = Desk::new(vec![with_priority("csi", 1000), pod("web")], vec![never]);
    assert_eq!(names(&desk.take(16, Instant::now())), ["csi"]);
    assert!(desk.news().contains("do not wait for shop/web (blocked by budget shop/web"));
    assert!(desk.shown().text.contains("1 pod will not go by itself"), "{}", desk.shown().text);
}

#[tokio::test(start_paused = true)]
async fn what_only_waits_holds_a_wave_back_for_a_minute() {
    let mut desk = Desk::new(vec![with_priority("csi", 1000), pod("web")], vec![budget("web", 0)]);
    let now = Instant::now();
    assert!(desk.take(16, now).is_empty());
    assert!(desk.take(16, now + Duration::from_secs(50)).is_empty());
    assert_eq!(names(&desk.take(16, now + Duration::from_secs(61))), ["csi"]);
}

#[tokio::test(start_paused = true)]
async fn cluster_dns_waits_for_the_others_unless_it_runs_elsewhere_too() {
    let dns = |name: &str, node: &str| {
        let mut row = with_priority(name, 2_000_000_000);
        row.labels.insert("k8s-app".into(), "kube-dns".into());
        row.owner.as_mut().expect("an owner").uid = "dns".into();
        PodRow { node: Some(node.into()), ..row }
    };
    let now = Instant::now();
    for (elsewhere, next) in [(None, &[][..]), (Some(dns("dns-2", "w2")), &["dns-1"][..])] {
        let mut pods = vec![dns("dns-1", "w1"), with_priority("web", 0)];
        pods.extend(elsewhere);
        let mut desk = Desk::new(pods, Vec::new());
        let first = desk.take(16, now);
        assert_eq!(names(&first), ["web"]);
        desk.answer(&first[0], Ok(Eviction::Accepted), now);
        assert_eq!(names(&desk.take(16, now)), next);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_back_here_is_not_touched() {
    let mut desk = Desk::new(vec![pod("db-0"), pod("web")], Vec::new());
    let now = Instant::now();
    for key in desk.take(16, now) {
        desk.answer(&key, Ok(Eviction::Accepted), now);
    }
    desk.see(Delta::Remove(pod("db-0")));
    let mut again = pod("db-0");
    again.key.uid = "uid-new".into();
    desk.see(Delta::Upsert(again.clone()));
    assert!(desk.take(16, now).is_empty());
    assert!(desk.news().contains("came back on w1 as another pod"));
    // nor is one that an owner whose pods tolerate the cordon puts here anew
    let mut other = pod("web-2");
    other.tolerates_cordon = true;
    desk.see(Delta::Upsert(other));
    desk.see(Delta::Remove(pod("web")));
    assert!(desk.take(16, now).is_empty());
    assert!(desk.board.is_done() && desk.board.strangers().count() == 2);
    // a pod that was bound here at the very moment of the cordon has to go
    let late = PodRow { owner: None, ..pod("late") };
    desk.see(Delta::Upsert(PodRow { owner: pod("x").owner, ..late }));
    assert_eq!(names(&desk.take(16, now)), ["late"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stuck_is_called_so() {
    let end = crate::backend::clock::now();
    let held = PodRow {
        deleting: Some(crate::domain::time::Stamp(end.0 - 60_000)),
        finalizers: vec!["example.net/x".into()],
        ..pod("a")
    };
    let mut desk = Desk::new(vec![held.clone()], Vec::new());
    desk.board.reclassify(&BTreeMap::new());
    assert!(desk.news().contains("shop/a is stuck: finalizer example.net/x holds it"));
    desk.board.reclassify(&BTreeMap::new());
    assert_eq!(desk.news(), "", "once");
    let mut desk = Desk::new(vec![PodRow { finalizers: Vec::new(), ..held }], Vec::new());
    assert!(desk.shown().items[0].contains("w1 has not removed it"), "{:?}", desk.shown());
    desk.board.host.is_away = true;
    assert!(desk.shown().items[0].contains("w1 does not answer"), "{:?}", desk.shown());
    assert!(desk.board.next_wake().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_estimated_from_the_pace_of_the_budget() {
    let pods = ["a", "b", "c", "d"].map(pod).to_vec();
    let mut desk = Desk::new(pods, vec![budget("web", 1)]);
    for name in ["a", "b"] {
        let now = Instant::now();
        let next = desk.take(16, now);
        assert_eq!(names(&next), [name]);
        desk.answer(&next[0], Ok(Eviction::Accepted), now);
        assert!(desk.take(16, now).is_empty());
        tokio::time::advance(Duration::from_secs(2)).await;
        desk.see(Delta::Remove(pod(name)));
        tokio::time::advance(Duration::from_secs(8)).await;
        if name == "a" {
            desk.ledger.apply(Delta::Upsert(budget("web", 1)));
        }
    }
    let text = desk.shown().text;
    assert_eq!(text, "2 of 4 pods gone, 0 terminating, 2 waiting; about 22s left");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sheds_load_is_left_alone() {
    let mut desk = Desk::new(vec![pod("a")], Vec::new());
    let now = Instant::now();
    let sent = desk.take(16, now);
    let error = Error { retry_after: Some(Duration::from_secs(7)), ..refused(Refusal::Throttled) };
    assert!(
        matches!(desk.answer(&sent[0], Err(error), now), Answer::Quiet(until) if until == now + Duration::from_secs(7))
    );
    assert!(desk.shown().items[0].contains("asked again in"), "{:?}", desk.shown());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_not_counted_and_is_refused_is_not_asked_for_at_once() {
    let mut desk = Desk::new(vec![PodRow { ready: false, ..pod("a") }], vec![budget("web", 0)]);
    let now = Instant::now();
    let sent = desk.take(16, now);
    assert_eq!(names(&sent), ["a"], "the budget is met without it");
    desk.answer(&sent[0], Err(full()), now);
    assert!(desk.take(16, now + Duration::from_secs(4)).is_empty());
    assert_eq!(desk.take(16, now + Duration::from_secs(8)).len(), 1);
}
