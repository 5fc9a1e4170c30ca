//! What SSH asks, and what hosts tell, through the core.

use super::tests::{enter, keys, press};
use super::update;
use crate::console::dialog::Dialog;
use crate::console::keymap::{Code, Key};
use crate::console::model::Model;
use crate::console::msg::{Effect, Msg};
use crate::console::samples;
use crate::domain::guard::Rung;
use crate::domain::host::{HostQuestion, Need, RebootNeed, UnknownHost};
use crate::domain::report::{FailureKind, Report};

fn unknown(node: Option<&str>) -> UnknownHost {
    UnknownHost {
        node: node.map(Into::into),
        name: "10.0.0.9".into(),
        key: "ssh-ed25519 AAAA".into(),
        algorithm: "ssh-ed25519".into(),
        fingerprint: "SHA256:abc".into(),
        file: "/state/known_hosts".into(),
    }
}

fn asked(question: HostQuestion) -> Model {
    let mut model = samples::model();
    let generation = model.known.generation;
    update(&mut model, Msg::Questions(generation, vec![question]));
    assert!(model.dialogs.is_empty(), "nothing opens by itself");
    press(&mut model, Key::char('a'));
    model
}

#[test]
fn a_passphrase_is_asked_for_by_dots_and_never_known() {
    let mut model = asked(HostQuestion::Passphrase("/k".into()));
    assert!(enter(&mut model).is_empty(), "nothing typed");
    // letters never come here; if they did, they would do nothing
    keys(&mut model, "secret");
    update(&mut model, Msg::Masked(8));
    assert_eq!(enter(&mut model), [Effect::Unlock("/k".into())]);
    assert!(enter(&mut model).is_empty(), "it is being opened");
    let wrong = Report::new(FailureKind::Unauthorized, "the passphrase is wrong");
    update(&mut model, Msg::Unlocked("/k".into(), Err(wrong)));
    assert!(
        matches!(model.dialog(), Some(Dialog::Passphrase(asked)) if asked.notice.is_some() && asked.dots == 0)
    );
    let effects = update(&mut model, Msg::Unlocked("/k".into(), Ok(())));
    assert!(model.dialogs.is_empty() && effects.iter().all(|effect| matches!(effect, Effect::Probe(_))));
    assert_eq!(effects.len(), model.known.nodes.len(), "who was silent is asked again");
    let plain = serde_json::to_string(&model).expect("plain data");
    assert!(!plain.contains("secret"));
}

#[test]
fn a_hosts_key_needs_the_assent_that_the_host_is_worth() {
    for (node, rung) in [
        (Some("worker-1"), Rung::Key),
        (Some("cp-1"), Rung::TypeName("cp-1".into())),
        (Some("nobody-knows"), Rung::TypeName("nobody-knows".into())),
        (None, Rung::TypeName("10.0.0.9".into())),
    ] {
        let host = unknown(node);
        let mut model = asked(HostQuestion::HostKey(host.clone()));
        let Some(Dialog::Trust(trust)) = model.dialog() else { panic!("no question") };
        assert_eq!(trust.rung, rung);
        assert!(press(&mut model, Key::of(Code::Enter)).is_empty() || rung == Rung::Key);
        let effects = match &rung {
            // Enter was a no: asked again
            Rung::Key => {
                press(&mut model, Key::char('a'));
                press(&mut model, Key::char('y'))
            }
            Rung::TypeName(name) | Rung::TypeContext(name) => {
                keys(&mut model, name);
                enter(&mut model)
            }
        };
        assert_eq!(effects, [Effect::Trust(host)], "{node:?}");
        assert!(model.dialogs.is_empty());
    }
}

#[test]
fn a_key_that_changed_while_it_was_read_is_not_recorded() {
    let mut model = asked(HostQuestion::HostKey(unknown(Some("worker-1"))));
    let generation = model.known.generation;
    let other = UnknownHost { key: "ssh-ed25519 BBBB".into(), ..unknown(Some("worker-1")) };
    update(&mut model, Msg::Questions(generation, vec![HostQuestion::HostKey(other)]));
    let later = crate::domain::time::Stamp(model.now.0 + 1000);
    update(&mut model, Msg::Tick(later));
    assert!(press(&mut model, Key::char('y')).is_empty());
}

#[test]
fn hosts_are_asked_for_a_reboot_only_by_hand_and_an_unknown_stays_unknown() {
    let mut model = samples::model();
    assert!(model.known.needs.is_empty());
    press(&mut model, Key::char(' '));
    let effects = press(&mut model, Key::char('b'));
    let [Effect::AskNeed(nodes)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(nodes.len(), 1, "the marked one");
    let (generation, at) = (model.known.generation, model.now);
    let need = RebootNeed { at, need: Need::Unknown("no answer".into()) };
    update(&mut model, Msg::Need(generation, nodes[0].clone(), need));
    assert!(model.known.asked_need.is_empty());
    let facts = crate::console::page::facts(&model, &crate::console::dialog::Subject::Node(nodes[0].clone()));
    let fact = facts.iter().find(|fact| fact.label == "needs reboot").expect("a line");
    assert!(fact.text.starts_with("not known") && fact.text.contains("no answer"), "{}", fact.text);
}

#[test]
fn one_host_that_is_away_is_told_with_its_own_age() {
    let mut model = samples::model();
    let generation = model.known.generation;
    let report = Report::new(FailureKind::Unreachable, "connection refused");
    let since = model.now;
    update(&mut model, Msg::HostAway(generation, "cp-1".into(), report.clone()));
    update(&mut model, Msg::Tick(crate::domain::time::Stamp(since.0 + 60_000)));
    update(&mut model, Msg::HostAway(generation, "cp-1".into(), report));
    assert_eq!(model.known.away[&"cp-1".into()].since, since);
    assert!(!model.known.away.contains_key(&"cp-2".into()));
}
