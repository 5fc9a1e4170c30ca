//! The words of the command line: what a line means, and what may be meant by its beginning.

use super::keymap::Command;
use super::model::{Model, Pane, Theme};
use super::rows;
use crate::domain::ids::{BudgetKey, NodeName, OpId};

/// A line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A command as a key would give it.
    Command(Command),
    /// A command on a named node.
    On(Command, NodeName),
    /// Explain a budget.
    Block(BudgetKey),
    /// Filter the focused pane.
    Filter(String),
    /// Sort the focused pane.
    Sort(String),
    /// Other colours.
    Theme(Theme),
    /// ASCII glyphs on or off.
    Ascii,
    /// Show a run.
    Open(OpId),
}

/// What a word takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Node,
    Budget,
    Text,
    Column,
    Theme,
    Run,
}

struct Word {
    name: &'static str,
    takes: Takes,
    command: Option<Command>,
    help: &'static str,
}

const fn word(name: &'static str, takes: Takes, command: Option<Command>, help: &'static str) -> Word {
    Word { name, takes, command, help }
}

use Command as C;
use Takes as T;

const WORDS: &[Word] = &[
    word("cordon", T::Node, Some(C::Cordon), "take a node out of scheduling"),
    word("uncordon", T::Node, Some(C::Uncordon), "put a node back into scheduling"),
    word("drain", T::Node, Some(C::Drain), "cordon a node and move its pods away"),
    word("reboot", T::Node, Some(C::Reboot), "reboot a node, step by step"),
    word("snapshot", T::Nothing, Some(C::Snapshot), "take, verify and store an etcd snapshot"),
    word("block", T::Budget, Some(C::Block), "explain what a budget blocks, and why"),
    word("confirm", T::Nothing, Some(C::Confirm), "confirm the step that waits"),
    word("automatic", T::Nothing, Some(C::Automatic), "let the open run go on by itself"),
    word("pause", T::Nothing, Some(C::Pause), "pause the open run"),
    word("retry", T::Nothing, Some(C::Retry), "try the failed step again"),
    word("skip", T::Nothing, Some(C::Skip), "leave the step out"),
    word("abort", T::Nothing, Some(C::Abort), "stop the open run and undo"),
    word("accept", T::Nothing, Some(C::Accept), "accept a gate that is not open, with a reason"),
    word("settle", T::Nothing, Some(C::Settle), "change the quiet time of the open run"),
    word("lock", T::Nothing, Some(C::Lock), "who holds the maintenance lock; adopt or clear it"),
    word("nodes", T::Nothing, Some(C::Focus(Pane::Nodes)), "go to the nodes"),
    word("etcd", T::Nothing, Some(C::Focus(Pane::Etcd)), "go to the etcd members"),
    word("budgets", T::Nothing, Some(C::Focus(Pane::Budgets)), "go to the disruption budgets"),
    word("log", T::Nothing, Some(C::Focus(Pane::Log)), "go to the log"),
    word("run", T::Run, Some(C::Focus(Pane::Run)), "go to the open run, or to the one named"),
    word("rollout", T::Nothing, Some(C::Focus(Pane::Rollout)), "go to the rolling update under way"),
    word("timeline", T::Nothing, Some(C::Story), "what happened in the rolling update since it began"),
    word("orphans", T::Nothing, Some(C::Orphans), "what runs of earlier sessions left changed"),
    word("answer", T::Nothing, Some(C::Answer), "answer what SSH asks: a passphrase, an unknown host"),
    word("needs-reboot", T::Node, Some(C::Needs), "ask the hosts whether they need a reboot"),
    word("extend", T::Nothing, Some(C::Extend), "let the step under way take five minutes longer"),
    word("power", T::Node, Some(C::Power), "ask a node's management controller (BMC) for its power"),
    word("power-cycle", T::Node, Some(C::PowerCycle), "take a machine's power away and give it back"),
    word("filter", T::Text, None, "filter the focused pane"),
    word("sort", T::Column, None, "sort the focused pane"),
    word("reverse", T::Nothing, Some(C::Reverse), "sort the other way round"),
    word("theme", T::Theme, None, "dark, light or mono"),
    word("ascii", T::Nothing, None, "ASCII glyphs on or off"),
    word(
        "record",
        T::Nothing,
        Some(C::Record),
        "write a recording of this console for a bug report, without secrets",
    ),
    word("reconnect", T::Nothing, Some(C::Reconnect), "read the kubeconfig again and connect anew"),
    word("help", T::Nothing, Some(C::Help), "show the keys"),
    word("quit", T::Nothing, Some(C::Quit), "quit"),
];

