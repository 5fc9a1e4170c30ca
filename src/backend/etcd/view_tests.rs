//! Tests of the view that is put together from the members' answers.

use super::*;
use std::time::Duration;

fn status(leader: u64, index: u64) -> MemberStatus {
    MemberStatus {
        at: Stamp(1),
        latency: Duration::from_millis(1),
        version: "3.5.21".into(),
        leader,
        term: 3,
        index,
        applied: index,
        db_size: 100,
        db_in_use: 50,
        quota: None,
        revision: 9,
        errors: Vec::new(),
        downgrading: false,
    }
}

fn member(id: u64) -> Member {
    Member {
        id,
        name: format!("cp-{id}"),
        peer_ur_ls: vec![format!("https://10.0.0.{id}:2380")],
        client_ur_ls: vec![format!("https://10.0.0.{id}:2379")],
        is_learner: false,
    }
}

fn answer(id: u64, ids: &[u64]) -> Answer {
    Answer {
        cluster_id: 7,
        member_id: id,
        learner: false,
        status: status(1, 100),
        members: Some(ids.iter().map(|id| member(*id)).collect()),
    }
}

pub(in super::super) fn row(name: &str, address: &str) -> NodeRow {
    NodeRow {
        name: name.into(),
        uid: name.into(),
        roles: vec!["control-plane".into()],
        address: Some(address.into()),
        ..crate::domain::node::sample()
    }
}

fn reply(node: u64, answer: Result<Answer, Error>) -> Reply {
    let (name, address) = (format!("n{node}"), format!("10.0.0.{node}"));
    let row = Some(row(&name, &address));
    Reply { node: name.into(), row, address: format!("{address}:2379"), answer }
}

fn down() -> Result<Answer, Error> {
    Err(Error::new(FailureKind::Timeout, "read the status of", "x", "no answer within 2 s"))
}

fn view(memory: &mut Memory, replies: impl AsRef<[Reply]>) -> EtcdView {
    memory.assemble(replies.as_ref(), "direct", Stamp(5)).expect("view")
}

#[test]
fn a_silent_member_keeps_its_status_and_its_node() {
    let mut memory = Memory::default();
    let all = [1, 2, 3];
    let first = view(&mut memory, all.map(|id| reply(id, Ok(answer(id, &all)))));
    assert_eq!(first.quorum().expect("quorum").words(), "etcd 3/3, can lose 1");
    assert_eq!(first.leader().map(|leader| leader.id), Some(1));
    let second = view(
        &mut memory,
        vec![reply(1, Ok(answer(1, &all))), reply(2, down()), reply(3, Ok(answer(3, &all)))],
    );
    assert_eq!(second.quorum().expect("quorum").words(), "etcd 2/3, can lose 0");
    let silent = second.on_node(&"n2".into()).expect("still there");
    assert!(matches!(&silent.health, MemberHealth::Silent(report) if report.kind == FailureKind::Timeout));
    assert_eq!(silent.status.as_ref().map(|status| status.at), Some(Stamp(1)));
    assert_eq!(silent.lag, None);
    let third = view(&mut memory, all.map(|id| reply(id, down())));
    assert_eq!(third.quorum().expect("quorum").words(), "etcd 0/3, QUORUM LOST");
}

#[test]
fn a_member_that_never_answered_is_matched_by_its_urls() {
    let all = [1, 2, 3];
    let view = view(
        &mut Memory::default(),
        vec![reply(1, Ok(answer(1, &all))), reply(2, Ok(answer(2, &all))), reply(3, down())],
    );
    let silent = view.on_node(&"n3".into()).expect("matched");
    assert_eq!((silent.id, silent.name.as_str()), (3, "cp-3"));
}

#[test]
fn k3s_names_are_matched() {
    let mut named = member(3);
    named.name = "n3-1a2b3c4d".into();
    named.peer_ur_ls.clear();
    named.client_ur_ls.clear();
    assert!(is_on(&named, &reply(3, down())));
    named.name = "n3-extra".into();
    assert!(!is_on(&named, &reply(3, down())));
}

