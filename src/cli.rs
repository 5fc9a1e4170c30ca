//! The command line: what may be typed, and its help. Flags that kubectl has bear kubectl's names.

use crate::backend::store::Location;
use crate::config::{Preset, ThemeName};
use crate::domain::plan::Kind;
use crate::domain::probe::Target as Asked;
use crate::domain::remedy::Remedy;
use crate::domain::report::{FailureKind, Report};
use crate::domain::time::{Stamp, parse_span};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

mod drain;
mod patch;
mod roll;

pub use drain::{DrainFlags, DryRun};
pub use patch::PatchFlags;
pub use roll::{Intervals, RollFlags};

const ABOUT: &str = "Kubernetes node maintenance, one confirmed step at a time";
const AFTER: &str = "\
Without a command, the console opens on the current kube context.

Exit codes: 0 done; 1 error; 2 findings, or a gate not passed; 3 stopped by the operator; 130 interrupted.";

/// `pitstop`, or `kubectl pitstop` when installed as kubectl-pitstop.
#[derive(Debug, Parser)]
#[command(name = "pitstop", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster (as kubectl)")]
pub struct Global {
    /// Path of the kubeconfig [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig's cluster
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The kubeconfig's user
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// Act as another user
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Act as a member of another group; may be repeated
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub as_group: Vec<String>,
    /// How long one request may take: 30s, 2m; 0 = no limit
    #[arg(long, global = true, value_name = "TIME", value_parser = seconds_or_span)]
    pub request_timeout: Option<Duration>,

