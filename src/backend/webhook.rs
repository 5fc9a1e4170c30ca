//! Tells a chat room or a pager: a POST of `{"text": "…"}`, as Slack and those that follow it take it.
//!
//! The address is a secret, as whoever has it may post: it is never shown, logged or put into an error; errors name the
//! host.

use crate::backend::proxy::Way;
use crate::domain::report::{FailureKind, Report};
use http::{Method, Request, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kube::client::Body;
use std::fmt;
use std::time::Duration;

/// One request gets this long in all.
const DEADLINE: Duration = Duration::from_secs(10);

/// Where to post.
#[derive(Clone)]
pub struct Webhook {
    url: Uri,
    host: String,
    deadline: Duration,
    client: Client<HttpsConnector<Way>, Body>,
    way: Way,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Webhook {
    /// From its address. Nothing is contacted yet.
    ///
    /// # Errors
    /// It is not an address of http or https, or the machine's certificate authorities cannot be read.
    pub fn new(address: &str) -> Result<Self, Report> {
        let wrong = || {
            Report::new(FailureKind::Local, "the address of the webhook is not one of http:// or https://")
        };
        let url: Uri = address.trim().parse().map_err(|_| wrong())?;
        let host = url.host().map(str::to_owned).ok_or_else(wrong)?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(wrong());
        }
        let way = Way::new();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| {
                let words = format!("the machine's certificate authorities cannot be read: {error}");
                Report::new(FailureKind::Local, words)
            })?
            .https_or_http()
            .enable_http1()
            .wrap_connector(way.clone());
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { url, host, deadline: DEADLINE, client, way })
    }

    /// The host, which may be shown.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Posts a text.
    ///
    /// # Errors
    /// The host cannot be reached, does not answer in time, or does not take it.
    pub async fn post(&self, text: &str) -> Result<(), Report> {
        let body = serde_json::json!({ "text": escaped(text) }).to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("pitstop/", env!("CARGO_PKG_VERSION")))
            .body(Body::from(body.into_bytes()));
        let failed = |kind, words: String| Report::new(kind, format!("the webhook at {} {words}", self.host));
        let mut request =
            request.map_err(|_| failed(FailureKind::Local, "has no usable address".to_owned()))?;
        self.way.authorize(&self.url, request.headers_mut());
        match tokio::time::timeout(self.deadline, self.client.request(request)).await {
            Err(_) => {
                let words = format!("did not answer within {} s", self.deadline.as_secs());
                Err(failed(FailureKind::Timeout, words))
            }
            // hyper's own words may hold more than the host
            Ok(Err(error)) if error.is_connect() => {
                Err(failed(FailureKind::Unreachable, "cannot be connected to".to_owned()))
            }
            Ok(Err(_)) => Err(failed(FailureKind::Unreachable, "closed the connection".to_owned())),
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => {
                Err(failed(FailureKind::Refused, format!("answered {}", answer.status().as_u16())))
            }
        }
    }
}

/// As Slack asks for it: `&`, `<` and `>` would be mentions and links.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server that reads one request, and answers with `answer`; the request comes back.
    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/services/T0/B0/topsecret", listener.local_addr().unwrap());
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = String::new();
            let mut piece = [0; 1024];
            while !heard.contains("\"}") {
                let count = stream.read(&mut piece).await.unwrap();
                heard.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            heard
        });
        (url, heard)
    }

    #[tokio::test]
    async fn a_text_is_posted_as_slack_takes_it() {
        let (url, heard) = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        Webhook::new(&url).unwrap().post("cp-1 <!channel> & more").await.unwrap();
        let heard = heard.await.unwrap();
        assert!(heard.starts_with("POST /services/T0/B0/topsecret HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("content-type: application/json"), "{heard}");
        assert!(heard.ends_with(r#"{"text":"cp-1 &lt;!channel&gt; &amp; more"}"#), "{heard}");
    }

    #[tokio::test]
    async fn failures_name_the_host_and_never_the_address() {
        let (refusing, _heard) = server("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        let (silent, _waits) = server("").await;
        let closed = "http://127.0.0.1:9/services/topsecret".to_owned();
        for (url, words) in [
            (refusing, "answered 404"),
            (silent, "did not answer within 0 s"),
            (closed, "cannot be connected to"),
        ] {
            let mut webhook = Webhook::new(&url).unwrap();
            if words.contains("within") {
                webhook.deadline = Duration::from_millis(50);
            }
            let report = webhook.post("text").await.unwrap_err();
            assert_eq!(report.line(), format!("the webhook at 127.0.0.1 {words}"));
            assert!(!format!("{webhook:?}").contains("topsecret"));
        }
        for wrong in ["", "ftp://host/topsecret", "not an address topsecret", "https://"] {
            let report = Webhook::new(wrong).unwrap_err();
            assert!(!report.line().contains("topsecret"), "{report}");
        }
    }
}
