//! Kubeconfig loading: what is picked, what is said when something is missing, and what goes over a real socket.

use super::*;
use crate::domain::report::FailureKind;
use std::ffi::OsString;
use std::io::Write as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const TWO: &str = r"
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c1, user: u1, namespace: shop}}
- {name: two, context: {cluster: c2, user: u1}}
- {name: broken, context: {cluster: nowhere, user: u1}}
- {name: nobody, context: {cluster: c1, user: missing}}
clusters:
- {name: c1, cluster: {server: 'https://one.example:6443', insecure-skip-tls-verify: true}}
- {name: c2, cluster: {server: 'http://127.0.0.1:1'}}
users:
- {name: u1, user: {token: s3cret}}
";

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn options(file: &tempfile::NamedTempFile, context: Option<&str>) -> KubeOptions {
    KubeOptions {
        kubeconfig: Some(file.path().to_owned()),
        context: context.map(str::to_owned),
        ..KubeOptions::default()
    }
}

async fn fails(options: &KubeOptions) -> Error {
    match Cluster::connect(options).await {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn the_current_context_or_the_given_one() {
    let file = file(TWO);
    let api = Cluster::connect(&options(&file, None)).await.unwrap();
    assert_eq!((api.context(), api.server().as_str()), ("one", "one.example:6443"));
    let api = Cluster::connect(&options(&file, Some("two"))).await.unwrap();
    assert_eq!((api.context(), api.server().as_str()), ("two", "127.0.0.1:1"));
    let swapped = KubeOptions { cluster: Some("c2".into()), ..options(&file, None) };
    assert_eq!(Cluster::connect(&swapped).await.unwrap().server(), "127.0.0.1:1");
}

#[test]
fn a_list_of_files_is_merged_as_kubectl_does() {
    let first = file("current-context: ''\ncontexts: [{name: a, context: {cluster: mine, user: ''}}]\n");
    let second = file(&TWO.replace("name: two", "name: a"));
    let join = |files: &[&std::path::Path]| Some(std::env::join_paths(files).unwrap());
    let absent = std::path::Path::new("/nonexistent/kubeconfig");
    let none = KubeOptions::default();
    let list = join(&[absent, first.path(), second.path()]);
    let Ok(Found::Files { config, .. }) = files::find_in(&none, list, None, false) else {
        panic!("not found")
    };
    assert_eq!(config.current_context.as_deref(), Some("one"), "an empty one does not count");
    let a = config.contexts.iter().find(|context| context.name == "a").unwrap();
    assert_eq!(a.context.as_ref().unwrap().cluster, "mine", "the first file to name it wins");
    assert_eq!(config.clusters.len(), 2);
    let error = |found: Result<Found, Error>| found.err().unwrap().to_string();
    assert!(
        error(files::find_in(&none, join(&[absent]), None, true))
            .contains("/nonexistent/kubeconfig: no such file")
    );
    assert!(error(files::find_in(&none, None, Some(absent.to_owned()), false)).contains("there is none"));
    assert!(matches!(files::find_in(&none, None, Some(absent.to_owned()), true), Ok(Found::InCluster)));
    let empty = Some(OsString::new());
    assert!(matches!(
        files::find_in(&none, empty, Some(first.path().to_owned()), true),
        Ok(Found::Files { .. })
    ));
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_there_is() {
    let file = file(TWO);
    let cases = [
        (options(&file, Some("three")), "context \"three\" does not exist", "one, two, broken, nobody"),
        (options(&file, Some("broken")), "cluster \"nowhere\" does not exist", "c1, c2"),
        (options(&file, Some("nobody")), "user \"missing\" does not exist", "u1"),
    ];
    for (options, message, hint) in cases {
        let error = fails(&options).await;
        assert_eq!((error.kind, error.message.as_str()), (FailureKind::Local, message));
        assert!(error.hint.as_deref().is_some_and(|text| text.contains(hint)), "{error}");
    }
    let absent = KubeOptions { kubeconfig: Some("/nonexistent/kubeconfig".into()), ..KubeOptions::default() };
    let error = fails(&absent).await;
    assert_eq!(error.kind, FailureKind::Local);
    assert!(error.to_string().contains("/nonexistent/kubeconfig: no such file"), "{error}");
}

#[tokio::test]
async fn bad_yaml_is_located_and_not_quoted() {
    let file = file("users:\n- name: u\n  user: {token: [s3cret}\n");
    let error = fails(&options(&file, None)).await;
    assert_eq!(error.kind, FailureKind::Local);
    assert!(error.to_string().contains("line 3") && !error.to_string().contains("s3cret"), "{error}");
    let empty = self::file("");
    assert!(fails(&options(&empty, None)).await.message.contains("no current context"));
}

#[tokio::test]
async fn an_unusable_server_or_authority_is_named() {
    let with = |cluster: &str| {
        file(&format!(
            "current-context: a\ncontexts: [{{name: a, context: {{cluster: c, user: ''}}}}]\nclusters: [{{name: c, cluster: {cluster}}}]\n"
        ))
    };
    for (cluster, words) in [
        ("{}", "names no server"),
        ("{server: 'ftp://x'}", "is not a server's URL"),
        (
            "{server: 'https://x', certificate-authority: /nonexistent/ca.crt}",
            "cannot be read from /nonexistent/ca.crt",
        ),
        ("{server: 'https://x', certificate-authority-data: '%%%'}", "is not base64"),
        ("{server: 'https://x', certificate-authority-data: aGVsbG8=}", "holds no certificate"),
    ] {
        let file = with(cluster);
        let error = fails(&options(&file, None)).await;
        assert!(error.kind == FailureKind::Local && error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_credential_plugin_that_fails_is_told_without_its_output() {
    let text = TWO.replace(
        "{token: s3cret}",
        "{exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: IfAvailable, command: sh, args: [-c, 'echo s3cret; echo expired >&2; exit 3']}}",
    );
    let file = file(&text);
    let error = fails(&options(&file, None)).await;
    assert_eq!(error.kind, FailureKind::Unauthorized);
    let words = error.to_string();
    assert!(words.contains("expired") && !words.contains("s3cret"), "{words}");
}

/// Answers each connection's first request with a fixed text and keeps what was asked.
async fn server(answer: &'static str) -> (String, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (to, from) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 8192];
            let count = stream.read(&mut buffer).await.unwrap_or(0);
            to.send(String::from_utf8_lossy(&buffer[..count]).into_owned()).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, from)
}

async fn over(address: &str, scheme: &str, more: KubeOptions) -> Cluster {
    let text = TWO.replace("http://127.0.0.1:1", &format!("{scheme}://{address}"));
    let file = file(&text);
    Cluster::connect(&KubeOptions { ..more_of(options(&file, Some("two")), more) }).await.unwrap()
}

fn more_of(base: KubeOptions, more: KubeOptions) -> KubeOptions {
    KubeOptions { kubeconfig: base.kubeconfig, context: base.context, ..more }
}

#[tokio::test]
async fn nothing_is_retried_and_impersonation_is_sent() {
    let (address, mut asked) = server(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    )
    .await;
    let more =
        KubeOptions { as_user: Some("ann".into()), as_groups: vec!["ops".into()], ..KubeOptions::default() };
    let api = over(&address, "http", more).await;
    let error = api.budgets().await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (FailureKind::Throttled, Some(Duration::from_secs(1))));
    let request = asked.recv().await.unwrap().to_lowercase();
    assert!(
        request.contains("impersonate-user: ann") && request.contains("impersonate-group: ops"),
        "{request}"
    );
    assert!(request.contains("authorization: bearer s3cret"));
    assert!(asked.try_recv().is_err(), "sent once");
}

#[tokio::test]
async fn a_refused_token_names_the_user() {
    let (address, _asked) =
        server("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").await;
    let error = over(&address, "http", KubeOptions::default()).await.nodes().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unauthorized);
    assert!(error.message.contains("token of user \"u1\""), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("context two")));
}

#[tokio::test]
async fn an_unreachable_server_is_named_with_its_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = over(&address, "http", KubeOptions::default()).await.nodes().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unreachable);
    assert!(error.message.contains(&format!("{address} refuses connections")), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_an_identity_matter() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().self_signed(&key).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let other = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertificateParams::new(vec!["ca".into()]).unwrap().self_signed(&other).unwrap();
    let data = base64::engine::general_purpose::STANDARD.encode(authority.pem());
    let text = TWO
        .replace("'http://127.0.0.1:1'", &format!("'https://{address}', certificate-authority-data: {data}"));
    let file = file(&text);
    let api = Cluster::connect(&options(&file, Some("two"))).await.unwrap();
    let error = api.nodes().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Identity, "{error}");
    assert!(error.message.contains(&address) && error.hint.is_some(), "{error}");
}

