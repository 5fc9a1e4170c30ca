//! The real program in a real terminal.

#![expect(clippy::expect_used, reason = "a test stops where something is missing")]

#[path = "support/steps.rs"]
mod steps;
#[path = "pty/terminal.rs"]
#[expect(dead_code, reason = "another test looks at the bytes")]
mod terminal;

use steps::STEPS;
use terminal::Terminal;

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn a_control_plane_is_rebooted_by_keys() {
    let home = home();
    let mut terminal = Terminal::start(home.path(), 120, 40, &["demo", "--speed", "20"]);
    for filled in ["etcd 3/3, can lose 1", "cp-1", "worker-3", "data/postgres", "context pitstop-sim"] {
        terminal.see(filled);
    }
    assert!(terminal.is_alternate());
    terminal.keys("R");
    terminal.see_armed("Enter begins the run");
    terminal.keys("cp-1\r");
    for (name, changes) in STEPS {
        terminal.see(&format!(": {name} waits for you"));
        terminal.keys("N");
        if changes {
            terminal.see_armed("y runs it");
            terminal.keys("y");
        }
        terminal.gone(&format!(": {name} waits for you"));
    }
    terminal.see("reboot done in");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.is_alternate());
    let snapshots = home.path().join("state/pitstop/demo/snapshots");
    let files = std::fs::read_dir(&snapshots).expect("the directory of snapshots");
    assert!(files.flatten().any(|file| file.path().extension().is_some_and(|kind| kind == "db")));
}

#[test]
fn a_missing_kubeconfig_is_shown_and_the_console_stays() {
    let home = home();
    let mut terminal = Terminal::start(home.path(), 100, 30, &["--kubeconfig", "/nonexistent"]);
    terminal.see("could not read the kubeconfig /nonexistent");
    terminal.keys("?");
    terminal.see("The open run");
    terminal.keys("q");
    terminal.gone("The open run");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.is_alternate());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let home = home();
    let config = home.path().join("kubeconfig");
    // the discard port of the loopback interface: nothing listens there
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
        clusters: [{name: lab, cluster: {server: 'https://127.0.0.1:9'}}]\n\
        users: [{name: me, user: {token: t}}]\n\
        contexts: [{name: lab, context: {cluster: lab, user: me}}]\n";
    std::fs::write(&config, text).expect("a kubeconfig");
    let mut terminal =
        Terminal::start(home.path(), 120, 40, &["--kubeconfig", &config.display().to_string()]);
    terminal.see("127.0.0.1:9");
    terminal.see("lab");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn every_size_is_drawn_and_a_signal_gives_the_terminal_back() {
    let home = home();
    let mut terminal = Terminal::start(home.path(), 200, 60, &["demo", "--speed", "20"]);
    terminal.see("worker-3");
    terminal.resize(80, 24);
    terminal.until("the smaller screen is drawn", |screen| {
        screen.contains("worker-3") && screen.lines().count() <= 24
    });
    terminal.resize(50, 10);
    terminal.see("50x10");
    terminal.signal("HUP");
    assert_eq!(terminal.end(), 0);
    assert!(!terminal.is_alternate());
}

#[test]
fn without_a_terminal_it_says_so() {
    let home = home();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pitstop"))
        .env("HOME", home.path())
        .env("XDG_STATE_HOME", home.path())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "no escape sequences into a pipe");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("not a terminal"), "{words}");
}
