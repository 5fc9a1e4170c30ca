//! The real program in a real terminal: keys go in, what a person would see comes out.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A text that is not there after this time does not come any more.
const LIMIT: Duration = Duration::from_mins(2);

/// What the terminal shows, kept up to date by its reader.
struct Shown {
    parser: Mutex<vt100::Parser>,
    /// Every byte that came.
    bytes: Mutex<Vec<u8>>,
    changed: Condvar,
}

/// A terminal with the program in it.
pub struct Terminal {
    shown: Arc<Shown>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    reader: Option<JoinHandle<()>>,
}

fn size(columns: u16, lines: u16) -> PtySize {
    PtySize { rows: lines, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Terminal {
    /// Starts the program with arguments; its state and home are in `home`.
    pub fn start(home: &Path, columns: u16, lines: u16, arguments: &[&str]) -> Self {
        Self::start_with(home, columns, lines, arguments, &[])
    }

    /// The same with more in its environment.
    pub fn start_with(
        home: &Path,
        columns: u16,
        lines: u16,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Self {
        let pair = native_pty_system().openpty(size(columns, lines)).expect("a pty");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_pitstop"));
        command.args(arguments);
        command.env_clear();
        for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("PATH", "/usr/bin:/bin")] {
            command.env(name, value);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        command.env("HOME", home);
        command.env("XDG_STATE_HOME", home.join("state"));
        command.cwd(home);
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let shown = Arc::new(Shown {
            parser: Mutex::new(vt100::Parser::new(lines, columns, 0)),
            bytes: Mutex::default(),
            changed: Condvar::new(),
        });
        let reader = pair.master.try_clone_reader().expect("a reader");
        let reader = std::thread::spawn({
            let shown = shown.clone();
            move || follow(reader, &shown)
        });
        let keys = pair.master.take_writer().expect("a writer");
        Self { shown, master: pair.master, keys, child, reader: Some(reader) }
    }

    /// Presses keys.
    pub fn keys(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).and_then(|()| self.keys.flush()).expect("the program listens");
    }

    /// Everything that the program has written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.shown.bytes.lock().expect("the bytes").clone()
    }

    /// Whether the program has the alternate screen.
    pub fn is_alternate(&self) -> bool {
        self.shown.parser.lock().expect("the screen").screen().alternate_screen()
    }

    /// Waits until the screen is as wished; never by time, except to give up.
    pub fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let parser = self.shown.parser.lock().expect("the screen");
        let waits = |parser: &mut vt100::Parser| !is_so(&parser.screen().contents());
        let (parser, _) = self.shown.changed.wait_timeout_while(parser, LIMIT, waits).expect("the screen");
        let text = parser.screen().contents();
        assert!(is_so(&text), "never: {what}\n{text}");
    }

    /// Waits until a text is on the screen.
    pub fn see(&self, text: &str) {
        self.until(&format!("{text:?} is shown"), |screen| screen.contains(text));
    }

    /// Waits until a text is gone.
    pub fn gone(&self, text: &str) {
        self.until(&format!("{text:?} is gone"), |screen| !screen.contains(text));
    }

    /// Waits until a dialog with this text can be confirmed.
    pub fn see_armed(&self, text: &str) {
        self.until(&format!("{text:?} is armed"), |screen| {
            screen.contains(text) && !screen.contains("in a moment")
        });
    }

    /// Makes the terminal another size.
    pub fn resize(&self, columns: u16, lines: u16) {
        self.shown.parser.lock().expect("the screen").screen_mut().set_size(lines, columns);
        self.master.resize(size(columns, lines)).expect("another size");
    }

    /// Sends the program a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.process_id().expect("a process").to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for the program's end and its last output; the exit code.
    pub fn end(&mut self) -> u32 {
        let status = self.child.wait().expect("the program ends");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        status.exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// What the program writes before a frame; a command that writes lines never does.
const FRAME: &[u8] = b"\x1b[?2026";
/// What the program writes after each frame: a frame is shown as a whole.
const FRAME_END: &[u8] = b"\x1b[?2026l";

/// Feeds the screen, frame by frame, until the program's side is closed.
fn follow(mut from: Box<dyn Read + Send>, shown: &Shown) {
    let (mut buffer, mut waiting) = ([0; 8192], Vec::new());
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        shown.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
        waiting.extend_from_slice(&buffer[..count]);
        let end = waiting.windows(FRAME_END.len()).rposition(|bytes| bytes == FRAME_END);
        let is_text = !waiting.windows(FRAME.len()).any(|bytes| bytes == FRAME);
        if let Some(end) = end.or(is_text.then_some(waiting.len())) {
            show(shown, &waiting[..end]);
            waiting.drain(..end);
        }
    }
    show(shown, &waiting);
}

fn show(shown: &Shown, bytes: &[u8]) {
    // a test that failed has poisoned it: the reader goes on, so that the program is not stopped by a full pipe
    let mut parser = shown.parser.lock().unwrap_or_else(PoisonError::into_inner);
    parser.process(bytes);
    shown.changed.notify_all();
}
