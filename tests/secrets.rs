//! Nothing that gives access is ever written where people look: every secret of a simulated cluster and of an object
//! store is looked for in everything that a reboot with backup and copy leaves behind.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/served.rs"]
mod served;
#[path = "stores/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the stores, which need more of it")]
mod server;

use served::Served;
use server::{BUCKET, KEY_ID, SECRET, serve};
use std::path::{Path, PathBuf};
use std::process::Output;

const TOKEN: &str = "planted-session-token";

fn run(served: &Served, store: &str, secret: &str, arguments: &[&str]) -> Output {
    served
        .command()
        .args(["--log-level", "trace"])
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_SESSION_TOKEN", TOKEN)
        .env("AWS_ENDPOINT_URL", store)
        .output()
        .expect("pitstop runs")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Every line of key material under a directory, and the values of a kubeconfig that give access.
fn secrets(sim: &Path) -> Vec<String> {
    let mut found = vec![SECRET.to_owned(), TOKEN.to_owned(), "wrong-and-secret".to_owned()];
    for path in files(sim) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let mut is_private = false;
        for line in text.lines() {
            is_private =
                (is_private || line.contains("PRIVATE KEY-----") || line.contains("BEGIN CERTIFICATE"))
                    && !line.contains("-----END");
            if is_private && !line.starts_with("-----") {
                found.push(line.trim().to_owned());
            }
            for key in ["client-key-data:", "client-certificate-data:", "token:", "password:"] {
                found.extend(line.trim().strip_prefix(key).map(|value| value.trim().to_owned()));
            }
        }
    }
    found.retain(|secret| secret.len() >= 12);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gives_access_is_never_written() {
    let served = Served::start("default");
    let home = served.home();
    let store = serve(&home.join("s3")).await;
    let to = format!("s3://{BUCKET}/etcd");
    let config = served.sim().join("config.toml");
    let text = std::fs::read_to_string(&config).expect("configuration");
    let table = "[cluster.pitstop-sim.snapshot]\n";
    assert!(text.contains(table), "{text}");
    let text = text.replace(table, &format!("{table}upload = \"{to}\"\n"));
    std::fs::write(&config, text).expect("written");

    let mut said = Vec::new();
    let good = run(&served, &store, SECRET, &["snapshot"]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let reboot = run(&served, &store, SECRET, &["run", "reboot", "cp-2", "--yes", "-o", "json"]);
    assert_eq!(reboot.status.code(), Some(0), "{reboot:?}");
    let refused = run(&served, &store, "wrong-and-secret", &["snapshot"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let words = String::from_utf8_lossy(&[&refused.stdout[..], &refused.stderr].concat()).into_owned();
    assert!(words.contains("the store refused the credentials"), "{words}");
    let shown = run(&served, &store, SECRET, &["runs", "show", "-o", "json"]);
    for output in [good, reboot, refused, shown] {
        said.push(("output".to_owned(), [output.stdout, output.stderr].concat()));
    }
    for path in files(&home.join("state")) {
        // the archive is what holds the keys, and nobody but its owner may read it
        if path.extension().is_none_or(|extension| extension != "tar") {
            said.push((path.display().to_string(), std::fs::read(&path).expect("read")));
        }
    }
    assert!(said.iter().any(|(place, _)| place.contains(".log")), "there is a log");
    let secrets = secrets(&served.sim());
    assert!(secrets.len() > 10, "{} secrets were planted", secrets.len());
    for (place, bytes) in &said {
        let text = String::from_utf8_lossy(bytes);
        let leaked = secrets.iter().find(|secret| text.contains(secret.as_str()));
        assert!(leaked.is_none(), "{place} holds {leaked:?}");
    }
}
