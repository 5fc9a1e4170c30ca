//! Copies to an object store: a real S3 server, wrong credentials, lost and altering lines.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "stores/blobs.rs"]
mod blobs;
#[path = "stores/clouds.rs"]
mod clouds;
#[path = "support/permits.rs"]
mod permits;
#[path = "stores/proxy.rs"]
mod proxy;
#[path = "stores/sealed.rs"]
mod sealed;
#[path = "support/served.rs"]
mod served;
#[path = "stores/server.rs"]
mod server;

use pitstop::backend::error::Error;
use pitstop::backend::store::remote::Copied;
use pitstop::backend::store::{S3Options, Upload};
use pitstop::domain::guard::Permit;
use pitstop::domain::plan::Kind;
use pitstop::domain::report::FailureKind;
use server::{BUCKET, KEY_ID, Line, SECRET, line, serve};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use tokio_util::sync::CancellationToken;

/// Two parts, the last one short.
const SIZE: usize = 9 * 1024 * 1024 + 17;
const NAME: &str = "etcd-1.db";

struct Bench {
    dir: tempfile::TempDir,
    file: PathBuf,
    endpoint: String,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let bytes: Vec<u8> = (0..SIZE).map(|at| u8::try_from(at * 31 % 251).expect("a byte")).collect();
        let file = dir.path().join(NAME);
        std::fs::write(&file, &bytes).expect("write");
        let sha256 =
            Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let sidecar = format!("{{\"sha256\": \"{sha256}\", \"size\": {SIZE}, \"member\": \"cp-1\"}}\n");
        std::fs::write(dir.path().join(format!("{NAME}.json")), sidecar).expect("write");
        let endpoint = serve(&dir.path().join("s3")).await;
        let bench = Self { dir, file, endpoint };
        bench.credentials(SECRET);
        bench
    }

    fn credentials(&self, secret: &str) {
        let text = format!("[backup]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {secret}\n");
        std::fs::write(self.dir.path().join("credentials"), text).expect("write");
    }

    fn upload(&self, to: &str, endpoint: &str) -> Upload {
        Upload {
            to: to.parse().expect("a place"),
            s3: S3Options {
                endpoint: Some(endpoint.to_owned()),
                profile: Some("backup".into()),
                credentials: Some(self.dir.path().join("credentials")),
                ..S3Options::default()
            },
        }
    }

    async fn copy(&self, endpoint: &str) -> Result<Copied, Error> {
        let upload = self.upload(&format!("s3://{BUCKET}/etcd/prod"), endpoint);
        upload.copy(&self.file, |_, _| {}, &CancellationToken::new(), &permit()).await
    }

    /// What lies in the bucket; the server's own notes begin with a dot.
    fn objects(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut dirs = vec![self.dir.path().join("s3").join(BUCKET)];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).expect("dir") {
                let path = entry.expect("entry").path();
                let name = path.file_name().expect("name").to_string_lossy().into_owned();
                match path.is_dir() {
                    true => dirs.push(path),
                    false if name.starts_with('.') => {}
                    false => names.push(name),
                }
            }
        }
        names.sort();
        names
    }
}

fn permit() -> Permit {
    permits::permit(Kind::Snapshot, &[])
}

fn is_discreet(error: &Error) {
    let words = format!("{error} {error:?}");
    assert!(!words.contains(SECRET) && !words.contains(KEY_ID) && !words.contains("wrong-secret"), "{words}");
}

#[tokio::test]
async fn a_copy_is_read_back_and_has_its_sidecar() {
    let bench = Bench::new().await;
    let told = Mutex::new(Vec::new());
    let progress = |done, total| told.lock().expect("lock").push((done, total));
    let upload = bench.upload(&format!("s3://{BUCKET}/etcd/prod"), &bench.endpoint);
    let copied =
        upload.copy(&bench.file, progress, &CancellationToken::new(), &permit()).await.expect("copied");
    assert_eq!(copied.at, format!("s3://{BUCKET}/etcd/prod/{NAME}"));
    assert_eq!(copied.size, SIZE as u64);
    let told = told.into_inner().expect("lock");
    assert_eq!(told.last(), Some(&(2 * SIZE as u64, 2 * SIZE as u64)), "sent and read back");
    let there = bench.dir.path().join("s3").join(BUCKET).join("etcd/prod");
    assert_eq!(bench.objects(), [NAME.to_owned(), format!("{NAME}.json")]);
    for name in [NAME.to_owned(), format!("{NAME}.json")] {
        let (here, there) = (bench.dir.path().join(&name), there.join(&name));
        assert_eq!(std::fs::read(here).expect("here"), std::fs::read(there).expect("there"), "{name}");
    }
    let again = bench.copy(&bench.endpoint).await.expect("an earlier try of the same file counts");
    assert_eq!(again.size, SIZE as u64);
    let other = there.join(format!("{NAME}.json"));
    std::fs::write(&other, "{}").expect("another sidecar");
    let again = bench.copy(&bench.endpoint).await.expect_err("another one is there");
    assert_eq!(again.kind, FailureKind::Conflict);
    assert!(again.to_string().contains("not overwritten"), "{again}");
}

