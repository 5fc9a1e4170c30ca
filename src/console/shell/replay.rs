//! Plays a recording in the terminal: the same messages through the same `update` and the same view. No effect is
//! carried out; nothing is contacted.

use super::terminal;
use crate::console::model::Model;
use crate::console::record::{Heard, Recording};
use crate::console::update::update;
use crate::console::view::view;
use crate::domain::report::{FailureKind, Report};
use crate::domain::time::clock;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures::{Stream, StreamExt};
use ratatui::Terminal;
use ratatui::backend::{Backend, CrosstermBackend, TestBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use std::io::{self, BufWriter};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A pause in the recording is not played longer than this.
const LONGEST: Duration = Duration::from_secs(2);
/// Time between two frames.
const FRAME: Duration = Duration::from_millis(16);

/// How a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Playing {
    /// Times as fast as it was.
    pub speed: f64,
    /// Begin stopped: each message by its key.
    pub is_stepping: bool,
}

/// Reads a recording's file.
///
/// # Errors
/// It cannot be read, is no recording, or one of another version.
pub fn read(path: &Path) -> Result<Recording, Report> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Report::new(FailureKind::Local, format!("{name} cannot be read: {error}")))?;
    let read = Recording::read(&text);
    read.map(|(_, recording)| recording).map_err(|mut report| {
        report.message = format!("{name} cannot be played: {}", report.message);
        report
    })
}

/// Plays a recording in the real terminal until its engineer quits.
///
/// # Errors
/// The terminal cannot be used.
pub async fn play(recording: Recording, playing: Playing) -> Result<(), Report> {
    let trouble = |error: io::Error| {
        Report::new(FailureKind::Local, format!("the terminal cannot be used: {error}"))
            .hint("a recording is played in an interactive terminal")
    };
    let guard = terminal::Guard::enter().map_err(trouble)?;
    let backend = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout()));
    let mut screen = Terminal::new(backend).map_err(trouble)?;
    let played = drive(&mut screen, recording, playing, EventStream::new()).await;
    drop(guard);
    played.map_err(trouble)
}

/// The state of a recording at some place.
pub struct Tape {
    recording: Recording,
    model: Model,
    /// How many messages have been played.
    at: usize,
}

impl Tape {
    /// At the beginning.
    pub fn new(recording: Recording) -> Self {
        Self { model: recording.start.clone(), recording, at: 0 }
    }

    /// The state.
    pub fn model(&self) -> &Model {
        &self.model
    }

    fn next(&self) -> Option<&Heard> {
        self.recording.heard.get(self.at).map(|heard| &**heard)
    }

    /// Plays one message; `false` at the end. What `update` wants done is dropped.
    pub fn step(&mut self) -> bool {
        let Some(heard) = self.recording.heard.get(self.at) else { return false };
        let msg = heard.message(&self.model);
        drop(update(&mut self.model, msg));
        self.at += 1;
        true
    }

    /// Plays to a place, from the beginning when it lies before.
    fn go(&mut self, at: usize) {
        if at < self.at {
            self.model = self.recording.start.clone();
            self.at = 0;
        }
        while self.at < at && self.step() {}
    }

    /// The time between the last message and the next one.
    fn pause(&self) -> Duration {
        let last = self.at.checked_sub(1).and_then(|last| self.recording.heard.get(last));
        match (last, self.next()) {
            (Some(last), Some(next)) => next.at.since(last.at).min(LONGEST),
            _ => Duration::ZERO,
        }
    }

    /// The screen as it was, in the size that it had.
    pub fn screen(&self) -> Buffer {
        let (columns, lines) = self.model.size;
        let mut terminal = match Terminal::new(TestBackend::new(columns.max(1), lines.max(1))) {
            Ok(terminal) => terminal,
            Err(never) => match never {},
        };
        match terminal.draw(|frame| view(&self.model, frame)) {
            Ok(drawn) => drawn.buffer.clone(),
            Err(never) => match never {},
        }
    }

