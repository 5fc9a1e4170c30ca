//! The binary itself with stores that are configured by the environment: Google's, Azure's, and any behind a proxy.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use super::blobs::{ACCOUNT, Blobs};
use super::proxy::{Proxy, with_tls};
use super::served::Served;
use super::server::{BUCKET, KEY_ID, SECRET, serve};
use std::path::Path;
use std::process::Output;

/// `pitstop snapshot` with a copy, and this environment besides.
fn snapshot(served: &Served, to: &str, environment: &[(&str, &str)]) -> (Output, String) {
    let mut command = served.command();
    command.args(["snapshot", "--to", to]).envs(environment.iter().copied());
    let output = command.output().expect("pitstop runs");
    let words = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    (output, words)
}

/// The names of what lies in a bucket of the file system.
fn objects(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(BUCKET).join("etcd")).expect("the prefix");
    let names = entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// A snapshot of two parts at least, and its sidecar.
fn is_whole(blobs: &Blobs) -> bool {
    let sizes: Vec<usize> = blobs.blobs().values().map(|blob| blob.len()).collect();
    sizes.len() == 2 && sizes[0] > 8 * 1024 * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn google_takes_a_copy_in_parts_and_broken_credentials_are_one_sentence() {
    let served = Served::start("default");
    let blobs = Blobs::default();
    let store = blobs.serve().await;
    let account = served.home().join("account.json");
    let text = serde_json::json!({
        "gcs_base_url": store, "disable_oauth": true, "client_email": "a", "private_key": "", "private_key_id": "",
    });
    std::fs::write(&account, text.to_string()).expect("write");
    let to = format!("gs://{BUCKET}/etcd");
    let environment = [("GOOGLE_SERVICE_ACCOUNT", account.to_str().expect("text"))];
    let (output, words) = snapshot(&served, &to, &environment);
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(words.contains("read back and equal") && is_whole(&blobs), "{words}");

    std::fs::write(&account, "{\"private_key\": \"planted-key\"").expect("write");
    let (output, words) = snapshot(&served, &to, &environment);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("the credentials are not complete"), "{words}");
    assert!(words.contains("GOOGLE_APPLICATION_CREDENTIALS") && !words.contains("planted-key"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_takes_a_copy_in_blocks_and_a_wrong_key_is_one_sentence() {
    let served = Served::start("default");
    let azure = Blobs::default();
    let endpoint = format!("{}/{ACCOUNT}", azure.serve().await);
    let environment = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", "cGxhbnRlZC1henVyZS1rZXk="),
        ("AZURE_STORAGE_ENDPOINT", &endpoint),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    let to = format!("az://{BUCKET}/etcd");
    let (output, words) = snapshot(&served, &to, &environment);
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(words.contains("read back and equal"), "{words}");
    assert!(is_whole(&azure));

    azure.refuse();
    let (output, words) = snapshot(&served, &to, &environment);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("the store refused the credentials (AuthenticationFailed)"), "{words}");
    assert!(words.contains("check AZURE_STORAGE_ACCOUNT_NAME") && !words.contains("cGxhbnRlZ"), "{words}");
    assert_eq!(azure.blobs().len(), 2, "nothing came to it");
    let (_, words) = snapshot(&served, &to, &[]);
    assert!(words.contains("the credentials are not complete"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_go_through_the_proxies_of_the_environment() {
    let served = Served::start("default");
    let root = served.home().join("s3");
    let store = serve(&root).await;
    let to = format!("s3://{BUCKET}/etcd");
    let keys = [("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let with = |more: &[(&'static str, &str)]| {
        let more: Vec<_> =
            keys.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect();
        let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
        snapshot(&served, &to, &more)
    };

    // nobody but the proxy knows where store.test is
    let proxy = Proxy::start(&store, Some("ann:planted word")).await;
    let address = format!("http://ann:planted%20word@{}", proxy.address);
    let (output, words) = with(&[("HTTP_PROXY", &address), ("AWS_ENDPOINT_URL", "http://store.test:9000")]);
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(
        proxy.heard().iter().all(|line| line.contains(" http://store.test:9000/")),
        "{:?}",
        proxy.heard()
    );
    assert_eq!(objects(&root).len(), 2);

    let (secure, authority) = with_tls(&store, "store.test").await;
    let ca = served.home().join("store-ca.pem");
    std::fs::write(&ca, authority).expect("write");
    let ca = ca.display().to_string();
    let proxy = Proxy::start(&secure, Some("ann:planted word")).await;
    let address = format!("ann:planted%20word@{}", proxy.address);
    let https = [("AWS_ENDPOINT_URL", "https://store.test"), ("AWS_CA_BUNDLE", ca.as_str())];
    let (output, words) = with(&[&https[..], &[("HTTPS_PROXY", &address)]].concat());
    assert_eq!(output.status.code(), Some(0), "{words}");
    let heard = proxy.heard();
    assert!(
        !heard.is_empty() && heard.iter().all(|line| line == "CONNECT store.test:443 HTTP/1.1"),
        "{heard:?}"
    );
    assert_eq!(objects(&root).len(), 4);

    let wrong = format!("http://ann:planted-wrong@{}", proxy.address);
    let (output, words) = with(&[&https[..], &[("https_proxy", &wrong)]].concat());
    assert_eq!(output.status.code(), Some(1), "{words}");
    let expected = format!("through the proxy {}: tunnel error: proxy authorization required", proxy.address);
    assert!(words.contains(&expected) && !words.contains("planted-wrong"), "{words}");
    assert_eq!(objects(&root).len(), 4);
}
