//! `pitstop watch`: follows a rolling update that anything drives, to its end. It only looks.
//!
//! With `-o json` each line is an object with `event` and `at` (milliseconds since the epoch, UTC):
//!
//! - what happened, in the names of [`Event`]: `node` (where it is about one) and `text`;
//! - `status`: how it stands, whenever that has changed: the fields of [`Status`];
//! - `probes`: where there are any, their `baseline`, how they do `now` (every ten seconds, and when they are judged otherwise), and
//!   at the `end`: `moment` and `probes`;
//! - `waiting`: there is no roll yet; `unreachable` and `reachable`: the API stopped answering, and answers again: `text`;
//! - `account`: the last line, when the roll is over: the fields of [`Account`], with
//!   each node's durations in seconds.

mod probes;

use super::signals::Signals;
use super::text::time;
use super::{Exit, Format, json, line, notice};
use crate::backend::clock::now;
use crate::backend::kube::{Cluster, observe};
use crate::domain::actor::Actor;
use crate::domain::feed::{Liveness, Observation};
use crate::domain::ids::Generation;
use crate::domain::report::Report;
use crate::domain::rollout::world::World;
use crate::domain::rollout::{
    Account, Event, Happening, How, Pace, Phase, Rollout, Stage, Status, Wish, hour,
};
use crate::domain::time::{Stamp, brief};
use crate::engine::{Backends, rollouts};
use probes::Probes;
use serde::Serialize;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Time goes on for the roll this often.
const TICK: Duration = Duration::from_secs(1);
/// How often the objects of other tools are looked at.
const ACTORS: Duration = Duration::from_secs(10);
/// That nothing is seen for less than this is not told: watches break while control planes are replaced.
const BLINK: Duration = Duration::from_secs(5);
/// What is known is kept for a later process at most this often.
const KEEP: Duration = Duration::from_secs(2);

/// Follows a roll to its end.
///
/// # Errors
/// Nobody reads what is written any more, or signals cannot be caught. (A cluster that does not answer is waited for.)
pub async fn watch(backends: &Backends, wish: Wish, format: Format) -> Result<Exit, Report> {
    let mut signals = Signals::new()?;
    let cancel = CancellationToken::new();
    let _ends = cancel.clone().drop_guard();
    let mut seen = observe(&backends.cluster, Generation(1), cancel.child_token());
    let mut actors = look_for_actors(backends.cluster.clone(), &cancel);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watcher = Watcher::new(backends, wish, format);
    loop {
        let is_news = tokio::select! {
            () = signals.next() => {
                watcher.keep(true);
                return Ok(Exit::Interrupted);
            }
            Some(observation) = seen.recv() => watcher.see(observation)?,
            Some(found) = actors.recv() => {
                watcher.world.actors = found;
                true
            }
            _ = tick.tick() => true,
        };
        if is_news && let Some(exit) = watcher.look()? {
            watcher.keep(true);
            return Ok(exit);
        }
    }
}

/// Asks for the objects of other tools again and again.
fn look_for_actors(cluster: Cluster, cancel: &CancellationToken) -> mpsc::Receiver<Vec<Actor>> {
    let (to, from) = mpsc::channel(1);
    let until = cancel.child_token();
    tokio::spawn(async move {
        let looking = async {
            loop {
                // what cannot be read says nothing about a roll
                let (found, _) = cluster.rollers().await;
                if to.send(found).await.is_err() {
                    return;
                }
                tokio::time::sleep(ACTORS).await;
            }
        };
        until.run_until_cancelled(looking).await;
    });
    from
}

/// What is known, and what was written of it.
struct Watcher {
    world: World,
    rollout: Rollout,
    format: Format,
    /// `None` = a story of our own wish is not kept.
    pen: Option<rollouts::Pen>,
    /// What an earlier process kept, until the nodes are known.
    earlier: Option<Rollout>,
    /// The beginning of the roll that is told, and the number of the next line of its timeline.
    told: (Option<Stamp>, u64),
    status: String,
    has_waited: bool,
    is_away: bool,
    probes: Option<Probes>,
    kept: (u64, Stamp),
    cannot_keep: bool,
}

/// One line of JSON.
#[derive(Serialize)]
struct Line<'a, T> {
    event: &'a str,
    at: Stamp,
    #[serde(flatten)]
    rest: &'a T,
}

#[derive(Serialize)]
struct Words<'a> {
    text: &'a str,
}

