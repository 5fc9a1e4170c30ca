//! Whole runs on the simulated cluster, in memory and on a paused clock: each file in `scenarios/` says what is asked
//! for, what befalls the run, how its steps must end, and how the world must look afterwards.
//!
//! The engine and the back ends are the real ones; they speak HTTP, gRPC over TLS, and SSH with the simulation.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "scenarios/checks.rs"]
mod checks;
#[path = "scenarios/clusters.rs"]
mod clusters;
#[path = "scenarios/powers.rs"]
mod powers;
#[path = "scenarios/races.rs"]
mod races;
#[path = "scenarios/roles.rs"]
mod roles;
#[path = "scenarios/stage.rs"]
mod stage;
#[path = "scenarios/story.rs"]
mod story;

use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn play(name: &str) {
    let path = directory().join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).expect("the story");
    let story: story::Story =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(stage::play(name, &story));
}

macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { play(&stringify!($name).replace('_', "-")); })*
        const STORIES: &[&str] = &[$(stringify!($name)),*];
    };
}

stories! {
    reboot_control_plane,
    reboot_worker,
    reboot_leader_step_by_step,
    reboot_outlives_the_api,
    reboot_without_a_backup,
    reboot_without_a_vote_to_spare,
    reboot_of_a_cordoned_node,
    reboot_that_never_returns,
    reboot_that_keeps_its_boot,
    reboot_of_a_flapping_node,
    reboot_of_a_node_that_flaps_for_a_while,
    reboot_beside_what_failed_before,
    reboot_beside_a_worker_that_goes,
    reboot_aborted_in_the_drain,
    reboot_interrupted,
    reboot_under_a_foreign_lock,
    reboot_beside_a_frozen_lock,
    reboot_adopts_a_frozen_lock,
    reboot_without_the_lock,
    reboot_forbidden_to_lock,
    unlock_what_was_left,
    reboot_uncordoned_before_the_drain,
    reboot_uncordoned_after_the_drain,
    reboot_uncordoned_while_away,
    reboot_uncordoned_after_the_return,
    reboot_node_deleted_in_the_drain,
    reboot_node_deleted_after_the_drain,
    reboot_node_deleted_while_away,
    reboot_node_deleted_after_the_return,
    reboot_cordoned_before_us,
    reboot_note_changed,
    drain_of_two_workers,
    drain_blocked_by_a_budget,
    drain_refused,
    drain_tried_again,
    drain_uncordoned_by_somebody,
    drain_while_the_api_is_away,
    drain_table_bypass,
    drain_table_bypassed,
    drain_table_conflict,
    drain_table_crowded,
    drain_table_empty_selector,
    drain_table_forbidden,
    drain_table_full,
    drain_table_gone,
    drain_table_moved,
    drain_table_namespace_ends,
    drain_table_negative,
    drain_table_no_selector,
    drain_table_no_watch,
    drain_table_passed_by,
    drain_table_replaced,
    drain_table_stale,
    drain_table_throttled,
    drain_table_two_budgets,
    drain_table_unready_always,
    drain_table_unready_met,
    drain_table_unready_unmet,
    drain_table_waves,
    drain_table_webhook_always,
    drain_table_webhook,
    drain_three_together,
    drain_together_one_refused_and_uncordoned,
    drain_together_one_uncordoned,
    cordon_and_note,
    uncordon,
    snapshot,
}

#[test]
fn every_story_is_played() {
    let mut files: Vec<String> = std::fs::read_dir(directory())
        .expect("the directory")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.replace('-', "_")))
        .collect();
    files.sort();
    let mut played: Vec<&str> = STORIES.to_vec();
    played.sort_unstable();
    assert_eq!(files, played);
}
