//! The event loop: input first, then what the tasks say, then time; draws when something changed, at most 60 times a
//! second.

use super::ConsoleOptions;
use super::executor::{Executor, Word};
use super::outside::{Mark, Outside};
use super::recordings;
use super::secret::Secret;
use crate::backend::clock::now;
use crate::backend::herald::Herald;
use crate::console::dialog::{ARMS_AFTER, Dialog};
use crate::console::keymap::Key;
use crate::console::model::Model;
use crate::console::msg::{Effect, Msg};
use crate::console::record::Recorder;
use crate::console::title::title;
use crate::console::update::update;
use crate::console::view::view;
use crate::domain::feed::Observation;
use crate::domain::ids::RunId;
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::notice::Notice;
use crate::domain::report::{FailureKind, Report};
use crossterm::event::Event;
use futures::{Stream, StreamExt};
use ratatui::Terminal;
use ratatui::backend::Backend;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(16);
/// Time goes on for the core this often.
const TICK: Duration = Duration::from_secs(1);
/// What is being posted when the console is quit gets this long.
const PARTING: Duration = Duration::from_secs(3);
/// So many messages are taken before the next look at the keys.
const BATCH: usize = 256;

/// The application on a terminal.
struct App<'t, B: Backend, O> {
    screen: &'t mut Terminal<B>,
    model: Model,
    executor: Executor,
    secret: Secret,
    recorder: Recorder,
    state_dir: PathBuf,
    herald: Herald,
    title: String,
    posts: JoinSet<()>,
    outside: O,
    is_dirty: bool,
    last_frame: Option<Instant>,
    next_tick: Instant,
    logged: u64,
    lost: Option<io::Error>,
}

/// Runs the console until it is quit; returns its last state.
///
/// # Errors
/// The terminal cannot be drawn on.
pub async fn drive<B, S, O>(
    screen: &mut Terminal<B>,
    model: Model,
    input: S,
    options: ConsoleOptions,
    outside: O,
) -> io::Result<Model>
where
    B: Backend,
    B::Error: std::fmt::Display,
    S: Stream<Item = io::Result<Event>>,
    O: Outside,
{
    let executor = Executor::new(&options);
    let next_tick = Instant::now() + TICK;
    let mut app = App {
        recorder: Recorder::new(&model),
        state_dir: options.state_dir,
        herald: options.herald,
        title: String::new(),
        posts: JoinSet::new(),
        screen,
        model,
        executor,
        secret: Secret::default(),
        outside,
        is_dirty: true,
        last_frame: None,
        next_tick,
        logged: 0,
        lost: None,
    };
    if !options.orphans.is_empty() {
        app.take(Msg::Orphans(options.orphans));
    }
    let outcome = app.run(input).await;
    outcome.map(|()| app.model)
}

