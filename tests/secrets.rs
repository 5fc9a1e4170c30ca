//! Nothing that gives access is ever written where people look: every secret around a simulated cluster is looked for in everything
//! that a reboot with backup and copy, a power cycle, failures and a recorded session of the console leave behind and say.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "secrets/planted.rs"]
mod planted;
#[path = "stores/proxy.rs"]
#[expect(dead_code, reason = "shared with the tests of the stores, which need more of it")]
mod proxy;
#[path = "power/redfish.rs"]
#[expect(dead_code, reason = "shared with the tests of power, which need more of it")]
mod redfish;
#[path = "support/served.rs"]
#[expect(dead_code, reason = "the binary is begun with more around it here")]
mod served;
#[path = "stores/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the stores, which need more of it")]
mod server;
#[path = "pty/terminal.rs"]
#[expect(dead_code, reason = "shared with the tests of the terminal, which need more of it")]
mod terminal;

use planted::{PASSPHRASE, Site, WRONG_KEY, files};
use std::process::{Child, Output, Stdio};
use terminal::Terminal;

/// What was said, and where.
type Said = Vec<(String, Vec<u8>)>;

fn begin(site: &Site, arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    begin_with(site, ["kubeconfig", "config.toml"], arguments, environment)
}

fn begin_with(site: &Site, files: [&str; 2], arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    let mut command = site.command(files);
    command.args(arguments).envs(environment.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pitstop runs")
}

fn say(said: &mut Said, what: &str, output: Output) -> String {
    let bytes = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&bytes).into_owned();
    said.push((what.to_owned(), bytes));
    words
}

fn run(site: &Site, said: &mut Said, arguments: &[&str], code: i32) -> String {
    let output = begin(site, arguments, &[]).wait_with_output().expect("it ends");
    let found = output.status.code();
    let words = say(said, &arguments.join(" "), output);
    assert_eq!(found, Some(code), "{arguments:?}: {words}");
    words
}

fn terminal(site: &Site, arguments: &[&str]) -> Terminal {
    let sim = site.served.sim();
    let [kubeconfig, config] = ["kubeconfig", "config.toml"].map(|name| sim.join(name).display().to_string());
    let common = ["--kubeconfig", &kubeconfig, "--config", &config, "--log-level", "trace"];
    let arguments = [&common[..], arguments].concat();
    Terminal::start_with(site.served.home(), 140, 45, &arguments, site.environment())
}

/// A reboot with all that belongs to it; the key of SSH asks for its passphrase.
fn reboot(site: &Site, said: &mut Said) {
    let mut terminal = terminal(site, &["run", "reboot", "cp-2", "--yes"]);
    terminal.see("passphrase of the key");
    terminal.keys(&format!("{PASSPHRASE}\r"));
    let code = terminal.end();
    let words = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    said.push(("the terminal of a reboot".to_owned(), terminal.bytes()));
    assert_eq!(code, 0, "{words}");
    for part in
        ["verified snapshot", "ConfigMap kubeadm-config", "sealed for 1 reader", "read back and equal"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
}

/// The console: a passphrase in its masked field, a management controller asked, and all of it recorded.
fn console(site: &Site, said: &mut Said) {
    let mut terminal = terminal(site, &[]);
    terminal.see("can lose 1");
    terminal.keys("b");
    terminal.see("a answers");
    terminal.keys("a");
    terminal.see("An SSH key needs its passphrase");
    terminal.keys(PASSPHRASE);
    terminal.see_armed("Enter opens the key");
    terminal.keys("\r");
    terminal.gone("An SSH key needs its passphrase");
    terminal.keys(":power worker-1\r");
    terminal.see("the power of worker-1");
    terminal.keys("w");
    terminal.see("play them with: pitstop replay");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
    said.push(("the terminal of the console".to_owned(), terminal.bytes()));
}

/// What does not work says so without what it was tried with.
fn failures(site: &Site, said: &mut Said) {
    let begun = [
        (
            "a wrong key",
            begin(site, &["snapshot"], &[("AWS_SECRET_ACCESS_KEY", WRONG_KEY)]),
            "refused the credentials",
        ),
        (
            "Google",
            begin(site, &["snapshot", "--to", "gs://backups/etcd"], &[]),
            "could not copy gs://backups/etcd",
        ),
        (
            "Azure",
            begin(site, &["snapshot", "--to", "az://backups/etcd"], &[]),
            "could not copy az://backups/etcd",
        ),
        ("a broken plugin", begin_with(site, ["kubeconfig-broken", "config.toml"], &["check"], &[]), ""),
        (
            "a secret key as a reader",
            begin_with(site, ["kubeconfig", "config-mistaken.toml"], &["snapshot"], &[]),
            "this is a secret key of age",
        ),
    ];
    for (what, child, expected) in begun {
        let output = child.wait_with_output().expect("it ends");
        let code = output.status.code();
        let words = say(said, what, output);
        assert!(code == Some(1) && words.contains(expected), "{what}: {code:?} {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gives_access_is_never_written() {
    let site = Site::new().await;
    let mut said = Said::new();
    reboot(&site, &mut said);
    run(&site, &mut said, &["snapshot", "-o", "json"], 0);
    run(&site, &mut said, &["run", "power-cycle", "worker-1", "--yes"], 0);
    assert_eq!(site.bmc.resets(), ["ForceRestart"]);
    failures(&site, &mut said);
    console(&site, &mut said);
    for arguments in [
        &["runs", "list"][..],
        &["runs", "show", "-o", "json"],
        &["runs", "report"],
        &["runs", "report", "-o", "json"],
        &["info"],
        &["plan", "restore"],
    ] {
        run(&site, &mut said, arguments, 0);
    }
    for body in site.posted.lock().expect("lock").iter() {
        said.push(("a notice".to_owned(), body.clone().into_bytes()));
    }
    let places = [
        site.served.home().join("state"),
        site.served.sim().join("snapshots"),
        site.served.home().join("s3"),
    ];
    for path in places.iter().flat_map(|place| files(place)) {
        said.push((path.display().to_string(), std::fs::read(&path).expect("read")));
    }
    let kinds = [".log", "/runs/", "recordings", ".db.age", ".tar.age", ".tar.age.json", "a notice"];
    for kind in kinds {
        assert!(
            said.iter().any(|(place, _)| place.contains(kind)),
            "nothing of {kind}: {:?}",
            said.iter().map(|(place, _)| place).collect::<Vec<_>>()
        );
    }
    assert!(site.secrets() > 40, "{} secrets were planted", site.secrets());
    for (place, bytes) in &said {
        assert!(site.leak(bytes).is_none(), "{place} holds {:?}", site.leak(bytes));
    }
}
