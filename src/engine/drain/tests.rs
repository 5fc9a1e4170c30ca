//! The ledger and the board, with answers made by hand.

use super::board::{Answer, Board};
use super::ledger::{Ledger, Turn};
use super::reserved::{Purpose, Reserved};
use crate::backend::error::{Error, Refusal};
use crate::backend::kube::Eviction;
use crate::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy};
use crate::domain::config::DrainOptions;
use crate::domain::feed::Delta;
use crate::domain::ids::{BudgetKey, PodKey};
use crate::domain::pod::{Owner, Phase, PodRow};
use crate::domain::report::FailureKind;
use crate::domain::selector::Selector;
use std::collections::BTreeMap;
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

fn board(pods: Vec<PodRow>, budgets: Vec<BudgetRow>) -> Board {
    let mut board = Board::new(DrainOptions::default(), 0, Reserved::default());
    board.ledger.apply(Delta::Reset(budgets));
    board.pods_changed(Delta::Reset(pods), &BTreeMap::new());
    board
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
    let mut board = board(vec![pod("a"), pod("b"), pod("c")], vec![budget("web", 1)]);
    let now = Instant::now();
    let first = board.take_ready(16, now);
    assert_eq!(names(&first), ["a"]);
    assert!(board.take_ready(16, now).is_empty(), "one is on its way");
    assert!(matches!(board.answered(&first[0], &Ok(Eviction::Accepted), now), Answer::GoOn));
    assert!(board.take_ready(16, now).is_empty(), "spent, and the status has not caught up");
    board.ledger.apply(Delta::Upsert(budget("web", 0)));
    assert!(board.take_ready(16, now).is_empty());
    let text = board.progress().items.join("\n");
    assert!(text.contains("shop/b: waiting for budget shop/web (needs 2, has 2)"), "{text}");
    board.ledger.apply(Delta::Upsert(budget("web", 1)));
    assert_eq!(names(&board.take_ready(16, now)), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn the_room_of_a_budget_that_a_resolution_holds_is_not_spent() {
    let reserved = Reserved::default();
    let mut board = Board::new(DrainOptions::default(), 0, reserved.clone());
    board.ledger.apply(Delta::Reset(vec![budget("web", 1)]));
    board.pods_changed(Delta::Reset(vec![pod("a")]), &BTreeMap::new());
    let now = Instant::now();
    let hold = reserved.try_hold(&budget("web", 1).key, Purpose::Resolution);
    assert!(board.take_ready(16, now).is_empty());
    assert!(board.progress().items[0].contains("held for a resolution"), "{:?}", board.progress());
    drop(hold);
    assert_eq!(names(&board.take_ready(16, now)), ["a"]);
    assert_eq!(reserved.purpose(&budget("web", 1).key), Some(Purpose::Eviction));
}

#[tokio::test(start_paused = true)]
async fn room_for_three_is_still_one_request_at_a_time() {
    let mut board = board(vec![pod("a"), pod("b"), pod("c")], vec![budget("web", 3)]);
    let now = Instant::now();
    for name in ["a", "b", "c"] {
        let next = board.take_ready(16, now);
        assert_eq!(names(&next), [name]);
        board.answered(&next[0], &Ok(Eviction::Accepted), now);
    }
    assert!(board.take_ready(16, now).is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_without_a_budget_go_together_up_to_the_limit() {
    let pods = (0..20).map(|index| pod(&format!("p{index:02}"))).collect();
    let mut board = board(pods, Vec::new());
    let now = Instant::now();
    assert_eq!(board.take_ready(16, now).len(), 16);
    assert_eq!(board.take_ready(0, now).len(), 0);
    assert_eq!(board.take_ready(16, now).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refused_budget_is_asked_again_when_it_changes_or_after_a_while() {
    let mut board = board(vec![pod("a")], vec![budget("web", 1)]);
    let now = Instant::now();
    let sent = board.take_ready(16, now);
    board.answered(&sent[0], &Err(full()), now);
    assert!(board.take_ready(16, now + Duration::from_secs(4)).is_empty());
    assert_eq!(board.next_wake(now), now + Duration::from_secs(1));
    assert_eq!(names(&board.take_ready(16, now + Duration::from_secs(5))), ["a"]);
    board.answered(&sent[0], &Err(full()), now);
    board.ledger.apply(Delta::Upsert(budget("web", 1)));
    assert_eq!(names(&board.take_ready(16, now)), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_asks_for_is_waited_for() {
    let mut board = board(vec![pod("a")], Vec::new());
    let now = Instant::now();
    let sent = board.take_ready(16, now);
    let mut error = refused(Refusal::Throttled);
    error.retry_after = Some(Duration::from_secs(7));
    board.answered(&sent[0], &Err(error), now);
    assert!(board.take_ready(16, now + Duration::from_millis(6900)).is_empty());
    assert_eq!(board.take_ready(16, now + Duration::from_secs(7)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_stops_the_drain_and_the_api_going_away_does_not() {
    let mut board = board(vec![pod("a")], Vec::new());
    let now = Instant::now();
    let sent = board.take_ready(16, now);
    let away = Error::new(FailureKind::Unreachable, "evict", "shop/a", "connection refused");
    assert!(matches!(board.answered(&sent[0], &Err(away), now), Answer::GoOn));
    assert_eq!(board.take_ready(16, now + Duration::from_secs(2)).len(), 1);
    let forbidden =
        Error { kind: FailureKind::Forbidden, ..refused(Refusal::Forbidden("create pods/eviction".into())) };
    assert!(matches!(board.answered(&sent[0], &Err(forbidden), now), Answer::Stop(_)));
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_done_when_its_uid_is_gone() {
    let mut board = board(vec![pod("db-0")], Vec::new());
    let now = Instant::now();
    let sent = board.take_ready(16, now);
    board.answered(&sent[0], &Ok(Eviction::Accepted), now);
    assert!(!board.is_done());
    board.pods_changed(Delta::Remove(pod("db-0")), &BTreeMap::new());
    assert!(board.is_done());
    assert_eq!(board.gone(), 1);
    // the same name under another uid is another pod
    let mut next = pod("db-0");
    next.key.uid = "uid-new".into();
    board.pods_changed(Delta::Upsert(next), &BTreeMap::new());
    assert!(!board.is_done());
    assert_eq!(board.take_ready(16, now)[0].uid, "uid-new");
}

#[tokio::test(start_paused = true)]
async fn a_list_anew_tells_what_vanished_while_nobody_looked() {
    let mut board = board(vec![pod("a"), pod("b")], Vec::new());
    board.pods_changed(Delta::Reset(vec![pod("b")]), &BTreeMap::new());
    assert_eq!((board.gone(), board.is_done()), (1, false));
}

#[test]
fn refused_pods_are_named_with_their_option() {
    let mut bare = pod("bare");
    bare.owner = None;
    let refusal = board(vec![bare, pod("a")], Vec::new()).refusal().expect("a refusal");
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
        Turn::Wait(why) => assert!(why.contains(words), "{why}"),
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
    let mut board = board(vec![pod("a")], vec![budget("web", 1)]);
    let now = Instant::now();
    let sent = board.take_ready(16, now);
    let going = PodRow { deleting: Some(crate::backend::clock::now()), ..pod("a") };
    board.pods_changed(Delta::Upsert(going), &BTreeMap::new());
    let away = Error::new(FailureKind::Timeout, "evict", "shop/a", "no answer");
    assert!(matches!(board.answered(&sent[0], &Err(away), now), Answer::GoOn));
    let later = now + Duration::from_secs(30);
    assert!(board.take_ready(16, later).is_empty());
    assert_eq!(board.next_wake(later), later + Duration::from_secs(1), "nothing is to be done at once");
    assert!(board.progress().items[0].contains("terminating"), "{:?}", board.progress());
}

#[tokio::test(start_paused = true)]
async fn no_server_makes_the_drain_wait_for_hours() {
    let mut board = board(vec![pod("a")], Vec::new());
    let now = Instant::now();
    let sent = board.take_ready(16, now);
    let error = Error { retry_after: Some(Duration::from_hours(5)), ..refused(Refusal::Throttled) };
    board.answered(&sent[0], &Err(error), now);
    assert_eq!(board.take_ready(16, now + Duration::from_mins(1)).len(), 1);
}

#[test]
fn a_drain_that_cannot_list_says_so() {
    let text = super::words(
        &Board::new(DrainOptions::default(), 0, Reserved::default()),
        Some("connection refused"),
    )
    .text;
    assert!(text.starts_with("listing the pods") && text.ends_with("connection refused"), "{text}");
}