impl<B, O> App<'_, B, O>
where
    B: Backend,
    B::Error: std::fmt::Display,
    O: Outside,
{
    async fn run<S: Stream<Item = io::Result<Event>>>(&mut self, input: S) -> io::Result<()> {
        let mut input = pin!(input.fuse());
        let mut signals = Signals::new()?;
        let mut has_input = true;
        while !self.executor.is_over() {
            self.draw_if_due();
            let wake = self.wake();
            tokio::select! {
                biased;
                event = input.next(), if has_input => {
                    if let Some(Ok(event)) = event {
                        self.input(event);
                    } else {
                        // the terminal is gone
                        has_input = false;
                        self.take(Msg::EndAsked(true));
                    }
                }
                ends_at_once = signals.next() => self.take(Msg::EndAsked(ends_at_once)),
                word = self.executor.next() => self.word(word),
                () = sleep_until(wake) => self.tick(),
            }
        }
        while let Some(msg) = self.executor.try_next() {
            self.take(msg);
        }
        self.part().await;
        self.lost.take().map_or(Ok(()), Err)
    }

    fn input(&mut self, event: Event) {
        match event {
            Event::Key(key) => {
                if let Some(key) = Key::from_event(key) {
                    match self.secret.press(&self.model, key) {
                        Some(told) => self.take(told),
                        None => self.take(Msg::Key(key, now())),
                    }
                }
            }
            Event::Paste(text) => match self.secret.paste(&self.model, &text) {
                Some(told) => self.take(told),
                None => self.take(Msg::Paste(text)),
            },
            Event::Resize(columns, lines) => self.take(Msg::Resize(columns, lines)),
            Event::FocusGained | Event::FocusLost | Event::Mouse(_) => {}
        }
    }

    fn word(&mut self, word: Word) {
        match word {
            Word::Connected(connected) => {
                let msg = self.executor.connected(connected, &self.model);
                self.take(msg);
            }
            Word::Taken(op, taken) => {
                if let Some(msg) = self.executor.taken(op, taken) {
                    self.take(msg);
                }
            }
            Word::Reported(run, report) => self.copy_report(&run, report),
            Word::Msg(msg) => {
                self.take(msg);
                for _ in 0..BATCH {
                    let Some(msg) = self.executor.try_next() else { break };
                    self.take(msg);
                }
            }
        }
    }

    /// Gives a message to the core, and its effects to the executor; what they have to say at once goes in again.
    fn take(&mut self, msg: Msg) {
        let are_nodes = matches!(msg, Msg::Seen(_, Observation::Nodes(_)));
        // what happens to nodes gets the time at which it is seen, not that of the last tick
        let tick = (are_nodes && self.model.watch.rollout.seen().is_some()).then(|| Msg::Tick(now()));
        let mut next = tick;
        let mut msg = Some(msg);
        while let Some(msg) = next.take().or_else(|| msg.take()) {
            self.recorder.hear(&self.model, &msg, now());
            let effects = update(&mut self.model, msg);
            if are_nodes {
                self.executor.nodes_changed(&self.model);
            }
            for effect in effects {
                if let Effect::Copy(text) = &effect
                    && let Err(error) = self.outside.copy(text)
                {
                    tracing::warn!(%error, "the text was not copied");
                }
                match &effect {
                    Effect::Unlock(path) => self.executor.unlock(path.clone(), self.secret.take()),
                    Effect::Record => self.record(),
                    Effect::Tell(notice) => self.tell(notice.clone()),
                    Effect::CopyReport(run) => self.executor.report(run),
                    _ => {}
                }
                let answer = self.executor.perform(effect, &self.model);
                next = next.or(answer);
            }
        }
        self.trace();
        self.entitle();
        self.is_dirty = true;
    }

    /// Tells people who look elsewhere; a post that fails is a line of the log.
    fn tell(&mut self, notice: Notice) {
        let escapes = self.herald.escapes(&notice);
        if let Err(error) = self.outside.say(&escapes) {
            tracing::warn!(%error, "the terminal was not told");
        }
        let (herald, to) = (self.herald.clone(), self.executor.inlet());
        self.posts.spawn(async move {
            if let Err(report) = herald.post(&notice).await {
                let text = format!("nobody was told: {}", report.line());
                let origin = Origin::System;
                let line = LogLine { at: now(), level: Level::Warn, origin, op: None, node: None, text };
                let _ = to.send(Msg::Log(line)).await;
            }
        });
    }

    /// Keeps the terminal's title.
    fn entitle(&mut self) {
        let title = title(&self.model);
        if title != self.title
            && let Some(escape) = self.herald.title(&title)
        {
            if let Err(error) = self.outside.say(&escape) {
                tracing::warn!(%error, "the title was not set");
            }
            self.title = title;
        }
    }

    /// What is still being posted at the end gets a moment.
    async fn part(&mut self) {
        self.executor.part(&self.model).await;
        let all = async { while self.posts.join_next().await.is_some() {} };
        if tokio::time::timeout(PARTING, all).await.is_err() {
            tracing::warn!("a notice was still being posted at the end");
        }
    }

    /// Writes what was heard to a file, in a task of its own.
    fn record(&self) {
        if let Some(recording) = self.recorder.recording() {
            let written = recordings::save(recording, self.state_dir.clone(), now());
            let to = self.executor.inlet();
            tokio::spawn(async move {
                let _ = to.send(Msg::Recorded(written.await)).await;
            });
        }
    }

    fn copy_report(&mut self, run: &RunId, report: Result<String, Report>) {
        let copied = report.and_then(|text| {
            self.outside.copy(&text).map_err(|error| Report::new(FailureKind::Local, error.to_string()))
        });
        if let Err(report) = copied {
            let text = format!("the report of {run} was not copied: {}", report.line());
            let line = LogLine {
                at: now(),
                level: Level::Error,
                origin: Origin::System,
                op: None,
                node: None,
                text,
            };
            self.take(Msg::Log(line));
        }
    }

    /// Every line of the log pane also goes to the log file.
    fn trace(&mut self) {
        let fresh = self.model.log.since(self.logged);
        for line in fresh {
            trace_line(line);
        }
        self.logged = self.model.log.end();
    }

    fn tick(&mut self) {
        if Instant::now() >= self.next_tick || self.is_arming() {
            self.next_tick = Instant::now() + TICK;
            self.take(Msg::Tick(now()));
        }
    }

    fn is_arming(&self) -> bool {
        self.model.dialog().is_some_and(|dialog| dialog.is_arming(self.model.now))
    }

    /// When to wake up without any message: for the next tick, for a dialog that arms, for a frame that is due.
    fn wake(&self) -> Instant {
        let mut wake = self.next_tick;
        if self.is_arming() {
            let prompt = self.model.dialog().and_then(Dialog::prompt);
            let stood = prompt.map_or(Duration::ZERO, |prompt| now().since(prompt.shown));
            wake = wake.min(Instant::now() + ARMS_AFTER.saturating_sub(stood).max(Duration::from_millis(1)));
        }
        match self.last_frame {
            Some(last) if self.is_dirty && self.lost.is_none() => wake.min(last + FRAME),
            _ => wake,
        }
    }

    /// Draws, unless the terminal is lost: then the console ends, but not before its runs have ended.
    fn draw_if_due(&mut self) {
        let is_due = self.last_frame.is_none_or(|last| Instant::now() >= last + FRAME);
        if !self.is_dirty || !is_due || self.lost.is_some() {
            return;
        }
        self.is_dirty = false;
        self.last_frame = Some(Instant::now());
        if let Err(error) = self.draw() {
            self.lost = Some(error);
            self.take(Msg::EndAsked(true));
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        self.outside.frame(Mark::Begin)?;
        let model = &self.model;
        let drawn = self.screen.draw(|frame| view(model, frame)).map(drop);
        drawn.map_err(|error| io::Error::other(error.to_string()))?;
        self.outside.frame(Mark::End)
    }
}

fn trace_line(line: &LogLine) {
    let op = line.op.map(|op| op.0);
    let node = line.node.as_ref().map(crate::domain::ids::NodeName::as_str);
    match line.level {
        Level::Info => tracing::info!(op, node, "{}", line.text),
        Level::Warn => tracing::warn!(op, node, "{}", line.text),
        Level::Error => tracing::error!(op, node, "{}", line.text),
    }
}

/// Signals that ask the process to end.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// `true` = end without asking back; an interrupt asks first, as the key Ctrl-C does.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => false,
            _ = self.terminate.recv() => true,
            _ = self.hangup.recv() => true,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) -> bool {
        let _ = tokio::signal::ctrl_c().await;
        false
    }
}
