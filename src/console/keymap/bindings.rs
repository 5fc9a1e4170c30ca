//! The table of keys.

use super::{Code, Command, Key, Preset};
use crate::console::model::Pane;

/// Where a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In every pane.
    Everywhere,
    /// In these panes.
    In(&'static [Pane]),
    /// In every pane while a run is open.
    OpenRun,
}

impl Scope {
    /// Whether the key means something in this pane. (Without an open run a run's key still does: it is refused with
    /// the reason.)
    pub fn holds(self, focus: Pane) -> bool {
        match self {
            Self::Everywhere | Self::OpenRun => true,
            Self::In(panes) => panes.contains(&focus),
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The keys; the first one is shown in the footer.
    pub keys: &'static [Key],
    /// What they ask for.
    pub command: Command,
    /// Where.
    pub scope: Scope,
    /// A word for the footer; empty = only in the help.
    pub word: &'static str,
    /// A sentence for the help.
    pub help: &'static str,
}

const fn bind(
    keys: &'static [Key],
    command: Command,
    scope: Scope,
    word: &'static str,
    help: &'static str,
) -> Binding {
    Binding { keys, command, scope, word, help }
}

const ROWS: Scope = Scope::In(&[Pane::Nodes, Pane::Etcd, Pane::Budgets, Pane::Rollout]);
const LISTS: Scope = Scope::In(&[Pane::Nodes, Pane::Etcd, Pane::Budgets, Pane::Log, Pane::Rollout]);
const NODES: Scope = Scope::In(&[Pane::Nodes]);
const BLOCKS: Scope = Scope::In(&[Pane::Budgets, Pane::Run, Pane::Rollout]);
const ROLLOUT: Scope = Scope::In(&[Pane::Rollout]);
const RUN: Scope = Scope::In(&[Pane::Run]);
use Command as C;
use Scope::{Everywhere, OpenRun};

const K9S: &[Binding] = &[
    bind(&[Key::char('c')], C::Cordon, NODES, "", "cordon, as in k9s"),
    bind(&[Key::char('u')], C::Uncordon, NODES, "", "uncordon, as in k9s"),
    bind(&[Key::char('r')], C::Drain, NODES, "", "drain, as in k9s"),
];

const COMMON: &[Binding] = &[
    bind(
        &[Key::char('N')],
        C::Confirm,
        OpenRun,
        "confirm",
        "confirm the step that waits, of a paused run too",
    ),
    bind(
        &[Key::char('A')],
        C::Automatic,
        OpenRun,
        "automatic",
        "go on by itself until something is not green",
    ),
    bind(
        &[Key::char('P')],
        C::Pause,
        OpenRun,
        "pause",
        "pause after the present step; N goes on, a reboot step by step",
    ),
    bind(&[Key::char('T')], C::Retry, OpenRun, "try again", "try the failed step again"),
    bind(&[Key::char('K')], C::Skip, OpenRun, "skip", "leave the step out, where the plan allows it"),
    bind(
        &[Key::char('L')],
        C::Last,
        OpenRun,
        "last",
        "in a roll: put the node to the end of the queue; what was begun on it is put back",
    ),
    bind(&[Key::char('X')], C::Abort, OpenRun, "abort", "stop and undo; the undo plan is shown first"),
    bind(
        &[Key::char('+')],
        C::Extend,
        OpenRun,
        "",
        "let the step that is under way take five minutes longer",
    ),
    bind(
        &[Key::char('O')],
        C::Accept,
        OpenRun,
        "accept gate",
        "accept a gate that is not open, with a reason; not one that makes a reboot unsafe",
    ),
    bind(
        &[Key::char('I')],
        C::Settle,
        OpenRun,
        "",
        "change the quiet time before the last look of the run; in a roll: the pause after each node",
    ),
    bind(&[Key::char('C')], C::Cordon, NODES, "cordon", "cordon the selected or the marked nodes"),
    bind(&[Key::char('U')], C::Uncordon, NODES, "uncordon", "uncordon the selected or the marked nodes"),
    bind(&[Key::char('D')], C::Drain, NODES, "drain", "drain the selected node"),
    bind(
        &[Key::char('R')],
        C::Reboot,
        NODES,
        "reboot",
        "reboot the selected node, step by step; with several marked: roll them",
    ),
    bind(&[Key::char('S')], C::Snapshot, Everywhere, "snapshot", "take, verify and store an etcd snapshot"),
    bind(
        &[Key::char('B')],
        C::Block,
        BLOCKS,
        "resolve",
        "why the selected budget, the open run or the rollout is blocked, and the ways out",
    ),
    bind(
        &[Key::char('t')],
        C::Story,
        ROLLOUT,
        "timeline",
        "all that happened in the rolling update since it began",
    ),
    bind(&[Key::of(Code::Enter)], C::Details, Everywhere, "details", "all that is known of the selected row"),
    bind(
        &[Key::char('/')],
        C::Filter,
        LISTS,
        "filter",
        "filter the rows (node:NAME, op:N, level:warn in the log)",
    ),
    bind(&[Key::char('s')], C::Sort, ROWS, "sort", "sort by the next column"),
    bind(&[Key::char('r')], C::Reverse, ROWS, "", "sort the other way round"),
    bind(&[Key::char(' ')], C::Mark, NODES, "mark", "mark the selected row"),
    bind(&[Key::char('y')], C::Copy, Everywhere, "copy", "copy the selected name or line"),
    bind(&[Key::char('e')], C::Report, RUN, "report", "copy the open run's report as Markdown"),
    bind(&[Key::char('j'), Key::of(Code::Down)], C::Down, Everywhere, "", "next row"),
    bind(&[Key::char('k'), Key::of(Code::Up)], C::Up, Everywhere, "", "row before"),
    bind(&[Key::char('g'), Key::of(Code::Home)], C::Top, Everywhere, "", "first row"),
    bind(&[Key::char('G'), Key::of(Code::End)], C::Bottom, Everywhere, "", "last row; in the log: follow"),
    bind(&[Key::ctrl('d')], C::HalfDown, Everywhere, "", "half a page down"),
    bind(&[Key::ctrl('u')], C::HalfUp, Everywhere, "", "half a page up"),
    bind(&[Key::of(Code::PageDown), Key::ctrl('f')], C::PageDown, Everywhere, "", "a page down"),
    bind(&[Key::of(Code::PageUp), Key::ctrl('b')], C::PageUp, Everywhere, "", "a page up"),
    bind(&[Key::of(Code::Tab)], C::NextPane, Everywhere, "pane", "next pane"),
    bind(&[Key::of(Code::BackTab)], C::PriorPane, Everywhere, "", "pane before"),
    bind(&[Key::char('1')], C::Focus(Pane::Nodes), Everywhere, "", "nodes"),
    bind(&[Key::char('2')], C::Focus(Pane::Etcd), Everywhere, "", "etcd members"),
    bind(&[Key::char('3')], C::Focus(Pane::Budgets), Everywhere, "", "disruption budgets"),
    bind(&[Key::char('4')], C::Focus(Pane::Log), Everywhere, "", "log"),
    bind(&[Key::char('5')], C::Focus(Pane::Run), Everywhere, "", "the open run's steps, or the last run's"),
    bind(
        &[Key::char('6')],
        C::Focus(Pane::Rollout),
        Everywhere,
        "",
        "the rolling update under way, whoever drives it",
    ),
    bind(
        &[Key::char('l')],
        C::Lock,
        Everywhere,
        "",
        "the maintenance lock: who holds it, what is done, since when; adopt or clear one that was left",
    ),
    bind(&[Key::char('n')], C::NextRun, Everywhere, "", "show the next run"),
    bind(&[Key::of(Code::Esc)], C::Back, Everywhere, "", "close, clear the filter and the marks, go back"),
    bind(
        &[Key::char(':')],
        C::Palette,
        Everywhere,
        "command",
        "type a command, for example `:drain worker-1`",
    ),
    bind(&[Key::char('?')], C::Help, Everywhere, "help", "show the keys"),
    bind(
        &[Key::char('a')],
        C::Answer,
        Everywhere,
        "",
        "answer what SSH asks: a key's passphrase, an unknown host's key",
    ),
    bind(
        &[Key::char('p')],
        C::Power,
        NODES,
        "",
        "ask the selected node's management controller (BMC) for its power",
    ),
    bind(
        &[Key::char('b')],
        C::Needs,
        NODES,
        "",
        "ask the marked hosts, else all, whether they need a reboot",
    ),
    bind(
        &[Key::char('w'), Key::ctrl('w')],
        C::Record,
        Everywhere,
        "",
        "write a recording of this console for a bug report, without secrets (^w in dialogs too)",
    ),
    bind(&[Key::ctrl('r')], C::Reconnect, Everywhere, "", "read the kubeconfig again and connect anew"),
    bind(
        &[Key::char('q'), Key::ctrl('c')],
        C::Quit,
        Everywhere,
        "quit",
        "quit; asks while an operation lives",
    ),
];

/// All bindings of a preset, the more special ones first.
pub fn bindings(preset: Preset) -> impl Iterator<Item = &'static Binding> {
    let own: &[Binding] = match preset {
        Preset::Default => &[],
        Preset::K9s => K9S,
    };
    own.iter().chain(COMMON)
}
