//! Credentials that the server does not take any more: read again from where they came, and the request sent once more.

use super::super::*;
use crate::backend::kube::Cluster;
use crate::domain::report::FailureKind;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that takes one token only.
struct Gate {
    address: String,
    token: Arc<Mutex<String>>,
    /// The tokens that it was shown, in order.
    shown: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (token, shown) = (Arc::new(Mutex::new("first".to_owned())), Arc::new(Mutex::new(Vec::new())));
        let (wanted, seen) = (token.clone(), shown.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = vec![0; 8192];
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
                let line = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(": Bearer ")?;
                    name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
                });
                let is_right = line.as_ref() == Some(&*wanted.lock().unwrap());
                seen.lock().unwrap().push(line.unwrap_or_default());
                let (status, body) = if is_right {
                    ("200 OK", "{\"gitVersion\":\"v1.34.2\"}")
                } else {
                    ("401 Unauthorized", "{}")
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, token, shown }
    }

    fn takes(&self, token: &str) {
        token.clone_into(&mut self.token.lock().unwrap());
    }

    fn shown(&self) -> Vec<String> {
        std::mem::take(&mut self.shown.lock().unwrap())
    }

    fn kubeconfig(&self, current: &str, user: &str) -> String {
        format!(
            "current-context: {current}\n\
             contexts: [{{name: lab, context: {{cluster: c, user: u}}}}, {{name: other, context: {{cluster: d, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}, {{name: d, cluster: {{server: 'http://127.0.0.1:1'}}}}]\n\
             users: [{{name: u, user: {user}}}]\n",
            self.address
        )
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

async fn connect(path: &Path) -> Cluster {
    let options = KubeOptions { kubeconfig: Some(path.to_owned()), ..KubeOptions::default() };
    Cluster::connect(&options).await.unwrap()
}

/// Works with the first token; then the server wants the second, which `login` provides.
async fn outlives(user: impl Fn(&Path) -> String, login: impl Fn(&Path, &Gate)) {
    let gate = Gate::open().await;
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("token"), "first\n");
    let path = dir.path().join("config");
    write(&path, &gate.kubeconfig("lab", &user(dir.path())));
    let api = connect(&path).await;
    api.version().await.unwrap();
    gate.takes("second");
    login(dir.path(), &gate);
    gate.shown();
    assert_eq!(api.version().await.unwrap(), "v1.34.2");
    assert_eq!(gate.shown(), ["first", "second"], "refused once, then sent once more");
    api.version().await.unwrap();
    assert_eq!(gate.shown(), ["second"]);
}

#[tokio::test]
async fn a_token_s_file_is_read_again() {
    let user = |dir: &Path| format!("{{tokenFile: '{}'}}", dir.join("token").display());
    outlives(user, |dir, _| write(&dir.join("token"), "second\n")).await;
}

#[tokio::test]
async fn a_login_into_the_kubeconfig_is_seen_also_when_another_context_is_current_by_then() {
    let login = |dir: &Path, gate: &Gate| {
        write(&dir.join("config"), &gate.kubeconfig("other", "{token: second}"));
    };
    outlives(|_| "{token: first}".to_owned(), login).await;
}

#[tokio::test]
async fn a_plugin_is_asked_again_although_its_token_names_no_end() {
    let user = |dir: &Path| {
        let token = dir.join("token");
        format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: IfAvailable, command: sh, \
             args: [-c, 'printf \"{{\\\"apiVersion\\\":\\\"client.authentication.k8s.io/v1\\\",\\\"kind\\\":\\\"ExecCredential\\\",\
             \\\"status\\\":{{\\\"token\\\":\\\"$(cat {})\\\"}}}}\"']}}}}",
            token.display()
        )
    };
    outlives(user, |dir, _| write(&dir.join("token"), "second")).await;
}

#[tokio::test]
async fn without_a_new_login_it_is_tried_once_and_said() {
    let gate = Gate::open().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    write(&path, &gate.kubeconfig("lab", "{token: first}"));
    let api = connect(&path).await;
    gate.takes("second");
    for _ in 0..3 {
        let error = api.version().await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Unauthorized);
        assert!(error.message.contains("token of user \"u\" (401)"), "{error}");
    }
    assert_eq!(gate.shown().len(), 4, "the credentials are not read again for every request");
    // a kubeconfig that leads to another server by now is none of ours
    write(&path, &gate.kubeconfig("lab", "{token: second}").replace(&gate.address, "127.0.0.1:2"));
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(6)).await;
    tokio::time::resume();
    assert_eq!(api.version().await.unwrap_err().kind, FailureKind::Unauthorized);
    assert!(gate.shown().iter().all(|token| token == "first"));
}
