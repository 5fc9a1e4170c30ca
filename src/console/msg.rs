//! The whole protocol of the console: what comes in and what goes out, as plain data.

use super::keymap::Key;
use crate::domain::access::Answer;
use crate::domain::actor::Actor;
use crate::domain::etcd::EtcdView;
use crate::domain::feed::{Liveness, Observation, Source};
use crate::domain::guard::{Permit, Request};
use crate::domain::host::{HostFacts, HostQuestion, RebootNeed, UnknownHost};
use crate::domain::ids::{BudgetKey, Generation, NodeName, OpId, RunId};
use crate::domain::log::LogLine;
use crate::domain::notice::Notice;
use crate::domain::power::PowerReading;
use crate::domain::remedy::Analysis;
use crate::domain::report::Report;
use crate::domain::rollout::Rollout;
use crate::domain::run::{RunCommand, RunEvent};
use crate::domain::standing::{Leftover, Standing};
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};

/// A run of an earlier process that did not end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// The run.
    pub run: RunId,
    /// What it left changed, in few words, the node first; empty when only its journal's requests tell.
    pub brief: String,
    /// How far it came, and in which context.
    pub words: String,
    /// What it may have left changed, each with the command that puts it back where there is one.
    pub left: Vec<String>,
    /// How that is now, by the cluster's own word; empty = not looked up yet.
    #[serde(default)]
    pub now: Vec<Leftover>,
    /// When it began.
    pub at: Stamp,
    /// The context that it belongs to.
    pub context: String,
    /// Who drove it last: `user@host`.
    pub holder: String,
    /// What it was asked for.
    pub request: Request,
    /// Its reboot may have been asked for.
    pub has_asked: bool,
    /// What an abort would put back, and what stays.
    pub undo: Vec<String>,
    /// Why it cannot be gone on with; `None` = it can.
    pub obstacle: Option<String>,
}

impl Orphan {
    /// Whether everything that could be looked up is as it was before the run.
    pub fn is_put_back(&self) -> bool {
        let mut known = self.now.iter().filter_map(|one| one.now.as_ref()).peekable();
        known.peek().is_some() && known.all(|now| *now == Standing::PutBack)
    }

    /// `worker-2 is cordoned, the lock is held: run reboot-… of an earlier session stopped at drain, in lab`.
    pub fn line(&self) -> String {
        let left = match (self.is_put_back(), self.brief.is_empty()) {
            (true, _) => "all of it is put back already".to_owned(),
            (false, true) => self.left.join("; "),
            (false, false) => self.brief.clone(),
        };
        format!("{left}: run {} of an earlier session {}", self.run, self.words)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a message is moved once, out of its channel")]
pub enum Msg {
    /// A key, and when.
    Key(Key, Stamp),
    /// Pasted text.
    Paste(String),
    /// The terminal has another size: columns, lines.
    Resize(u16, u16),
    /// Time goes on.
    Tick(Stamp),
    /// A kubeconfig was read: a new connection begins, for this context.
    Joined(Generation, String),
    /// The cluster's observer saw something.
    Seen(Generation, Observation),
    /// A round over the etcd members ended.
    Etcd(Generation, EtcdView),
    /// How a source is.
    Source(Generation, Source, Liveness),
    /// What the API server allows us.
    Access(Generation, Vec<Answer>),
    /// A host told of its boot.
    Host(Generation, NodeName, HostFacts),
    /// A host did not answer, or not as it should.
    HostAway(Generation, NodeName, Report),
    /// A host was asked whether it needs a reboot.
    Need(Generation, NodeName, RebootNeed),
    /// A management controller was asked for a machine's power.
    Power(Generation, NodeName, PowerReading),
    /// What SSH asks now.
    Questions(Generation, Vec<HostQuestion>),
    /// Something was typed into a masked field: so many dots stand for it. The text itself is never told.
    Masked(u8),
    /// The SSH key in this file was opened, or not.
    Unlocked(String, Result<(), Report>),
    /// The key of this host was recorded, or not.
    Trusted(String, Result<(), Report>),
    /// A run of this process goes on.
    Run(RunEvent),
    /// A run could not be started, or its task ended without a last event.
    RunLost(OpId, Report),
    /// Runs of earlier processes that did not end.
    Orphans(Vec<Orphan>),
    /// How what such a run left is now.
    Stands(RunId, Vec<Leftover>),
    /// Why a budget blocks was looked into.
    Diagnosed(Generation, BudgetKey, Box<Result<Analysis, Report>>),
    /// What other tools work on by their own objects, and why that cannot be told in full.
    Actors(Generation, Vec<Actor>, Option<Report>),
    /// What an earlier process kept of a roll in this context.
    Recalled(String, Box<Rollout>),
    /// A line for the log.
    Log(LogLine),
    /// So many lines came too fast to be shown.
    LogDropped(u64),
    /// What the console was told was written to a file (its path, and how many messages), or could not be.
    Recorded(Result<(String, usize), Report>),
    /// The process was asked to end (SIGINT, SIGTERM, SIGHUP); `true` = without asking back.
    EndAsked(bool),
}

/// What shall happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Start a run.
    Start {
        /// Its operation.
        op: OpId,
        /// What.
        request: Request,
        /// The leave to do it.
        permit: Permit,
        /// Whether it goes on by itself from the start.
        automatic: bool,
    },
    /// Go on with a run of an earlier process, or put back what it left.
    TakeOver {
        /// Its operation here.
        op: OpId,
        /// The run.
        run: RunId,
        /// The leave to do it.
        permit: Permit,
        /// Whether it is only to put things back.
        aborts: bool,
    },
    /// Tell a run something.
    Command {
        /// Its operation.
        op: OpId,
        /// What.
        command: RunCommand,
    },
    /// Put a text into the clipboard.
    Copy(String),
    /// Tell people who look elsewhere.
    Tell(Notice),
    /// Put the report of a run into the clipboard.
    CopyReport(RunId),
    /// Write what the console was told to a file.
    Record,
    /// Keep what is known of the roll for a later process.
    KeepRollout,
    /// Read what an earlier process kept of a roll in this context.
    RecallRollout(String),
    /// Look into why a budget blocks.
    Diagnose(BudgetKey),
    /// Read the kubeconfig again and connect anew.
    Reconnect,
    /// Ask this node's host for its boot.
    Probe(NodeName),
    /// Open the SSH key in this file with the passphrase that was typed.
    Unlock(String),
    /// Record this host's key.
    Trust(UnknownHost),
    /// Ask these nodes' hosts whether they need a reboot.
    AskNeed(Vec<NodeName>),
    /// Ask this node's management controller for its power.
    AskPower(NodeName),
    /// End the console; runs that live are cancelled and waited for.
    Quit,
}
