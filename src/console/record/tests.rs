//! Recordings: what is played is what was seen, and what was secret is not in the file.

use super::{Recorder, Recording};
use crate::console::dialog::Dialog;
use crate::console::keymap::{Code, Key};
use crate::console::model::Model;
use crate::console::msg::Msg;
use crate::console::samples::{self, NOW};
use crate::console::update::update;
use crate::domain::feed::{Delta, Observation};
use crate::domain::ids::Generation;
use crate::domain::report::FailureKind;
use crate::domain::time::Stamp;

/// A console whose messages are recorded.
struct Desk {
    model: Model,
    recorder: Recorder,
}

impl Desk {
    fn new() -> Self {
        let model = samples::model();
        Self { recorder: Recorder::new(&model), model }
    }

    fn tell(&mut self, msg: Msg) {
        self.recorder.hear(&self.model, &msg, self.model.now);
        update(&mut self.model, msg);
    }

    fn key(&mut self, key: Key) {
        let at = Stamp(self.model.now.0 + 400);
        self.tell(Msg::Key(key, at));
    }

    fn keys(&mut self, text: &str) {
        text.chars().for_each(|ch| self.key(Key::char(ch)));
    }

    fn written(&self) -> String {
        self.recorder.recording().unwrap().write(NOW).unwrap()
    }
}

fn played(text: &str) -> Model {
    let (_, recording) = Recording::read(text).unwrap();
    let mut model = recording.start.clone();
    for heard in &recording.heard {
        let msg = heard.message(&model);
        update(&mut model, msg);
    }
    model
}

#[test]
fn a_session_is_played_to_the_same_state() {
    let mut desk = Desk::new();
    desk.keys("j/cp-");
    desk.key(Key::of(Code::Enter));
    desk.tell(Msg::Resize(80, 24));
    desk.tell(Msg::Seen(Generation(1), Observation::Event(samples::line("warn", "cp-1", "a warning"))));
    desk.tell(Msg::Seen(
        Generation(1),
        Observation::Pods(vec![Delta::Upsert(samples::pod("team-b", "web", 4, "cp-1"))]),
    ));
    desk.keys("4k3s1gR");
    assert!(matches!(desk.model.dialog(), Some(Dialog::Confirm(_))), "a reboot is asked for");
    desk.keys("cp-");
    assert_eq!(played(&desk.written()), desk.model, "in the middle of a typed name");
    desk.keys("1");
    desk.key(Key::of(Code::Enter));
    assert_eq!(desk.model.starting.len(), 1, "the name was right");
    desk.keys(":theme mono");
    desk.key(Key::of(Code::Enter));
    desk.tell(Msg::Tick(Stamp(desk.model.now.0 + 60_000)));
    desk.keys("?jj");
    assert_eq!(played(&desk.written()), desk.model);
}

#[test]
fn a_full_memory_forgets_the_beginning_and_is_still_exact() {
    let mut desk = Desk::new();
    for number in 0..3 * super::MESSAGES {
        let line = samples::line("info", "cp-2", &format!("line {number}"));
        desk.tell(Msg::Log(line));
    }
    let recording = desk.recorder.recording().unwrap();
    assert!(recording.heard.len() <= 2 * super::MESSAGES, "{}", recording.heard.len());
    assert_ne!(recording.start, samples::model());
    assert_eq!(played(&desk.written()), desk.model);
}

#[test]
fn a_wrong_name_is_wrong_when_it_is_played() {
    let mut desk = Desk::new();
    desk.keys("R");
    desk.keys("swordfish");
    desk.key(Key::of(Code::Enter));
    let model = played(&desk.written());
    let Some(Dialog::Confirm(confirm)) = model.dialog() else { panic!("the question stands") };
    assert_eq!(confirm.prompt.typed, "•••••••••");
    assert!(model.starting.is_empty());
}

