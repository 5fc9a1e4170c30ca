//! An abort in the middle of a drain: what was sent is answered or told, and what was let go is counted.

use crate::Driven;
use crate::stage::Stage;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::run::{RunChange, RunCommand, RunState};
use pitstop::engine::journal;
use pitstop::sim::api::faults::{Effect, Matching, Rule};
use std::time::Duration;

/// A cluster whose second worker opens once the pods are on the first; each pod takes its time to stop.
const SLOW_STOPS: &str = "[size]\ncontrol_planes = 1\nworkers = 2\n[[node]]\nname = \"worker-2\"\ncordoned = true\n\
    [[event]]\nat = \"1ms\"\naction = { do = \"uncordon\", node = \"worker-2\" }\n\
    [[workload]]\nkind = \"Deployment\"\nnamespace = \"shop\"\nname = \"web\"\nreplicas = 12\nstop = \"20s\"\n";

fn let_go(stage: &Stage) -> usize {
    let history = stage.sim.store().history();
    history.iter().filter(|line| line.path.ends_with("/eviction") && line.code < 300).count()
}

#[tokio::test(start_paused = true)]
async fn an_aborted_drain_counts_the_pods_that_still_stop() {
    let stage = Stage::new(SLOW_STOPS);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut driven = Driven::start(&stage, Kind::Drain, "worker-1", true).await;
    driven.until_step(StepKind::Drain).await;
    driven.until(|change| matches!(change, RunChange::Noted { .. })).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    driven.tell(RunCommand::Abort).await;
    assert_eq!(driven.end().await, RunState::Aborted);
    let words = format!("{} pods were moved away from worker-1", let_go(&stage));
    assert!(let_go(&stage) >= 12, "{words}");
    assert!(driven.view().left.iter().any(|left| left.contains(&words)), "{words}: {:?}", driven.view().left);
}

#[tokio::test(start_paused = true)]
async fn an_eviction_whose_answer_is_awaited_is_told_when_the_drain_is_aborted() {
    for (delay, is_answered) in [(500, true), (5_000, false)] {
        let stage = Stage::new(SLOW_STOPS);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let matching = Matching { resource: Some("pods/eviction".into()), ..Matching::default() };
        stage.sim.faults().add(Rule::always(matching, Effect::DelayMs(delay)));
        let mut driven = Driven::start(&stage, Kind::Drain, "worker-1", true).await;
        driven.until_step(StepKind::Drain).await;
        driven.until(|change| matches!(change, RunChange::Noted { .. })).await;
        driven.tell(RunCommand::Abort).await;
        assert_eq!(driven.end().await, RunState::Aborted);
        drop(driven.run.commands);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let records = journal::list(&stage.backends.settings.state_dir);
        let record = records.first().expect("a journal").as_ref().expect("readable");
        let open = record.left().iter().filter(|left| left.contains("answer not seen: evict")).count();
        assert_eq!(open == 0, is_answered, "{:?}", record.left());
        assert_eq!(record.unanswered.is_empty(), is_answered);
    }
}