#[tokio::test]
async fn wrong_credentials_are_one_clear_sentence() {
    let bench = Bench::new().await;
    bench.credentials("wrong-secret");
    let error = bench.copy(&bench.endpoint).await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Unauthorized, "{error}");
    let words = error.to_string();
    assert!(words.contains("the store refused the credentials") && words.lines().count() == 1, "{words}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("~/.aws/credentials")), "{error:?}");
    is_discreet(&error);
    assert_eq!(bench.objects(), Vec::<String>::new());
}

#[tokio::test]
async fn a_connection_lost_on_the_way_is_tried_again() {
    let bench = Bench::new().await;
    let (endpoint, connections) = line(&bench.endpoint, Line::Breaks(2)).await;
    bench.copy(&endpoint).await.expect("copied in the end");
    assert!(connections.load(Ordering::SeqCst) > 2);
    assert_eq!(bench.objects(), [NAME.to_owned(), format!("{NAME}.json")]);
}

#[tokio::test]
async fn a_line_that_stays_broken_is_said_and_nothing_counts() {
    let bench = Bench::new().await;
    let (endpoint, _) = line(&bench.endpoint, Line::Breaks(usize::MAX)).await;
    let error = bench.copy(&endpoint).await.expect_err("lost");
    assert_eq!(error.kind, FailureKind::Unreachable, "{error:?}");
    assert!(error.to_string().contains("the connection was lost"), "{error}");
    is_discreet(&error);
    assert_eq!(bench.objects(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_there_is_said() {
    let bench = Bench::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}", listener.local_addr().expect("address"));
    drop(listener);
    let error = bench.copy(&nobody).await.expect_err("nobody");
    assert_eq!(error.kind, FailureKind::Unreachable, "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn what_came_back_otherwise_is_refused_and_taken_away() {
    let bench = Bench::new().await;
    let (endpoint, _) = line(&bench.endpoint, Line::Alters).await;
    let error = bench.copy(&endpoint).await.expect_err("altered");
    assert!(error.to_string().contains("what came back is not what was sent"), "{error}");
    assert_eq!(bench.objects(), Vec::<String>::new());
}

#[tokio::test]
async fn a_cancelled_copy_leaves_nothing() {
    let bench = Bench::new().await;
    let upload = bench.upload(&format!("s3://{BUCKET}"), &bench.endpoint);
    let cancel = CancellationToken::new();
    let progress = |_, _| cancel.cancel();
    let error = upload.copy(&bench.file, progress, &cancel, &permit()).await.expect_err("cancelled");
    assert_eq!(error.kind, FailureKind::Cancelled);
    assert_eq!(bench.objects(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_changed_here_is_not_sent_as_good() {
    let bench = Bench::new().await;
    let mut bytes = std::fs::read(&bench.file).expect("read");
    bytes[9_000_000] ^= 1;
    std::fs::write(&bench.file, bytes).expect("write");
    let error = bench.copy(&bench.endpoint).await.expect_err("changed");
    assert!(error.to_string().contains("not the one that its sidecar describes"), "{error}");
    assert_eq!(bench.objects(), Vec::<String>::new());
}

#[tokio::test]
async fn a_directory_takes_copies_too() {
    let bench = Bench::new().await;
    let other = bench.dir.path().join("other");
    let to = format!("file://{}", other.display());
    let copied =
        bench.upload(&to, "").copy(&bench.file, |_, _| {}, &CancellationToken::new(), &permit()).await;
    assert_eq!(Path::new(&copied.expect("copied").at), other.join(NAME));
    assert_eq!(std::fs::read(other.join(NAME)).expect("read"), std::fs::read(&bench.file).expect("read"));
    assert!(other.join(format!("{NAME}.json")).exists());
    let again = || async {
        bench.upload(&to, "").copy(&bench.file, |_, _| {}, &CancellationToken::new(), &permit()).await
    };
    again().await.expect("an earlier try of the same file counts");
    std::fs::write(other.join(NAME), "spoiled").expect("write");
    assert_eq!(again().await.expect_err("not what the sidecar says").kind, FailureKind::Conflict);
    let denied = permits::permit(Kind::Drain, &["w"]);
    let error = bench.upload(&to, "").copy(&bench.file, |_, _| {}, &CancellationToken::new(), &denied).await;
    assert_eq!(error.expect_err("denied").kind, FailureKind::Denied);
}