/// Secrets by the place where they are planted.
const PLANTED: [(&str, &str); 10] = [
    ("password", "hunter2-in-an-event"),
    ("token", "eyJhbGciOiJSUzI1NiIs.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl"),
    ("key", "MIIEowIBAAKCAQEAxyz"),
    ("certificate", "MIIDdTCCAl2gAwIBAgILBAAAAAABFUtaw5QwDQ"),
    ("label", "label-value-hunter3"),
    ("pasted", "pasted-hunter4"),
    ("typed", "typedhunter5"),
    ("line", "linehunter6"),
    ("filter", "filterhunter7"),
    ("join", "abcdef.0123456789abcdef"),
];

#[test]
fn no_secret_gets_into_the_file() {
    let of = |name: &str| PLANTED.iter().find(|(known, _)| *known == name).unwrap().1;
    let mut desk = Desk::new();
    let texts = [
        format!("login failed: password={}", of("password")),
        format!("Authorization: Bearer {}", of("token")),
        format!("-----BEGIN RSA PRIVATE KEY----- {} -----END RSA PRIVATE KEY-----", of("key")),
        format!("x509: -----BEGIN CERTIFICATE----- {}", of("certificate")),
        format!("kubeadm join 10.0.0.1:6443 --token {}", of("join")),
    ];
    for text in texts {
        desk.tell(Msg::Log(samples::line("info", "cp-1", &text)));
        desk.tell(Msg::Seen(Generation(1), Observation::Event(samples::line("warn", "cp-1", &text))));
    }
    let mut node = samples::node("cp-1");
    node.labels.insert("ops/db-password".to_owned(), of("label").to_owned());
    desk.tell(Msg::Seen(Generation(1), Observation::Nodes(Delta::Upsert(node))));
    desk.keys("R");
    desk.tell(Msg::Paste(of("pasted").to_owned()));
    desk.keys(of("typed"));
    desk.key(Key::of(Code::Esc));
    desk.keys(":");
    desk.tell(Msg::Paste(of("pasted").to_owned()));
    desk.keys(of("line"));
    desk.key(Key::of(Code::Enter));
    desk.key(Key::of(Code::Esc));
    desk.keys("/");
    desk.keys(of("filter"));
    desk.tell(Msg::Paste(of("pasted").to_owned()));
    // the state at the beginning of the second part holds it all too
    let mut later = Desk { recorder: Recorder::new(&desk.model), model: desk.model.clone() };
    later.tell(Msg::Tick(NOW));
    for (which, text) in [("messages", desk.written()), ("state", later.written())] {
        for (name, secret) in PLANTED {
            assert!(!text.contains(secret), "{name} in the {which}");
        }
    }
    let typed: String = desk
        .written()
        .lines()
        .filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let key = &value["what"]["msg"]["key"][0]["code"]["char"];
            key.as_str().map(str::to_owned)
        })
        .collect();
    for (name, secret) in PLANTED {
        assert!(!typed.contains(secret), "{name} key by key: {typed}");
    }
    assert!(typed.contains('•'), "{typed}");
}

#[test]
fn another_version_and_other_files_are_refused_with_a_sentence() {
    let text = Desk::new().written();
    let refused = |text: &str| Recording::read(text).unwrap_err();
    let newer = refused(&text.replacen("\"pitstop_recording\":1", "\"pitstop_recording\":2", 1));
    assert_eq!(newer.kind, FailureKind::Local);
    let this = env!("CARGO_PKG_VERSION");
    assert_eq!(
        newer.message,
        format!("it was recorded by pitstop {this} (format 2), and this is pitstop {this} (format 1)")
    );
    let other = refused(&text.replacen(&format!("\"program\":\"{this}\""), "\"program\":\"9.9.9\"", 1));
    assert!(other.message.contains("pitstop 9.9.9"), "{other}");
    assert!(refused("hello").message.contains("no recording"));
    assert!(refused("").message.contains("no recording"));
    let header = text.lines().next().unwrap();
    assert!(refused(header).message.contains("cut off"), "{header}");
    let mut desk = Desk::new();
    desk.keys("jj");
    let whole = desk.written();
    let cut: Vec<&str> = whole.lines().collect();
    assert!(refused(&cut[..cut.len() - 1].join("\n")).message.contains("cut off"));
    let torn = &whole[..whole.len() - 5];
    assert!(refused(torn).message.starts_with("line 4"), "{}", refused(torn));
}