#[test]
fn unstarted_members_count_and_learners_do_not() {
    let mut list: Vec<Member> = [1, 2, 3].map(member).into();
    list[2].name.clear();
    list[2].client_ur_ls.clear();
    list.push(Member { is_learner: true, ..member(4) });
    let with = |id| Answer { members: Some(list.clone()), ..answer(id, &[]) };
    let learner = Answer { learner: true, members: None, ..answer(4, &[]) };
    let view = view(
        &mut Memory::default(),
        vec![reply(1, Ok(with(1))), reply(2, Ok(with(2))), reply(3, down()), reply(4, Ok(learner))],
    );
    assert_eq!(view.quorum().expect("quorum").words(), "etcd 2/3, can lose 0");
    assert_eq!(view.on_node(&"n3".into()).expect("member").health, MemberHealth::Unstarted);
    assert!(view.on_node(&"n4".into()).expect("member").learner);
}

#[test]
fn disagreement_is_said() {
    let view = view(
        &mut Memory::default(),
        vec![
            reply(1, Ok(answer(1, &[1, 2, 3]))),
            reply(2, Ok(answer(2, &[1, 2, 3]))),
            reply(3, Ok(answer(3, &[1, 2, 3, 4]))),
        ],
    );
    assert_eq!(view.members.len(), 3);
    let words = view.disagreement.expect("words");
    assert!(words.contains("n1, n2 list 3") && words.contains("n3 list 4"), "{words}");
}

#[test]
fn another_cluster_behind_an_address_is_no_member() {
    let foreign = Answer { cluster_id: 8, ..answer(3, &[3]) };
    let view = view(
        &mut Memory::default(),
        vec![reply(1, Ok(answer(1, &[1, 2, 3]))), reply(2, Ok(answer(2, &[1, 2, 3]))), reply(3, Ok(foreign))],
    );
    assert_eq!(view.cluster_id, Some(7));
    assert_eq!(view.quorum().expect("quorum").healthy, 2);
    assert!(view.disagreement.expect("words").contains("different clusters"));
}

#[test]
fn one_stray_answer_does_not_replace_the_cluster() {
    let mut memory = Memory::default();
    let all = [1, 2, 3];
    view(&mut memory, all.map(|id| reply(id, Ok(answer(id, &all)))));
    let stray = || Answer { cluster_id: 8, ..answer(9, &[9]) };
    let after = view(&mut memory, vec![reply(1, Ok(stray())), reply(2, down()), reply(3, down())]);
    assert_eq!((after.cluster_id, after.members.len()), (Some(7), 3));
    assert!(after.disagreement.expect("words").contains("not of 7 as before"));
    let restored = [1, 2].map(|node| reply(node, Ok(stray())));
    assert_eq!(view(&mut memory, restored).cluster_id, Some(8));
}

#[test]
fn an_alarm_counts_for_the_member_it_names() {
    let all = [1, 2, 3];
    let alarmed = |id| {
        let mut answer = answer(id, &all);
        answer.status.errors = vec!["memberID:2 alarm:NOSPACE".into()];
        answer
    };
    let view = view(&mut Memory::default(), all.map(|id| reply(id, Ok(alarmed(id)))));
    let health = |node: &str| view.on_node(&node.into()).expect("member").health.clone();
    assert_eq!(health("n1"), MemberHealth::Healthy);
    assert_eq!(health("n2"), MemberHealth::Unhealthy(vec!["alarm NOSPACE".into()]));
    let concerns = view.concerns();
    assert!(
        concerns[0].starts_with("alarm NOSPACE on cp-2: a database has reached its quota"),
        "{concerns:?}"
    );
}

#[test]
fn no_leader_is_unhealthy() {
    let mut lost = answer(1, &[1]);
    lost.status.leader = 0;
    lost.status.errors = vec!["etcdserver: no leader".into()];
    let view = view(&mut Memory::default(), vec![reply(1, Ok(lost))]);
    assert_eq!(view.members[0].health, MemberHealth::Unhealthy(vec!["sees no leader".into()]));
}

#[test]
fn nobody_ever_answered_is_an_error_with_every_reason() {
    let error = Memory::default()
        .assemble(&[reply(1, down()), reply(2, down())], "ssh", Stamp(0))
        .expect_err("nobody");
    assert_eq!((error.kind, error.causes.len()), (FailureKind::Timeout, 2));
}

#[test]
fn lag_is_behind_the_most_advanced() {
    let mut behind = answer(2, &[1, 2]);
    behind.status.applied = 40;
    let view = view(&mut Memory::default(), vec![reply(1, Ok(answer(1, &[1, 2]))), reply(2, Ok(behind))]);
    assert_eq!(view.on_node(&"n2".into()).and_then(|member| member.lag), Some(60));
}