    fn words(&self, speed: f64, is_playing: bool) -> String {
        let heard = &self.recording.heard;
        let (first, last) = (heard.first(), self.at.checked_sub(1).and_then(|last| heard.get(last)));
        let passed = match (first, last) {
            (Some(first), Some(last)) => last.at.since(first.at),
            _ => Duration::ZERO,
        };
        let state = match (self.next(), is_playing) {
            (None, _) => "end",
            (Some(_), true) => "playing",
            (Some(_), false) => "stopped",
        };
        format!(
            " replay {}/{} {} x{speed} {state} | Space play, n next, b back, + - speed, g start, G end, q quit ",
            self.at,
            heard.len(),
            clock(passed),
        )
    }
}

/// Plays a recording on any terminal with any keys, until they quit or end.
///
/// # Errors
/// The terminal cannot be drawn on.
pub async fn drive<B, S>(
    screen: &mut Terminal<B>,
    recording: Recording,
    playing: Playing,
    input: S,
) -> io::Result<()>
where
    B: Backend,
    B::Error: std::fmt::Display,
    S: Stream<Item = io::Result<Event>>,
{
    let mut input = pin!(input.fuse());
    let mut player =
        Player { tape: Tape::new(recording), speed: playing.speed, is_playing: !playing.is_stepping };
    let mut due = Instant::now();
    loop {
        player.draw(screen)?;
        let frame = Instant::now() + FRAME;
        let is_moving = player.is_playing && player.tape.next().is_some();
        tokio::select! {
            biased;
            event = input.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    if player.press(key) {
                        return Ok(());
                    }
                    due = Instant::now();
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
            () = sleep_until(due.max(frame)), if is_moving => {
                // all that is due within this frame, so that a fast tape does not draw each message
                while due <= Instant::now() && player.tape.next().is_some() {
                    player.tape.step();
                    due += player.tape.pause().div_f64(player.speed);
                }
            }
        }
    }
}

struct Player {
    tape: Tape,
    speed: f64,
    is_playing: bool,
}

impl Player {
    /// `true` = quit.
    fn press(&mut self, key: KeyEvent) -> bool {
        let end = self.tape.recording.heard.len();
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Char(' ') => self.is_playing ^= true,
            KeyCode::Char('n') | KeyCode::Right | KeyCode::Enter => {
                self.is_playing = false;
                self.tape.step();
            }
            KeyCode::Char('b') | KeyCode::Left => {
                self.is_playing = false;
                self.tape.go(self.tape.at.saturating_sub(1));
            }
            KeyCode::PageDown => self.tape.go((self.tape.at + 100).min(end)),
            KeyCode::PageUp => self.tape.go(self.tape.at.saturating_sub(100)),
            KeyCode::Char('g') | KeyCode::Home => self.tape.go(0),
            KeyCode::Char('G') | KeyCode::End => self.tape.go(end),
            KeyCode::Char('+' | '=') => self.speed = (self.speed * 2.0).min(1024.0),
            KeyCode::Char('-') => self.speed = (self.speed / 2.0).max(1.0 / 16.0),
            _ => {}
        }
        false
    }

    /// The recorded screen, cut where the terminal is smaller, and below it (or over its last line, when the terminal
    /// is no taller) where the tape is.
    fn draw<B>(&self, screen: &mut Terminal<B>) -> io::Result<()>
    where
        B: Backend,
        B::Error: std::fmt::Display,
    {
        let was = self.tape.screen();
        let words = self.tape.words(self.speed, self.is_playing);
        let drawn = screen.draw(|frame| {
            let area = frame.area();
            let buffer = frame.buffer_mut();
            let shown = area.intersection(was.area);
            for place in shown.positions() {
                buffer[place] = was[place].clone();
            }
            let line = Rect { y: shown.bottom().min(area.bottom().saturating_sub(1)), height: 1, ..area };
            buffer.set_style(line, Style::new().add_modifier(Modifier::REVERSED));
            for place in line.intersection(area).positions() {
                buffer[place].set_symbol(" ");
            }
            buffer.set_stringn(line.x, line.y, &words, usize::from(line.width), Style::new());
        });
        drawn.map(drop).map_err(|error| io::Error::other(error.to_string()))
    }
}