impl Watcher {
    fn new(backends: &Backends, wish: Wish, format: Format) -> Self {
        let (state_dir, context) = (backends.settings.state_dir.clone(), backends.settings.context.clone());
        let is_usual = wish == Wish::default();
        let earlier = if is_usual { rollouts::load(&state_dir, &context, now()) } else { None };
        Self {
            world: World::default(),
            rollout: Rollout::new(wish),
            format,
            pen: is_usual.then(|| rollouts::Pen::new(state_dir, context)),
            earlier: earlier.filter(Rollout::is_rolling),
            told: (None, 0),
            status: String::new(),
            has_waited: false,
            is_away: false,
            probes: Probes::begin(&backends.watchman),
            kept: (0, Stamp(0)),
            cannot_keep: false,
        }
    }

    /// Takes what a watch saw; whether to look at the roll at once.
    fn see(&mut self, seen: Observation) -> Result<bool, Report> {
        match &seen {
            Observation::Liveness(Liveness::Failing { report, .. }) if !self.is_away => {
                self.is_away = true;
                let words = format!("the API does not answer: {}; it is waited for", report.line());
                self.say("unreachable", &words)?;
            }
            Observation::Liveness(Liveness::Live(_)) if std::mem::take(&mut self.is_away) => {
                self.say("reachable", "the API answers again")?;
            }
            // connections break while control planes are replaced; that the API does not answer is told by itself
            Observation::Trouble(_, Some(report)) if !report.kind.is_passing() => notice(&report.line()),
            _ => {}
        }
        let are_pods = matches!(seen, Observation::Pods(_) | Observation::Budgets(_));
        let is_news = self.world.see(seen);
        Ok(is_news && (!are_pods || !self.rollout.at_work().is_empty()))
    }

    /// Looks at the roll as it is now, and writes what is new; how it ended, when it has.
    fn look(&mut self) -> Result<Option<Exit>, Report> {
        if !self.world.has_nodes {
            return Ok(None);
        }
        if let Some(earlier) = self.earlier.take()
            && earlier.is_of(&self.world.nodes)
        {
            self.rollout.adopt(earlier);
        }
        let at = now();
        if let Some(probes) = &mut self.probes {
            probes.look(at, self.format)?;
        }
        self.rollout.observe(at, &self.world.snapshot());
        if self.rollout.seen().is_none() {
            return Ok(None);
        }
        let began = self.rollout.began();
        if began != self.told.0 {
            self.told = (began, 0);
        }
        if let Some(exit) = self.nothing_yet(at)? {
            return Ok(Some(exit));
        }
        if self.rollout.is_roll() {
            let lines: Vec<Happening> = self.rollout.timeline.since(self.told.1).cloned().collect();
            self.told.1 = self.rollout.timeline.end();
            for happening in &lines {
                self.tell(happening)?;
            }
            self.tell_status(at)?;
        }
        self.keep(false);
        match self.rollout.stage {
            Stage::Ended { how, .. } if self.rollout.is_roll() => {
                if let Some(probes) = &self.probes {
                    probes.end(at, self.format)?;
                }
                if let Some(account) = self.rollout.account() {
                    self.tell_account(at, &account)?;
                }
                Ok(Some(exit(how, &self.rollout)))
            }
            _ => Ok(None),
        }
    }

    /// Says once that there is no roll; with a target that every node has, that is the end.
    fn nothing_yet(&mut self, at: Stamp) -> Result<Option<Exit>, Report> {
        if self.rollout.is_roll() {
            return Ok(None);
        }
        let (done, total) = self.rollout.progress();
        if self.rollout.wish != Wish::default() && done == total && total > 0 {
            let words = format!("nothing to follow: {}", self.rollout.idle_words());
            self.say_at(at, "waiting", &words)?;
            return Ok(Some(Exit::Done));
        }
        if !std::mem::replace(&mut self.has_waited, true) {
            let words = format!("{}; waits for a roll to begin", self.rollout.idle_words());
            self.say_at(at, "waiting", &words)?;
        }
        Ok(None)
    }

    fn say(&self, event: &str, words: &str) -> Result<(), Report> {
        self.say_at(now(), event, words)
    }

    fn say_at(&self, at: Stamp, event: &str, words: &str) -> Result<(), Report> {
        match self.format {
            Format::Text => line(&format!("{} {words}", time(at))),
            Format::Json => json(&Line { event, at, rest: &Words { text: words } }),
        }
    }

    fn tell(&self, happening: &Happening) -> Result<(), Report> {
        match self.format {
            Format::Json => json(happening),
            // the account says it
            Format::Text if happening.event == Event::Ended => Ok(()),
            Format::Text => line(&format!("{} {}", time(happening.at), happening.text)),
        }
    }

