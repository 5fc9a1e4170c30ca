//! Every screen at four sizes: what it says, that it says it without colour and without Unicode, and that no size breaks it.

#![expect(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod screens;

use pitstop::console::keymap::{Code, Key};
use pitstop::console::model::{Model, Theme};
use proptest::prelude::*;
use ratatui::style::Color;
use screens::{
    ENTER, cluster, frame, others, press, probes, rollout, runs, styles, text, type_text, with_look,
};
use std::fmt::Write as _;
use std::path::Path;

const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (120, 40), (200, 60)];

fn confirm_reboot() -> Model {
    let mut model = cluster::connected();
    press(&mut model, &[Key::char('j'), Key::char('R')]);
    type_text(&mut model, "cp-");
    model
}

fn confirm_drain() -> Model {
    let mut model = cluster::connected();
    type_text(&mut model, "jjjD");
    model
}

fn confirm_step() -> Model {
    let mut model = runs::waiting();
    type_text(&mut model, "N");
    model
}

fn undo_plan() -> Model {
    let mut model = runs::draining();
    type_text(&mut model, "X");
    model
}

fn quit() -> Model {
    let mut model = runs::draining();
    type_text(&mut model, "q");
    model
}

fn keyed(mut model: Model, keys: &str) -> Model {
    type_text(&mut model, keys);
    model
}

fn detail(mut model: Model, keys: &str) -> Model {
    type_text(&mut model, keys);
    press(&mut model, &[ENTER]);
    model
}

fn palette() -> Model {
    let mut model = keyed(cluster::connected(), ":dr");
    press(&mut model, &[Key::of(Code::Tab)]);
    model
}

fn denied() -> Model {
    let mut model = cluster::unreachable();
    type_text(&mut model, "jR");
    model
}

/// All screens by name.
fn screens() -> Vec<(&'static str, Model)> {
    vec![
        ("connecting", cluster::connecting()),
        ("connected", cluster::connected()),
        ("unreachable", cluster::unreachable()),
        ("refused", cluster::refused()),
        ("filtering", keyed(cluster::connected(), "/worker")),
        ("etcd", keyed(cluster::connected(), "2")),
        ("budgets", keyed(cluster::connected(), "3js")),
        ("log", keyed(runs::draining(), "4k")),
        ("run_waiting", runs::waiting()),
        ("run_before_reboot", runs::before_reboot()),
        ("run_draining", runs::draining()),
        ("run_rebooting", runs::rebooting()),
        ("run_failed", runs::failed()),
        ("run_finished", runs::finished()),
        ("run_undo_waits", runs::undo_waits()),
        ("run_undone", runs::undoing()),
        ("run_several", runs::several()),
        ("rollout_idle", rollout::idle()),
        ("rollout_moving", rollout::moving()),
        ("rollout_stuck", rollout::stuck()),
        ("rollout_stopped", rollout::stopped()),
        ("rollout_announced", rollout::announced()),
        ("run_probes", probes::alarmed()),
        ("run_offenders", probes::offenders()),
        ("run_compared", probes::compared()),
        ("confirm_reboot", confirm_reboot()),
        ("confirm_drain", confirm_drain()),
        ("confirm_step", confirm_step()),
        ("undo_plan", undo_plan()),
        ("denied", denied()),
        ("quit", quit()),
        ("help", keyed(runs::waiting(), "?")),
        ("palette", palette()),
        ("page_node", detail(cluster::connected(), "jjjj")),
        ("page_budget", keyed(cluster::connected(), "3jjjB")),
        ("page_lock", keyed(others::locked(true), "l")),
        ("page_lock_frozen", keyed(others::locked(false), "l")),
        ("page_orphans", keyed(others::left_behind(), "5")),
        ("accept_gate", keyed(runs::acceptable(), "O")),
        ("not_allowed", others::not_allowed()),
        ("not_allowed_help", keyed(others::not_allowed(), "?")),
        ("page_step", detail(runs::failed(), "5")),
        ("page_turn", detail(rollout::stuck(), "")),
    ]
}

#[test]
fn screens_say_what_they_said() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, model) in screens() {
            let mut all = String::new();
            for (width, height) in SIZES {
                writeln!(all, "{width}x{height}").unwrap();
                all.push_str(&text(&frame(&model, width, height)));
            }
            insta::assert_snapshot!(name, all);
        }
    });
}

#[test]
fn colours_are_what_they_were() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, model) in [("connected", cluster::connected()), ("run_waiting", runs::waiting())] {
            for (theme, word) in [(Theme::Dark, "dark"), (Theme::Light, "light"), (Theme::Mono, "mono")] {
                let model = with_look(&model, theme, false);
                insta::assert_snapshot!(format!("style_{name}_{word}"), styles(&frame(&model, 80, 24)));
            }
        }
    });
}