    /// Path of the configuration [default: ~/.config/pitstop/config.toml]
    #[arg(
        long,
        global = true,
        env = "PITSTOP_CONFIG",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "pitstop"
    )]
    pub config: Option<PathBuf>,
    /// Change nothing; snapshots are still allowed
    #[arg(long, global = true, env = "PITSTOP_READ_ONLY", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new(), help_heading = "pitstop")]
    pub read_only: bool,
    /// Ask this beside runs and watch the answers: http(s)://..., tcp://HOST:PORT, dns://[SERVER/]NAME, or
    /// service://NAMESPACE/NAME:PORT/PATH through the API server; may be repeated, adds to the configured ones
    #[arg(long, global = true, value_name = "URL", value_parser = Asked::parse, help_heading = "pitstop")]
    pub probe: Vec<Asked>,
    /// Colours [default: dark]
    #[arg(
        long,
        global = true,
        env = "PITSTOP_THEME",
        hide_env_values = true,
        value_name = "THEME",
        help_heading = "pitstop"
    )]
    pub theme: Option<ThemeName>,
    /// Keys [default: pitstop]
    #[arg(
        long,
        global = true,
        env = "PITSTOP_KEYS",
        hide_env_values = true,
        value_name = "PRESET",
        help_heading = "pitstop"
    )]
    pub keys: Option<Preset>,
    /// Draw with ASCII only
    #[arg(long, global = true, env = "PITSTOP_ASCII", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new(), help_heading = "pitstop")]
    pub ascii: bool,
    /// Leave the mouse to the terminal
    #[arg(long, global = true, env = "PITSTOP_NO_MOUSE", hide_env_values = true, value_parser = clap::builder::FalseyValueParser::new(), help_heading = "pitstop")]
    pub no_mouse: bool,
    /// What the log file tells: error, warn, info, debug, trace, or a filter such as info,kube=debug
    #[arg(
        long,
        global = true,
        env = "PITSTOP_LOG_LEVEL",
        hide_env_values = true,
        value_name = "LEVEL",
        default_value = "info",
        hide_default_value = false,
        help_heading = "pitstop"
    )]
    pub log_level: String,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open the console on a simulated cluster; needs nothing installed
    Demo(Rehearsal),
    /// Validate the cluster: exit code 0 pass, 2 findings, 1 could not tell
    Check {
        /// How to write
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show the steps and the forecast of a run; changes nothing
    Plan {
        /// What for
        #[command(flatten)]
        target: Target,
        /// How to write
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
        /// For resolve: the pods that are to move
        #[command(flatten)]
        pods: PodFlags,
        /// Quiet times and pauses
        #[command(flatten)]
        intervals: Intervals,
        /// How a roll goes
        #[command(flatten)]
        roll: RollFlags,
        /// What runs before a reboot
        #[command(flatten)]
        patch: PatchFlags,
        /// How pods are moved
        #[command(flatten)]
        drain: DrainFlags,
    },
    /// Carry out a run without a screen; asks before each step unless --yes
    Run {
        /// What for
        #[command(flatten)]
        target: Target,
        /// Confirm every step beforehand; in a protected context give --context too
        #[arg(short, long)]
        yes: bool,
        /// Show the plan and change nothing, like the command plan
        #[arg(long, value_enum, default_value_t, num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_default_value = true)]
        dry_run: DryRun,
        /// Take over a maintenance lock that another's run left behind, or that its holder does not renew any more
        #[arg(long, conflicts_with = "unlocked")]
        adopt_lock: bool,
        /// Go on without the maintenance lock, where it cannot be used
        #[arg(long)]
        unlocked: bool,
        /// How to write; json = one event a line
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
        /// Quiet times and pauses
        #[command(flatten)]
        intervals: Intervals,
        /// How a roll goes
        #[command(flatten)]
        roll: RollFlags,
        /// What runs before a reboot
        #[command(flatten)]
        patch: PatchFlags,
        /// For resolve: the way out, by its name in plan resolve
        #[arg(long, value_name = "NAME", value_parser = remedy, help_heading = "Resolve")]
        remedy: Option<Remedy>,
        /// For resolve: the pods that are to move
        #[command(flatten)]
        pods: PodFlags,
        /// How pods are moved
        #[command(flatten)]
        drain: DrainFlags,
    },
    /// Follow a rolling update that anything drives, to its end; changes nothing
    #[command(
        after_help = "Exit codes: 0 it is over; 2 it is over, and nodes failed or are left; 130 interrupted."
    )]
    Watch {
        /// The kubelet version that every node shall have [default: read off the nodes]
        #[arg(long, value_name = "VERSION")]
        to_version: Option<String>,
        /// When it began: an RFC 3339 time, or how long ago (2h). Nodes that became Ready since then have had their turn
        #[arg(long, value_name = "TIME", value_parser = beginning)]
        since: Option<Beginning>,
        /// How to write; json = one event a line
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Look at earlier runs in their journals
    Runs {
        /// What about them
        #[command(subcommand)]
        command: Runs,
    },
    /// Take, verify and store an etcd snapshot
    Snapshot {
        /// Directory for the file, or a bucket for a copy beside the one in [cluster.X.snapshot] dir: s3://bucket/prefix,
        /// gs://bucket/prefix, az://container/prefix [default: as configured]
        #[arg(long, value_name = "PLACE")]
        to: Option<Location>,
        /// How to write; json = one event a line
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Play a recording of a console (its key w); carries out nothing
    Replay {
        /// The recording
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Times as fast as it was
        #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = speed)]
        speed: f64,
        /// Begin stopped: n plays the next message
        #[arg(long, conflicts_with = "speed")]
        step: bool,
    },
    /// Serve the simulated cluster to kubectl, k9s or another pitstop until ended
    Sim {
        /// Directory that gets a kubeconfig, a configuration, host keys and an SSH key
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Which cluster, how fast
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Show versions and where files are
    Info {
        /// Print the sample configuration instead
        #[arg(long)]
        sample_config: bool,
        /// How to write
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Write a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual page
    Man,
}

/// Which simulated cluster.
#[derive(Debug, Clone, Args)]
pub struct Rehearsal {
    /// A built-in scenario, or the path of a TOML file
    #[arg(long, default_value = "default", value_name = "NAME|FILE")]
    pub scenario: String,
    /// Shorten every delay of the simulated cluster by this factor
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = speed)]
    pub speed: f64,
}

/// What a run is for, and on which nodes.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// What to do
    #[arg(value_enum)]
    pub kind: Action,
    /// Names of the nodes; reboot and power-cycle take exactly one, restore none. For resolve: the budget, as NAMESPACE/NAME
    #[arg(value_name = "NODE")]
    pub nodes: Vec<String>,
    /// All nodes whose labels match, instead of names
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
}

/// What a run may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Make nodes unschedulable
    Cordon,
    /// Make nodes schedulable
    Uncordon,
    /// Cordon nodes and move their pods away, one node after the other
    Drain,
    /// The whole way: gates, lock, backup, drain, reboot, verification, uncordon
    Reboot,
    /// Nodes one after the other, each in a run of its own: the control plane first, then workers, several at a time
    Roll,
    /// A way out of a disruption budget that blocks a drain
    Resolve,
    /// Get etcd back from the newest verified snapshot: printed by plan, never run
    Restore,
    /// Cut a machine's power and give it back, through its management controller (BMC)
    PowerCycle,
}

