//! What SSH asks: the passphrase of a key, and whether a host is the one that it says it is.
//!
//! The characters of a passphrase never come here: the shell keeps them, and tells only that something is typed.

use super::{Fact, Prompt, Tone};
use crate::console::model::Model;
use crate::domain::guard::Rung;
use crate::domain::host::{HostQuestion, UnknownHost};
use serde::{Deserialize, Serialize};

/// So many dots are shown at most: how long a passphrase is, is nobody's business.
pub const MOST_DOTS: u8 = 8;

/// Asks for a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passphrase {
    /// The key file.
    pub path: String,
    /// Dots that stand for what is typed, at most [`MOST_DOTS`].
    pub dots: u8,
    /// The key is being opened.
    pub is_opening: bool,
    /// Why it is asked again.
    pub notice: Option<String>,
}

/// Asks whether a host's key is the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// The host and its key.
    pub host: UnknownHost,
    /// `y` for a worker; the node's (or jump host's) name for everything else.
    pub rung: Rung,
    /// What to compare, and what happens.
    pub facts: Vec<Fact>,
    /// What is typed.
    pub prompt: Prompt,
    /// Why the last key did nothing.
    pub notice: Option<String>,
}

/// The dialog for a question.
pub fn build(model: &Model, question: &HostQuestion) -> super::Dialog {
    match question {
        HostQuestion::Passphrase(path) => super::Dialog::Passphrase(Passphrase {
            path: path.clone(),
            dots: 0,
            is_opening: false,
            notice: None,
        }),
        HostQuestion::HostKey(host) => super::Dialog::Trust(Box::new(trust(model, host))),
    }
}

fn trust(model: &Model, host: &UnknownHost) -> Trust {
    let row = host.node.as_ref().and_then(|node| model.known.nodes.get(node));
    let is_worker = row.is_some_and(|row| !row.is_control_plane() && !row.is_labelled_etcd());
    let policy = &model.setup.policy;
    let rung = match &host.node {
        _ if policy.is_protected() => Rung::TypeContext(policy.context.clone()),
        Some(_) if is_worker => Rung::Key,
        Some(node) => Rung::TypeName(node.0.clone()),
        None => Rung::TypeName(host.name.clone()),
    };
    let kind = match host.algorithm.as_str() {
        "ssh-ed25519" => "ed25519",
        "ssh-rsa" => "rsa",
        _ => "ecdsa",
    };
    let who =
        host.node.as_ref().map_or_else(|| "a jump host".to_owned(), |node| format!("the host of {node}"));
    let facts = vec![
        Fact::plain("host", format!("{}, {who}", host.name)),
        Fact::toned(Tone::Attention, "key", format!("{} {}", host.algorithm, host.fingerprint)),
        Fact::plain(
            "compare",
            format!("ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub  # on its own console, not over SSH"),
        ),
        Fact::toned(
            Tone::Attention,
            "if wrong",
            "somebody else answers in its place and gets every command that is sent",
        ),
        Fact::plain("records", format!("one line in {}", host.file)),
        Fact::toned(Tone::Dim, "undo", format!("ssh-keygen -R '{}' -f {}", host.name, host.file)),
    ];
    Trust { host: host.clone(), rung, facts, prompt: Prompt::new(model.now), notice: None }
}

/// What cutting a machine's power means.
pub(super) fn power_facts(model: &Model, request: &crate::domain::guard::Request) -> Vec<Fact> {
    let mut facts = Vec::new();
    for node in &request.nodes {
        facts.push(match model.known.power.get(node) {
            Some(reading) => {
                let age = crate::domain::time::brief(model.now.since(reading.at));
                let words = match &reading.state {
                    Ok(state) => format!("{state}, {age} ago"),
                    Err(report) => format!("not known, {age} ago: {}", report.line()),
                };
                Fact::plain("power", words)
            }
            None => Fact::toned(Tone::Dim, "power", "the management controller was not asked (p asks)"),
        });
        let row = model.known.nodes.get(node);
        if row.is_some_and(crate::domain::node::NodeRow::is_ready) {
            facts.push(Fact::toned(
                Tone::Bad,
                "careful",
                format!("{node} is Ready: a reboot (R) shuts it down in good order"),
            ));
        }
    }
    facts.push(Fact::toned(
        Tone::Attention,
        "consequence",
        "everything on the machine stops at once, without a shutdown; what was not written is lost",
    ));
    facts
}
