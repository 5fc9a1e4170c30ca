//! What SSH asks, answered in the real console: a passphrase and an unknown host; and that nothing of it is told to anybody.

use crate::desk::sit;
use crossterm::event::{Event, KeyCode, KeyModifiers};
use std::path::Path;

const PLANTED: &str = "correct-horse-PLANTED";

/// Every file below a directory that holds a text.
fn holding(dir: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).contains(text) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_passphrase_opens_the_key_and_is_nowhere_to_be_found() {
    sit("default", async |desk, stage| {
        let key = stage.dir.path().join("id_ed25519");
        let locked = std::process::Command::new("ssh-keygen")
            .args(["-q", "-p", "-N", PLANTED, "-f"])
            .arg(&key)
            .output()
            .expect("ssh-keygen");
        assert!(locked.status.success(), "{locked:?}");
        desk.see("ssh asks: a").await;
        desk.keys("a").await;
        desk.see("An SSH key needs its passphrase").await;
        desk.keys("wrong").await;
        let screen = desk.see("*****").await;
        assert!(!screen.contains("wrong"));
        desk.key(KeyCode::Enter, KeyModifiers::NONE).await;
        desk.see("the passphrase is wrong").await;
        // pasted, as from a safe
        desk.event(Event::Paste(format!("{PLANTED}\n"))).await;
        desk.see("********").await;
        desk.key(KeyCode::Enter, KeyModifiers::NONE).await;
        desk.gone("An SSH key needs its passphrase").await;
        desk.see("ssh ●").await;
        desk.gone("ssh asks: a").await;
        desk.key(KeyCode::Char('w'), KeyModifiers::NONE).await;
        desk.see("play them with").await;
        assert_eq!(holding(stage.dir.path(), PLANTED), Vec::<std::path::PathBuf>::new());
        assert!(!desk.see("ssh ●").await.contains(PLANTED));
        desk.keys("q").await;
    });
}

#[test]
fn an_unknown_host_is_answered_for_by_its_name() {
    sit("minimal", async |desk, stage| {
        std::fs::write(stage.dir.path().join("known_hosts"), "").expect("nobody is known");
        desk.see("ssh asks: a").await;
        desk.keys("a").await;
        let screen = desk.see("Is this the key of").await;
        assert!(screen.contains("SHA256:") && screen.contains("ssh-keygen -lf"), "{screen}");
        let name = screen
            .split("the host of ")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .expect("a node");
        let name = name.to_owned();
        desk.see_armed("Is this the key of").await;
        if screen.contains("Type the node's name") {
            desk.line(&name).await;
        } else {
            desk.keys("y").await;
        }
        desk.see("is recorded now").await;
        let recorded = std::fs::read_to_string(stage.dir.path().join("state/known_hosts")).expect("ours");
        assert_eq!(recorded.lines().count(), 1, "{recorded}");
        desk.see("ssh ●").await;
        desk.keys("q").await;
    });
}

#[test]
fn hosts_say_whether_they_need_a_reboot_when_asked() {
    sit("default", async |desk, stage| {
        desk.see("ssh ●").await;
        stage.sim.host("worker-2").expect("a host").change_faults(|faults| faults.reboot_required = true);
        desk.gone("REBOOT").await;
        desk.keys("b").await;
        desk.see("REBOOT").await;
        desk.see("needed").await;
        desk.see("worker-2 needs a reboot: /run/reboot-required is there, by 1 package").await;
        desk.keys("q").await;
    });
}
