//! Answers that come after the pod has gone, what counts as moved over several attempts, and pods that are left by a word.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_pod_that_vanishes_before_its_answer_keeps_no_budget_from_the_others() {
    for answer in [Ok(Eviction::Accepted), Ok(Eviction::Gone), Err(full())] {
        let reserved = Reserved::default();
        let mut desk = Desk::with(
            DrainOptions::default(),
            vec![pod("a"), pod("b")],
            vec![budget("web", 1)],
            reserved.clone(),
        );
        let now = Instant::now();
        let sent = desk.take(16, now);
        assert_eq!(names(&sent), ["a"]);
        desk.see(Delta::Remove(pod("a")));
        assert!(desk.take(16, now).is_empty(), "its answer is not there yet");
        assert!(matches!(desk.answer(&sent[0], answer, now), Answer::GoOn));
        assert_eq!(reserved.purpose(&budget("web", 1).key), None, "nothing is on its way");
        desk.ledger.apply(Delta::Upsert(BudgetRow { disrupted: vec!["a".into()], ..budget("web", 1) }));
        assert_eq!(names(&desk.take(16, now)), ["b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_counts_as_moved_once_however_often_it_is_told() {
    let mut desk = Desk::new(vec![pod("a"), pod("b")], Vec::new());
    let now = Instant::now();
    let sent = desk.take(16, now);
    desk.answer(&sent[0], Ok(Eviction::Accepted), now);
    assert_eq!(desk.board.take_moved(), ["uid-a"], "let go, and not gone yet");
    desk.see(Delta::Remove(pod("b")));
    assert_eq!((desk.board.take_moved(), desk.board.gone()), (vec!["uid-b".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_attempt_let_go_is_not_gone_before_it_is() {
    let earlier = BTreeSet::from(["uid-a".to_owned(), "uid-z".to_owned()]);
    let mut desk = Desk::new(Vec::new(), Vec::new());
    desk.board = Board::new("w1".into(), DrainOptions::default(), earlier);
    assert_eq!(desk.board.gone(), 2);
    desk.board.is_here("uid-a");
    desk.see(Delta::Reset(vec![PodRow { deleting: Some(crate::backend::clock::now()), ..pod("a") }]));
    assert_eq!(desk.board.gone(), 1, "it still stops");
    desk.see(Delta::Remove(pod("a")));
    assert_eq!(desk.board.gone(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_left_by_a_word_is_named_and_not_among_those_that_belong_here() {
    let reserved = Reserved::default();
    let key = pod("a").key;
    let mut desk =
        Desk::with(DrainOptions::default(), vec![pod("a")], vec![budget("web", 0)], reserved.clone());
    assert!(desk.take(16, Instant::now()).is_empty());
    let word = tokio::spawn({
        let (reserved, key) = (reserved.clone(), key.clone());
        async move { reserved.excuse(&key, Duration::from_secs(10)).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(desk.board.asked_to_leave(&reserved), std::slice::from_ref(&key));
    desk.board.leave(&key);
    reserved.heed(&key);
    assert!(word.await.expect("an answer"), "a drain has heeded it");
    assert!(desk.board.is_done());
    assert_eq!((desk.board.staying(), desk.board.left().count()), (0, 1));
    assert!(!reserved.is_excused(&key), "it was for this drain alone");
    assert!(!reserved.excuse(&key, Duration::from_secs(10)).await, "nobody heeds it");
    assert!(!reserved.is_excused(&key), "and nobody will");
}