/// Short forms that other consoles have taught.
const ALIASES: &[(&str, &str)] = &[
    ("q", "quit"),
    ("q!", "quit"),
    ("pdb", "budgets"),
    ("no", "nodes"),
    ("node", "nodes"),
    ("budget", "budgets"),
];

/// A suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The whole line as it would stand.
    pub text: String,
    /// What it does.
    pub help: String,
    /// The line needs another word.
    pub wants_more: bool,
}

/// Understands a line, or says what is wrong with it.
pub fn parse(model: &Model, text: &str) -> Result<Line, String> {
    let text = text.trim().trim_start_matches(':');
    let (first, rest) = text.split_once(char::is_whitespace).map_or((text, ""), |(a, b)| (a, b.trim()));
    let first = ALIASES.iter().find(|(alias, _)| *alias == first).map_or(first, |(_, word)| *word);
    let Some(word) = WORDS.iter().find(|word| word.name == first) else {
        return Err(format!("there is no command {first}"));
    };
    let bare = word.command.map(Line::Command);
    match word.takes {
        T::Nothing if !rest.is_empty() => Err(format!("{first} takes nothing")),
        T::Nothing => bare.map_or(Ok(Line::Ascii), Ok),
        T::Text => Ok(Line::Filter(rest.to_owned())),
        _ if rest.is_empty() => bare.ok_or_else(|| format!("{first} needs a word")),
        T::Node => node(model, rest).and_then(|node| {
            word.command.map(|command| Line::On(command, node)).ok_or_else(|| "not a command".to_owned())
        }),
        T::Budget => budget(model, rest).map(Line::Block),
        T::Column => Ok(Line::Sort(rest.to_owned())),
        T::Theme => theme(rest).map(Line::Theme),
        T::Run => {
            let number =
                rest.trim_start_matches('#').parse().map_err(|_| format!("{rest} is no run's number"))?;
            Ok(Line::Open(OpId(number)))
        }
    }
}

fn node(model: &Model, text: &str) -> Result<NodeName, String> {
    let name = NodeName::from(text);
    if model.known.nodes.contains_key(&name) { Ok(name) } else { Err(format!("there is no node {text}")) }
}

fn budget(model: &Model, text: &str) -> Result<BudgetKey, String> {
    let found = model.known.budgets.keys().find(|key| key.to_string() == text);
    found.cloned().ok_or_else(|| format!("there is no budget {text} (namespace/name)"))
}

fn theme(text: &str) -> Result<Theme, String> {
    match text {
        "dark" => Ok(Theme::Dark),
        "light" => Ok(Theme::Light),
        "mono" => Ok(Theme::Mono),
        _ => Err("themes: dark, light, mono".to_owned()),
    }
}

/// What may be meant by the beginning of a line, at most eight offers.
pub fn suggestions(model: &Model, text: &str) -> Vec<Offer> {
    let text = text.trim_start().trim_start_matches(':');
    let offers = match text.split_once(char::is_whitespace) {
        None => WORDS
            .iter()
            .filter(|word| word.name.starts_with(text))
            .map(|word| Offer {
                text: if word.takes == T::Nothing { word.name.to_owned() } else { format!("{} ", word.name) },
                help: word.help.to_owned(),
                wants_more: word.command.is_none() && word.takes != T::Nothing,
            })
            .collect(),
        Some((first, rest)) => match WORDS.iter().find(|word| word.name == first) {
            Some(word) => arguments(model, word, rest.trim_start()),
            None => Vec::new(),
        },
    };
    offers.into_iter().take(8).collect()
}

fn arguments(model: &Model, word: &Word, rest: &str) -> Vec<Offer> {
    let choices: Vec<String> = match word.takes {
        T::Node => model.known.nodes.keys().map(|node| node.0.clone()).collect(),
        T::Budget => model.known.budgets.keys().map(ToString::to_string).collect(),
        T::Column => rows::columns(model.focus).iter().map(|column| column.word().to_owned()).collect(),
        T::Theme => ["dark", "light", "mono"].map(str::to_owned).to_vec(),
        T::Run => model.runs.iter().map(|run| run.op.0.to_string()).collect(),
        T::Nothing | T::Text => Vec::new(),
    };
    choices
        .into_iter()
        .filter(|choice| choice.starts_with(rest))
        .map(|choice| Offer {
            text: format!("{} {choice}", word.name),
            help: word.help.to_owned(),
            wants_more: false,
        })
        .collect()
}
