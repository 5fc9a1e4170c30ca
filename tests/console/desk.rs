//! A desk to sit at: keys go in, the screen comes out.

use crate::stage::Stage;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use futures::FutureExt;
use pitstop::backend::clock::now;
use pitstop::backend::herald::Herald;
use pitstop::console::model::{Model, Setup};
use pitstop::console::shell::app::drive;
use pitstop::console::shell::outside::{Mark, Outside};
use pitstop::console::shell::{Connect, ConsoleOptions};
use pitstop::domain::notice::Cause;
use ratatui::Terminal;
use ratatui::backend::{Backend, ClearType, TestBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// So much virtual time may pass before a text is there.
const LIMIT: Duration = Duration::from_mins(20);

/// Keys and screen of a console under way.
pub struct Desk {
    keys: Option<mpsc::Sender<io::Result<Event>>>,
    screen: watch::Receiver<String>,
    /// What was copied.
    pub copied: Arc<Mutex<Vec<String>>>,
    /// What the terminal was sent beside its cells.
    pub said: Arc<Mutex<String>>,
}

impl Desk {
    pub async fn event(&self, event: Event) {
        let keys = self.keys.as_ref().expect("the terminal is there");
        keys.send(Ok(event)).await.expect("the console listens");
    }

    pub async fn key(&self, code: KeyCode, modifiers: KeyModifiers) {
        self.event(Event::Key(KeyEvent::new(code, modifiers))).await;
    }

    /// Types characters.
    pub async fn keys(&mut self, text: &str) {
        for ch in text.chars() {
            self.key(KeyCode::Char(ch), KeyModifiers::NONE).await;
        }
    }

    /// Types a line.
    pub async fn line(&mut self, text: &str) {
        self.keys(text).await;
        self.key(KeyCode::Enter, KeyModifiers::NONE).await;
    }

    /// The terminal goes away.
    pub fn hang_up(&mut self) {
        self.keys = None;
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        let seen = tokio::time::timeout(LIMIT, self.screen.wait_for(|screen| is_so(screen))).await;
        let seen = seen.is_ok_and(|result| result.is_ok());
        assert!(seen, "never: {what}\n{}", *self.screen.borrow());
    }

    /// Waits until a text is on the screen; all that is on it then.
    pub async fn see(&mut self, text: &str) -> String {
        self.until(&format!("{text:?} is shown"), |screen| screen.contains(text)).await;
        self.screen.borrow().clone()
    }

    /// Waits until a dialog with this text can be confirmed.
    pub async fn see_armed(&mut self, text: &str) {
        self.until(&format!("{text:?} is armed"), |screen| {
            screen.contains(text) && !screen.contains("in a moment")
        })
        .await;
    }

    /// Waits until a text is gone.
    pub async fn gone(&mut self, text: &str) {
        self.until(&format!("{text:?} is gone"), |screen| !screen.contains(text)).await;
    }
}

/// Opens the console on a scenario, plays a script, and waits until the console has ended by it.
pub fn sit(scenario: &str, script: impl AsyncFnOnce(&mut Desk, &Stage)) -> Model {
    run(async {
        let stage = Stage::new(scenario);
        let backends = stage.backends.clone();
        let connect: Connect = Arc::new(move || {
            let backends = backends.clone();
            async move { Ok(backends) }.boxed()
        });
        open(connect, stage.dir.path(), async |desk| script(desk, &stage).await).await
    })
}

/// A runtime whose clock runs as fast as there is nothing to do.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

/// Opens the console, plays a script, and waits until the console has ended by it. Recordings go to `dir`.
pub async fn open(connect: Connect, dir: &Path, script: impl AsyncFnOnce(&mut Desk)) -> Model {
    let (keys, input) = mpsc::channel(64);
    let (show, screen) = watch::channel(String::new());
    let copied: Arc<Mutex<Vec<String>>> = Arc::default();
    let said: Arc<Mutex<String>> = Arc::default();
    let mut desk = Desk { keys: Some(keys), screen, copied: copied.clone(), said: said.clone() };
    let mut terminal = Terminal::new(Screen { inner: TestBackend::new(140, 45), show }).expect("a terminal");
    let herald = Herald { bell: true, title: true, ..Herald::default() };
    let tells = vec![Cause::NeedsYou, Cause::Failed, Cause::Ended];
    let setup = Setup { tells, tells_after: Duration::from_secs(30), ..Setup::default() };
    let model = Model::new(setup.clone(), (140, 45), now());
    let options = ConsoleOptions { setup, connect, orphans: Vec::new(), herald, state_dir: dir.to_owned() };
    let console =
        drive(&mut terminal, model, ReceiverStream::new(input), options, Clipboard { copied, said });
    let script = async {
        script(&mut desk).await;
        desk
    };
    let (ended, _desk) = tokio::join!(console, script);
    ended.expect("the console ends well")
}

struct Clipboard {
    copied: Arc<Mutex<Vec<String>>>,
    said: Arc<Mutex<String>>,
}

impl Outside for Clipboard {
    fn copy(&mut self, text: &str) -> io::Result<()> {
        self.copied.lock().expect("the clipboard").push(text.to_owned());
        Ok(())
    }

    fn say(&mut self, escapes: &str) -> io::Result<()> {
        self.said.lock().expect("the terminal").push_str(escapes);
        Ok(())
    }

    fn frame(&mut self, _: Mark) -> io::Result<()> {
        Ok(())
    }
}

/// A screen in memory that is published after each frame.
struct Screen {
    inner: TestBackend,
    show: watch::Sender<String>,
}

impl Backend for Screen {
    type Error = Infallible;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> Result<(), Infallible> {
        self.inner.draw(content)
    }

    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        self.inner.hide_cursor()
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        self.inner.show_cursor()
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        self.inner.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> Result<(), Infallible> {
        self.inner.set_cursor_position(position)
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.inner.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> Result<(), Infallible> {
        self.inner.clear_region(region)
    }

    fn size(&self) -> Result<Size, Infallible> {
        self.inner.size()
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        self.inner.window_size()
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.show.send_replace(self.inner.to_string());
        self.inner.flush()
    }
}
