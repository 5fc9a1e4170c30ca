//! The watchman on a paused clock, with answers made by hand.

use super::*;
use crate::domain::probe::Target;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How the application answers: after some milliseconds, or not at all well.
#[derive(Default)]
struct App {
    millis: AtomicU64,
    is_down: AtomicUsize,
    asked: AtomicUsize,
}

fn watchman(names: &[&str]) -> (Watchman, Vec<Arc<App>>) {
    let apps: Vec<Arc<App>> = names.iter().map(|_| Arc::new(App::default())).collect();
    let probes = names.iter().zip(&apps).map(|(name, app)| {
        let mut spec = ProbeSpec::new(Target::parse(&format!("http://{name}")).expect("a target"));
        spec.pace.interval = Duration::from_millis(500);
        app.millis.store(20, Ordering::Relaxed);
        let app = app.clone();
        let asker = Asker::given(spec.pace.timeout, move || {
            let app = app.clone();
            Box::pin(async move {
                app.asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(app.millis.load(Ordering::Relaxed))).await;
                match app.is_down.load(Ordering::Relaxed) {
                    0 => Ok(()),
                    _ => Err("connection refused".to_owned()),
                }
            })
        });
        (spec, asker)
    });
    (Watchman::over(probes.collect()), apps)
}

async fn wait(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}

#[tokio::test(start_paused = true)]
async fn failures_and_slow_answers_raise_an_alarm_once_each() {
    let (watchman, apps) = watchman(&["web", "api"]);
    let _post = watchman.stand(&Baselines::new());
    watchman.measured().await;
    assert_eq!(watchman.unfit(), None);
    wait(20).await;
    let words: Vec<String> = watchman.readings().iter().map(Reading::line).collect();
    assert_eq!(words[0], "probe web: p95 20 ms, baseline 20 ms: as the baseline");
    let mut alarms = watchman.alarms();
    alarms.mark_unchanged();
    apps[1].is_down.store(1, Ordering::Relaxed);
    alarms.changed().await.expect("an alarm");
    let why = alarms.borrow_and_update().clone().expect("trouble");
    // one answer lies on the edge of the window, whose stamps are whole milliseconds
    let fits = |all: u32| why == format!("probe api: 3 of {all} failed in the last 10s: connection refused");
    assert!(fits(20) || fits(21), "{why}");
    wait(2).await;
    assert!(!alarms.has_changed().expect("a watchman"), "more of the same is no news");
    apps[1].is_down.store(0, Ordering::Relaxed);
    alarms.changed().await.expect("the end of it");
    assert_eq!(watchman.trouble(), None);
    alarms.mark_unchanged();
    apps[0].millis.store(300, Ordering::Relaxed);
    alarms.changed().await.expect("an alarm");
    let why = watchman.trouble().expect("trouble");
    assert!(why.ends_with(" were slow in the last 10s (over 70 ms, baseline p95 20 ms)"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_come_are_failures_at_the_same_pace() {
    let (watchman, apps) = watchman(&["web"]);
    let _post = watchman.stand(&Baselines::new());
    watchman.measured().await;
    wait(20).await;
    apps[0].millis.store(60_000, Ordering::Relaxed);
    let mut alarms = watchman.alarms();
    alarms.mark_unchanged();
    let begun = tokio::time::Instant::now();
    alarms.changed().await.expect("an alarm");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(watchman.trouble().expect("trouble").ends_with("failed in the last 10s: no answer within 2s"));
}

#[tokio::test(start_paused = true)]
async fn posts_share_one_baseline_and_the_last_one_ends_it() {
    let (watchman, apps) = watchman(&["web"]);
    let first = watchman.stand(&Baselines::new());
    watchman.measured().await;
    let after_baseline = apps[0].asked.load(Ordering::Relaxed);
    assert_eq!(after_baseline, 100);
    let second = watchman.stand(&Baselines::new());
    drop(first);
    watchman.measured().await;
    wait(5).await;
    let asked = apps[0].asked.load(Ordering::Relaxed) - after_baseline;
    assert!((9..=12).contains(&asked), "one every half second: {asked}");
    drop(second);
    wait(1).await;
    let at_the_end = apps[0].asked.load(Ordering::Relaxed);
    wait(10).await;
    assert_eq!(apps[0].asked.load(Ordering::Relaxed), at_the_end, "nobody holds a post");
    // another run begins with a baseline of its own, a resumed one with its own from before
    let known: Baselines = [("web".to_owned(), Digest { total: 7, ..Digest::default() })].into();
    let _third = watchman.stand(&known);
    watchman.measured().await;
    assert_eq!(watchman.readings()[0].baseline.as_ref().map(|one| one.total), Some(7));
}

#[tokio::test(start_paused = true)]
async fn what_is_down_before_is_told_and_is_no_alarm() {
    let (watchman, apps) = watchman(&["web"]);
    apps[0].is_down.store(1, Ordering::Relaxed);
    let _post = watchman.stand(&Baselines::new());
    watchman.measured().await;
    let words = watchman.unfit().expect("it fails");
    assert_eq!(words, "probe web fails already: 100 of 100 failed: connection refused");
    wait(20).await;
    assert_eq!(watchman.trouble(), None);
    assert_eq!(watchman.readings()[0].verdict, Verdict::FailedBefore);
}
