//! Questions to real servers on the loopback interface.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

fn cluster() -> Cluster {
    Cluster::from_client(kube::Client::new(axum::Router::new(), "default"), "none")
}

fn asker(url: &str) -> Asker {
    let mut spec = ProbeSpec::new(Target::parse(url).expect("a target"));
    spec.pace.timeout = Duration::from_millis(300);
    Asker::new(&spec, &cluster(), &Dialer::tcp()).expect("an asker")
}

/// Answers every request with one text, and tells what was asked; an empty one never answers.
async fn server(answer: &'static str) -> (String, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (tell, asked) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut text = [0; 4096];
                let length = stream.read(&mut text).await.unwrap_or(0);
                let _ = tell.send(String::from_utf8_lossy(&text[..length]).into_owned()).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_page_is_asked_for_with_login_and_query() {
    let (address, mut asked) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let sample = asker(&format!("http://ann:p%40w@{address}/healthz?token=1")).ask().await;
    assert_eq!(sample.failure, None);
    let asked = asked.recv().await.expect("a request");
    assert!(asked.starts_with("GET /healthz?token=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Basic YW5uOnBAdw==\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
}

#[tokio::test]
async fn failures_have_words_that_do_not_change() {
    let (failing, _keep) = server("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno").await;
    let (moved, _keep) = server("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n").await;
    let (silent, _keep) = server("").await;
    let (cut, _keep) = server("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await;
    let (plain, _keep) = server("I speak no TLS").await;
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    for (url, words) in [
        (format!("http://{failing}/"), Some("answered 503")),
        (format!("http://{moved}"), None),
        (format!("http://{silent}/x"), Some("no answer within 300ms")),
        (format!("http://{cut}/"), Some("the connection was closed")),
        (format!("http://{gone}/"), Some("connection refused")),
        (format!("tcp://{failing}"), None),
        (format!("tcp://{gone}"), Some("connection refused")),
        ("dns://localhost".to_owned(), None),
        ("dns://nowhere.invalid".to_owned(), Some("the name cannot be resolved")),
    ] {
        let sample = asker(&url).ask().await;
        assert_eq!(sample.failure.as_deref(), words, "{url}");
    }
    let sample = asker(&format!("https://{plain}/")).ask().await;
    assert!(sample.failure.expect("a failure").starts_with("TLS: "));
}

#[tokio::test]
async fn a_name_server_is_asked_itself() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let server = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut message = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut message).await {
            let known = message[..length].windows(3).any(|part| part == b"web");
            message[2..4].copy_from_slice(if known { &[0x81, 0x80] } else { &[0x81, 0x83] });
            message[7] = u8::from(known);
            let _ = socket.send_to(&message[..length], from).await;
        }
    });
    assert_eq!(asker(&format!("dns://{server}/web.shop")).ask().await.failure, None);
    let sample = asker(&format!("dns://{server}/other.shop")).ask().await;
    assert_eq!(sample.failure.as_deref(), Some("there is no such name (NXDOMAIN)"));
}

#[tokio::test]
async fn a_service_is_asked_through_the_api_server() {
    let proxy = axum::routing::get(|uri: axum::http::Uri| async move {
        match uri.path() {
            "/api/v1/namespaces/shop/services/web:80/proxy/ok" => (axum::http::StatusCode::OK, "fine"),
            "/api/v1/namespaces/shop/services/web:80/proxy/empty" => {
                (axum::http::StatusCode::SERVICE_UNAVAILABLE, "no endpoints available for service \"web\"")
            }
            _ => (axum::http::StatusCode::NOT_FOUND, ""),
        }
    });
    let client = kube::Client::new(axum::Router::new().fallback(proxy), "default");
    let cluster = Cluster::from_client(client, "none");
    for (url, words) in [
        ("service://shop/web:80/ok", None),
        ("service://shop/web:80/empty", Some("no endpoint is ready")),
        ("service://shop/other:80/ok", Some("answered 404")),
    ] {
        let spec = ProbeSpec::new(Target::parse(url).expect("a target"));
        let sample = Asker::new(&spec, &cluster, &Dialer::tcp()).expect("an asker").ask().await;
        assert_eq!(sample.failure.as_deref(), words, "{url}");
    }
}