impl TryFrom<Action> for Kind {
    type Error = Report;

    fn try_from(action: Action) -> Result<Self, Report> {
        Ok(match action {
            Action::Cordon => Self::Cordon,
            Action::Uncordon => Self::Uncordon,
            Action::Drain => Self::Drain,
            Action::Reboot => Self::Reboot,
            Action::Roll => Self::Roll,
            Action::Resolve => Self::Resolve,
            Action::PowerCycle => Self::PowerCycle,
            Action::Restore => {
                return Err(Report::new(FailureKind::Denied, "a restore is never run by pitstop")
                    .hint("pitstop plan restore prints the way, with your own paths and the newest verified snapshot"));
            }
        })
    }
}

/// Which pods a resolution is for.
#[derive(Debug, Clone, Default, Args)]
pub struct PodFlags {
    /// For resolve: a pod that is to move, as NAMESPACE/NAME; may be repeated [default: the covered pods on cordoned nodes]
    #[arg(long = "pod", value_name = "NAMESPACE/NAME", help_heading = "Resolve")]
    pub pods: Vec<String>,
}

/// When something began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Then.
    At(Stamp),
    /// So long ago.
    Ago(Duration),
}

/// A time, or how long ago.
fn beginning(text: &str) -> Result<Beginning, String> {
    match crate::backend::clock::parse(text) {
        Some(at) => Ok(Beginning::At(at)),
        None => parse_span(text)
            .map(Beginning::Ago)
            .map_err(|why| format!("{why}, or a time as 2026-11-20T14:00:00Z")),
    }
}

/// A remedy by its name.
fn remedy(text: &str) -> Result<Remedy, String> {
    Remedy::of_name(text).ok_or_else(|| {
        let names: Vec<&str> = Remedy::ALL.into_iter().map(Remedy::name).collect();
        format!("there is no such way; the ways are {}", names.join(", "))
    })
}

/// What about earlier runs.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List them, the newest first
    List {
        /// How to write
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Show one: its steps, how they ended, what was left changed
    Show {
        /// Its id, or the beginning of it [default: the newest]
        id: Option<String>,
        /// How to write
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Clear the maintenance lock that a run left behind, or that its holder does not renew any more; runs nothing
    Unlock {
        /// Confirm beforehand; in a protected context give --context too
        #[arg(short, long)]
        yes: bool,
        /// How to write
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Account for one: timeline, confirmations, gates, predictions, changes, what was left
    Report {
        /// Its id, or the beginning of it [default: the newest]
        id: Option<String>,
        /// How to write; text = Markdown
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Go on with a run whose process ended: reads the world again and repeats no reboot and no eviction
    Resume(Earlier),
    /// Put back what a run left changed, step by step, and show how things differ from how they were found
    Abort(Earlier),
}

impl Command {
    /// Whether programs read what is written.
    pub fn is_json(&self) -> bool {
        let output = match self {
            Self::Check { output, .. }
            | Self::Plan { output, .. }
            | Self::Run { output, .. }
            | Self::Snapshot { output, .. }
            | Self::Watch { output, .. }
            | Self::Info { output, .. }
            | Self::Runs {
                command:
                    Runs::List { output }
                    | Runs::Show { output, .. }
                    | Runs::Report { output, .. }
                    | Runs::Unlock { output, .. }
                    | Runs::Resume(Earlier { output, .. })
                    | Runs::Abort(Earlier { output, .. }),
            } => *output,
            _ => Output::Text,
        };
        output == Output::Json
    }
}

/// Which earlier run, and how it is confirmed.
#[derive(Debug, Clone, Args)]
pub struct Earlier {
    /// Its id, or the beginning of it
    pub id: String,
    /// Confirm every step beforehand; in a protected context give --context too
    #[arg(short, long)]
    pub yes: bool,
    /// How to write; json = one event a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// How output is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people
    #[default]
    Text,
    /// JSON: one object, or one object a line for events
    Json,
}

/// A duration, or a bare number of seconds as kubectl also takes it.
fn seconds_or_span(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => parse_span(text),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.1..=1000.0).contains(&speed) => Ok(speed),
        _ => Err("a number from 0.1 to 1000 is needed".to_owned()),
    }
}

/// What was typed wrong, in one sentence.
pub fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let first: Vec<&str> = text.split("\n\n").next().unwrap_or_default().split_whitespace().collect();
    format!("{} (pitstop --help shows what may be given)", first.join(" "))
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