/// An API server on loopback with a certificate of `authority` for `kubernetes`, which names `peers` as endpoints.
async fn tls_server(
    authority: &rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    peers: std::sync::Arc<std::sync::Mutex<Vec<u16>>>,
    version: &'static str,
) -> (u16, tokio::task::JoinHandle<()>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["kubernetes".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, authority).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, peers) = (acceptor.clone(), peers.clone());
            connections.spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = vec![0; 8192];
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                let body = if String::from_utf8_lossy(&buffer[..count]).contains("endpointslices") {
                    let items: Vec<_> = peers
                        .lock()
                        .unwrap()
                        .iter()
                        .map(|port| {
                            serde_json::json!({
                        "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"port": port}]})
                        })
                        .collect();
                    serde_json::json!({"items": items}).to_string()
                } else {
                    format!("{{\"gitVersion\":\"{version}\"}}")
                };
                let head =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (port, task)
}

#[tokio::test]
async fn another_api_server_takes_over_when_no_connection_comes_about() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let peers = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (first, task) = tls_server(&authority, peers.clone(), "v1.first").await;
    let (second, _other) = tls_server(&authority, peers.clone(), "v1.second").await;
    peers.lock().unwrap().extend([first, second]);
    let data = base64::engine::general_purpose::STANDARD.encode(authority.pem());
    let server = format!("'https://127.0.0.1:{first}', certificate-authority-data: {data}");
    let file = file(&TWO.replace("'http://127.0.0.1:1'", &server));
    let api = Cluster::connect(&options(&file, Some("two"))).await.unwrap();
    assert_eq!(api.version().await.unwrap(), "v1.first");
    assert_eq!(api.learn_endpoints().await.unwrap().len(), 2);
    assert!(api.api_servers().await.1.unwrap().iter().all(|(_, answer)| answer.is_ok()));
    task.abort();
    let _ = task.await;
    assert_eq!(api.version().await.unwrap(), "v1.second");
    assert_eq!(api.server(), format!("127.0.0.1:{second}"));
    let ready = api.api_servers().await.1.unwrap();
    assert_eq!(ready.iter().filter(|(_, answer)| answer.is_ok()).count(), 1, "{ready:?}");
}