    fn tell_status(&mut self, at: Stamp) -> Result<(), Report> {
        if !self.rollout.is_rolling() {
            return Ok(());
        }
        let status = self.rollout.status(at);
        if matches!(status.pace, Pace::Blind(since) if at.since(since) < BLINK) {
            return Ok(());
        }
        let gist = gist(&status, self.format);
        if gist == self.status {
            return Ok(());
        }
        self.status = gist;
        match self.format {
            Format::Json => json(&Line { event: "status", at, rest: &status }),
            Format::Text => line(&format!("{}   {}", time(at), self.compact(at))),
        }
    }

    /// `4/12 (control plane 3/3, workers 1/9); ends about 14:32`.
    fn compact(&self, at: Stamp) -> String {
        let (done, total) = self.rollout.progress();
        let pace = match self.rollout.pace(at) {
            Pace::Stuck(stall) => format!("{}; ", stall.words(at)),
            Pace::Blind(since) => format!("not known since {}; ", brief(at.since(since))),
            _ => String::new(),
        };
        let end = match self.rollout.estimate(at) {
            Ok(estimate) => {
                let (ends, late) = (hour(estimate.ends), hour(estimate.late));
                let slow = if ends == late { String::new() } else { format!(", {late}Z if slow") };
                format!("ends about {ends}Z{slow}")
            }
            Err(why) => why,
        };
        format!("{done}/{total} ({}); {pace}{end}", self.rollout.counted())
    }

    fn tell_account(&self, at: Stamp, account: &Account) -> Result<(), Report> {
        if self.format == Format::Json {
            return json(&Line { event: "account", at, rest: account });
        }
        line(&format!("{} the roll is over: {}", time(at), account.text))?;
        for node in &account.nodes {
            let took = node.took.map_or_else(|| "-".to_owned(), |span| brief(span.0));
            let phases = node.phases.iter().map(|(phase, span)| format!("{phase} {}", brief(span.0)));
            let phases = phases.collect::<Vec<_>>().join(", ");
            let state = if node.phase == Phase::Done { "" } else { node.phase.word() };
            line(format!("  {:<24} {took:>7} {state:<8} {phases}", node.node.as_str()).trim_end())?;
        }
        if let Some((median, slow)) = account.turn {
            line(&format!("  a turn took {}, one in ten {} or longer", brief(median.0), brief(slow.0)))?;
        }
        if let Some((median, _)) = account.interval {
            line(&format!("  {} between two turns", brief(median.0)))?;
        }
        match (&account.pods_before, &account.pods) {
            (Some(before), Some(pods)) => line(&format!("  pods: {}", before.words(pods))),
            _ => Ok(()),
        }
    }

    /// Keeps what is known for a later process, as the console does.
    fn keep(&mut self, at_once: bool) {
        let (end, at) = (self.rollout.timeline.end(), now());
        let is_due = end != self.kept.0 && (at_once || at.since(self.kept.1) >= KEEP);
        if !is_due || self.rollout.began().is_none() {
            return;
        }
        let Some(pen) = &mut self.pen else { return };
        self.kept = (end, at);
        // where another process keeps it, this one only reads
        let written = pen.save(&self.rollout);
        if let Err(report) = written
            && !std::mem::replace(&mut self.cannot_keep, true)
        {
            notice(&format!("what is seen is not kept for a later look: {}", report.line()));
        }
    }
}

/// What of a status is news: not the seconds that pass.
fn gist(status: &Status, format: Format) -> String {
    let stuck = match &status.pace {
        Pace::Stuck(stall) => stall.why.clone(),
        Pace::Blind(_) => "blind".to_owned(),
        _ => String::new(),
    };
    let ends = status.estimate.as_ref().map(|estimate| estimate.ends.0 / 60_000);
    let mut gist = format!("{}/{} {stuck} {ends:?} {:?}", status.done, status.total, status.no_estimate);
    if format == Format::Json {
        for node in status.now.iter().chain(&status.failed) {
            let block = node.block.as_ref().map(|block| &block.budget);
            gist.push_str(&format!(" {} {} {:?} {block:?}", node.node, node.phase, node.pods));
        }
        gist.push_str(&format!(" {:?} {:?}", status.aim, status.driver));
        gist.push_str(&format!(" {:?}", status.pods.as_ref().map(|pods| (pods.pending, pods.failed))));
    }
    gist
}

fn exit(how: How, rollout: &Rollout) -> Exit {
    let has_failed = !rollout.in_phase(Phase::Failed).is_empty();
    match how {
        How::Complete => Exit::Done,
        // nobody said that the others were to come
        How::Stopped if !has_failed && !rollout.names_the_rest() => Exit::Done,
        How::Stopped | How::Failed => Exit::Findings,
    }
}
