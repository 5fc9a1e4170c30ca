//! A session of the real console on the simulated cluster is recorded by a key, and played again.

#![expect(clippy::expect_used, reason = "a test stops where something is missing")]

#[path = "console/desk.rs"]
#[expect(dead_code, reason = "used by the tests of the console")]
mod desk;
#[path = "scenarios/stage.rs"]
#[expect(dead_code, clippy::panic, reason = "stories are played elsewhere")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use desk::{Desk, sit};
use pitstop::console::shell::replay::{Playing, Tape, drive, read};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tokio_stream::wrappers::ReceiverStream;

/// The only recording below a directory.
fn recorded(dir: &std::path::Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("recordings")).expect("the directory of recordings");
    let mut files: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

async fn reboot_up_to_the_cordon(desk: &mut Desk) {
    desk.see("can lose 1").await;
    desk.see("cp-1").await;
    desk.line(":reboot cp-1").await;
    desk.see_armed("Enter begins the run").await;
    desk.line("cp-1").await;
    desk.see("preflight waits for you").await;
    desk.keys("N").await;
    desk.see(": lock waits for you").await;
    desk.keys("N").await;
    desk.see_armed("y runs it").await;
    desk.keys("y").await;
    desk.see(": backup waits for you").await;
}

fn lines(screen: &Buffer) -> Vec<String> {
    let row = |y: u16| (0..screen.area.width).map(|x| screen[(x, y)].symbol()).collect::<String>();
    (0..screen.area.height).map(row).collect()
}

#[test]
fn a_recorded_session_is_played_to_the_screen_that_was_seen() {
    let mut seen = String::new();
    let mut path = PathBuf::new();
    sit("default", async |desk, stage| {
        reboot_up_to_the_cordon(desk).await;
        desk.event(Event::Resize(140, 45)).await;
        desk.keys("w").await;
        seen = desk.see("play them with: pitstop replay").await;
        // the directory goes with the stage
        path = std::env::temp_dir().join(format!("pitstop-recorder-{}.jsonl", std::process::id()));
        let file = recorded(stage.dir.path());
        let mode = std::fs::metadata(&file).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::copy(&file, &path).expect("a copy");
        desk.keys("qy").await;
        desk.see_armed("y quits").await;
        desk.keys("y").await;
    });
    let mut tape = Tape::new(read(&path).expect("a recording"));
    while tape.step() {}
    let played = lines(&tape.screen());
    assert!(played.iter().any(|line| line.contains(": backup waits for you")), "{played:#?}");
    // the answer to the key came after the recording; the ages may have gone on by then
    let same = played.iter().zip(seen.lines()).filter(|(played, seen)| {
        let seen = seen.trim_matches('"');
        seen.trim_end() == played.trim_end()
    });
    assert!(same.count() >= 40, "{played:#?}\n{seen}");

    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(text.contains("\"typed\""), "a confirmation was typed");
    std::fs::remove_file(&path).expect("the copy goes");
    play(&text);
}

/// The player itself: to the end and out again, on a terminal of another size.
fn play(text: &str) {
    let (_, recording) = pitstop::console::record::Recording::read(text).expect("a recording");
    let count = recording.heard.len();
    desk::run(async {
        let (keys, input) = tokio::sync::mpsc::channel(8);
        let mut screen = Terminal::new(TestBackend::new(100, 30)).expect("a terminal");
        for code in [KeyCode::Char('G'), KeyCode::Char('q')] {
            keys.send(Ok(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))).await.expect("room");
        }
        let playing = Playing { speed: 1.0, is_stepping: true };
        drive(&mut screen, recording, playing, ReceiverStream::new(input)).await.expect("it is played");
        let last = lines(screen.backend().buffer()).pop().expect("a line");
        assert!(last.contains(&format!("replay {count}/{count}")) && last.contains("end"), "{last}");
    });
}

#[test]
fn a_recording_plays_by_itself_to_its_end() {
    let mut text = String::new();
    sit("default", async |desk, stage| {
        desk.see("can lose 1").await;
        desk.keys("w").await;
        desk.see("play them with: pitstop replay").await;
        text = std::fs::read_to_string(recorded(stage.dir.path())).expect("the file");
        desk.keys("q").await;
    });
    let (_, recording) = pitstop::console::record::Recording::read(&text).expect("a recording");
    let count = recording.heard.len();
    desk::run(async {
        let (keys, input) = tokio::sync::mpsc::channel(8);
        let mut screen = Terminal::new(TestBackend::new(140, 46)).expect("a terminal");
        let wait = async {
            // by the paused clock: longer than the recording takes at this speed
            tokio::time::sleep(std::time::Duration::from_mins(5)).await;
            keys.send(Ok(Event::Key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)))).await
        };
        let playing = Playing { speed: 4.0, is_stepping: false };
        let (played, sent) =
            tokio::join!(drive(&mut screen, recording, playing, ReceiverStream::new(input)), wait);
        played.expect("it is played");
        sent.expect("it still listened: it waits at the end");
        let last = lines(screen.backend().buffer()).pop().expect("a line");
        assert!(last.contains(&format!("replay {count}/{count}")), "{last}");
    });
}