#[test]
fn mono_says_the_same_without_any_colour() {
    for (name, model) in screens() {
        let mono = with_look(&model, Theme::Mono, false);
        for (width, height) in SIZES {
            let (colour, plain) = (frame(&model, width, height), frame(&mono, width, height));
            assert_eq!(text(&colour), text(&plain), "{name} {width}x{height}");
            assert!(
                plain.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)),
                "{name}"
            );
        }
    }
}

#[test]
fn ascii_is_only_ascii_and_says_the_same_words() {
    for (name, model) in screens() {
        for (width, height) in SIZES {
            let frame = frame(&with_look(&model, Theme::Mono, true), width, height);
            assert!(frame.content.iter().all(|cell| cell.symbol().is_ascii()), "{name} {width}x{height}");
        }
    }
    let ascii = text(&frame(&with_look(&cluster::connected(), Theme::Dark, true), 120, 40));
    for state in ["o Ready", "c Cordoned", "x NotReady", "? Unknown 97s"] {
        assert!(ascii.contains(state), "{state}");
    }
}

#[test]
fn every_step_and_what_it_waits_for_can_be_read_at_80x24() {
    let screen = text(&frame(&runs::waiting(), 80, 24));
    for name in pitstop_steps() {
        assert!(screen.contains(name), "{name} in\n{screen}");
    }
    assert!(screen.contains("cp-1: drain waits for you: N"), "{screen}");
    assert!(screen.contains("waits"), "{screen}");
}

fn pitstop_steps() -> Vec<&'static str> {
    let model = runs::waiting();
    model.runs[0].steps.iter().map(|view| view.step.kind.name()).collect()
}

#[test]
fn a_roll_of_fifty_nodes_answers_at_a_glance_at_80x24() {
    let screen = text(&frame(&rollout::stuck(), 80, 24));
    let line = |word: &str| {
        let found = screen.lines().find(|line| line.starts_with(&format!(" {word} ")));
        found.unwrap_or_default().to_owned()
    };
    assert!(line("done").contains("6/50") && line("done").contains("workers 3/47"), "{screen}");
    assert!(line("now").contains("worker-4 draining 3/4"), "{screen}");
    assert!(line("next").contains("43 to come"), "{screen}");
    let stuck = line("stuck");
    assert!(stuck.contains("for 14m: worker-4 drains, blocked by shop/web (needs 3, has 3)"), "{screen}");
    assert!(line("end").contains("about 0"), "{screen}");
    let moving = text(&frame(&rollout::moving(), 80, 24));
    assert!(moving.contains("rolling 5/50, ends about 0"), "{moving}");
}

#[test]
fn unknown_is_never_drawn_as_good() {
    let before = text(&frame(&cluster::connecting(), 120, 40));
    assert!(!before.contains('●') && before.contains('?'), "{before}");
    let screen = text(&frame(&cluster::unreachable(), 120, 40));
    assert!(screen.contains("as of 37s ago"), "{screen}");
    assert!(screen.contains("api ✗ 37s"), "{screen}");
}

#[test]
fn too_small_a_terminal_is_told_so() {
    let screen = text(&frame(&cluster::connected(), 59, 14)).replace('\n', " ");
    assert!(screen.contains("needs 60x15") && screen.contains("has 59x14"), "{screen}");
}

/// Writes every screen as a picture into a directory, for people who want to look.
#[test]
fn pictures_of_all_screens_on_demand() {
    let Some(dir) = std::env::var_os("PICTURES_DIR") else { return };
    for (name, model) in screens() {
        for (width, height) in [(80, 24), (120, 40)] {
            let picture = screens::picture::svg(&frame(&model, width, height));
            std::fs::write(Path::new(&dir).join(format!("{name}-{width}.svg")), picture).unwrap();
        }
    }
}

#[test]
fn the_picture_in_the_readme_is_of_this_version() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/screenshot.svg");
    let picture = screens::picture::svg(&frame(&runs::before_reboot(), 128, 34));
    if std::env::var_os("UPDATE_PICTURE").is_some() {
        std::fs::write(path, &picture).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == picture, "assets/screenshot.svg is stale: run this test with UPDATE_PICTURE=1");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_size_panics(width in 1u16..250, height in 1u16..80, ascii: bool) {
        thread_local!(static SCREENS: Vec<(&'static str, Model)> = screens());
        SCREENS.with(|screens| {
            for (_, model) in screens {
                frame(&with_look(model, Theme::Dark, ascii), width, height);
            }
        });
    }
}
