//! Tests of the members' rows and of the arithmetic of quorum.

use super::*;

fn member(id: u64, leader: u64, term: u64) -> MemberRow {
    let status = MemberStatus {
        at: Stamp(0),
        latency: Duration::ZERO,
        version: "3.5.21".into(),
        leader,
        term,
        index: 10,
        applied: 10,
        db_size: 1000,
        db_in_use: 500,
        quota: None,
        revision: 5,
        errors: Vec::new(),
        downgrading: false,
    };
    MemberRow {
        id,
        name: format!("m{id}"),
        node: None,
        learner: false,
        health: MemberHealth::Healthy,
        status: Some(status),
        lag: Some(0),
        peer_urls: Vec::new(),
    }
}

fn view(members: Vec<MemberRow>) -> EtcdView {
    EtcdView { members, ..EtcdView::default() }
}

#[test]
fn a_leader_needs_a_majority_in_the_newest_term() {
    let leads = |members| view(members).leader().map(|leader| leader.id);
    assert_eq!(leads(vec![member(1, 1, 4), member(2, 1, 4), member(3, 1, 4)]), Some(1));
    // cut off with an older term, it still names itself
    assert_eq!(leads(vec![member(1, 1, 4), member(2, 2, 5), member(3, 2, 5)]), Some(2));
    assert_eq!(leads(vec![member(1, 1, 4), member(2, 2, 5), member(3, 0, 5)]), None);
    let mut silent = member(1, 1, 4);
    silent.health = MemberHealth::Silent(Report::new(crate::domain::report::FailureKind::Timeout, "x"));
    assert_eq!(leads(vec![silent.clone(), member(2, 1, 4), member(3, 1, 4)]), Some(1));
    assert_eq!(leads(vec![silent.clone(), silent, member(3, 1, 4)]), None);
}

#[test]
fn hashes_compare_only_at_one_compaction() {
    let reading = |hash, compacted| HashReading { member: "m".into(), hash, compacted };
    let agrees = |readings| KeyspaceHash { revision: 1, readings }.agrees();
    assert_eq!(agrees(vec![reading(1, 5), reading(1, 5), reading(1, 5)]), Some(true));
    assert_eq!(agrees(vec![reading(1, 5), reading(2, 5), reading(9, 6)]), Some(false));
    assert_eq!(agrees(vec![reading(1, 5), reading(2, 6)]), None);
    assert_eq!(agrees(vec![reading(1, 5)]), None);
}

#[test]
fn concerns_name_the_member_and_the_figure() {
    let mut full = member(7, 7, 1);
    if let Some(status) = &mut full.status {
        status.quota = Some(1000);
        status.version = "3.5.1".into();
    }
    full.lag = Some(4000);
    let advice = full.advice();
    assert!(advice.len() == 1 && advice[0].contains("may corrupt data"), "{advice:?}");
    let all = view(vec![full]).concerns();
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().any(|text| text == "m7: is 4000 entries behind"), "{all:?}");
    assert!(all.iter().any(|text| text == "m7: database file takes 100% of its quota"), "{all:?}");
}

#[test]
fn rebooting_keeps_the_number_of_voters() {
    let may = |voters, healthy, target_healthy| Quorum { voters, healthy }.may_lose(true, target_healthy);
    assert!(may(3, 3, true));
    assert!(!may(3, 2, true));
    assert!(may(3, 2, false));
    assert!(may(4, 4, true));
    assert!(!may(4, 3, true));
    assert!(may(5, 4, true));
    assert!(!may(2, 2, true));
    assert!(!may(1, 1, true));
}

#[test]
fn quorum_is_lost_only_by_the_word_of_a_member() {
    let silent = |id| {
        let health = MemberHealth::Silent(Report::new(crate::domain::report::FailureKind::Timeout, "x"));
        MemberRow { health, ..member(id, 1, 4) }
    };
    let none = view(vec![silent(1), silent(2), silent(3)]);
    assert_eq!(none.words().as_deref(), Some("etcd: no member answers, quorum not known"));
    assert!(!none.quorum().unwrap().may_lose(true, false), "not known is not healthy");
    let one = view(vec![silent(1), silent(2), member(3, 0, 4)]);
    assert_eq!(one.words().as_deref(), Some("etcd 1/3, QUORUM LOST"));
    let alarmed =
        |id| MemberRow { health: MemberHealth::Unhealthy(vec!["alarm".into()]), ..member(id, 1, 4) };
    let led = view(vec![member(1, 1, 4), alarmed(2), alarmed(3)]);
    assert_eq!(led.words().as_deref(), Some("etcd 1/3 healthy, none to spare"));
    assert_eq!(EtcdView::default().words(), None);
}

#[test]
fn words_name_the_margin() {
    assert_eq!(Quorum { voters: 3, healthy: 3 }.words(), "etcd 3/3, can lose 1");
    assert_eq!(Quorum { voters: 3, healthy: 1 }.words(), "etcd 1/3, QUORUM LOST");
}

#[test]
fn a_member_that_follows_another_leader_is_named() {
    let all = view(vec![member(1, 1, 4), member(2, 1, 4), member(3, 2, 3)]).concerns();
    assert_eq!(all, ["m3: follows m2 in term 3, unlike the majority"]);
    let agreed = view(vec![member(1, 1, 4), member(2, 1, 4), member(3, 1, 4)]).concerns();
    assert_eq!(agreed, Vec::<String>::new());
}

#[test]
fn alarms_are_listed_once_and_the_graver_first() {
    let alarmed = |id| {
        let mut row = member(id, 1, 4);
        if let Some(status) = &mut row.status {
            status.errors = vec!["memberID:2 alarm:NOSPACE".into(), "alarm:CORRUPT".into()];
        }
        row
    };
    let view = view(vec![alarmed(1), alarmed(2), alarmed(3)]);
    let kinds: Vec<String> = view.alarms().iter().map(|alarm| alarm.trouble.to_string()).collect();
    assert_eq!(kinds, ["CORRUPT", "NOSPACE"]);
    let words = view.concerns();
    assert!(words[0].contains("on a member that it does not name: members hold different data"), "{words:?}");
    assert!(words[1].contains("on m2: a database has reached its quota"), "{words:?}");
}

#[test]
fn versions_are_judged_for_the_next_upgrade() {
    let advice = |version: &str| {
        let mut row = member(1, 1, 1);
        if let Some(status) = &mut row.status {
            status.version = version.into();
        }
        row.advice().join("")
    };
    assert!(advice("3.5.2").contains("may corrupt"));
    assert!(advice("3.5.19").contains("before 3.6"));
    assert_eq!(advice("3.5.21"), "");
    assert_eq!(advice("3.6.7"), "");
    assert_eq!(advice("3.4.23"), "");
}
