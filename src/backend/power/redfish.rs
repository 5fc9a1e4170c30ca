//! Redfish (DSP0266): JSON over HTTPS. Only what power needs: the system's `PowerState` and its `ComputerSystem.Reset`.

use super::{Bmc, Protocol, tls, wrong_password};
use crate::backend::error::Error;
use crate::domain::ids::NodeName;
use crate::domain::power::PowerState;
use crate::domain::report::FailureKind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// For one request, with its connection.
const LIMIT: Duration = Duration::from_secs(20);
/// Answers are small.
const MOST_BODY: usize = 1024 * 1024;
const SYSTEMS: &str = "/redfish/v1/Systems";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

pub(super) async fn status(bmc: &Bmc, node: &NodeName) -> Result<PowerState, Error> {
    let mut talk = Talk::begin(bmc, node).await?;
    let answer = talk.system().await;
    talk.end().await;
    Ok(power(&answer?.1))
}

pub(super) async fn cycle(bmc: &Bmc, node: &NodeName, before: &PowerState) -> Result<(), Error> {
    let mut talk = Talk::begin(bmc, node).await?;
    let answer = talk.reset(before).await;
    talk.end().await;
    answer
}

fn power(system: &Value) -> PowerState {
    match system["PowerState"].as_str() {
        Some("On") => PowerState::On,
        Some("Off") => PowerState::Off,
        Some(other) => PowerState::Other(crate::domain::text::clean(other)),
        None => PowerState::Other("not told".to_owned()),
    }
}

/// A conversation, logged in.
struct Talk<'a> {
    bmc: &'a Bmc,
    node: &'a NodeName,
    /// Header of every request: its name and value.
    credentials: (&'static str, Zeroizing<String>),
    /// The session to be ended.
    session: Option<String>,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

impl<'a> Talk<'a> {
    async fn begin(bmc: &'a Bmc, node: &'a NodeName) -> Result<Self, Error> {
        let password = bmc.password(node).await?;
        let Protocol::Redfish { session, .. } = &bmc.protocol else {
            return Err(Error::new(
                FailureKind::Unexpected,
                "speak Redfish to",
                bmc.label(node),
                "it is no Redfish",
            ));
        };
        let basic = Zeroizing::new(format!("{}:{}", bmc.user, password.as_str()));
        let basic = Zeroizing::new(format!("Basic {}", BASE64.encode(basic.as_bytes())));
        let mut talk = Self { bmc, node, credentials: ("authorization", basic), session: None };
        if *session {
            talk.log_in(&password).await?;
        }
        Ok(talk)
    }

    /// A session: its token stands for the password from then on.
    async fn log_in(&mut self, password: &str) -> Result<(), Error> {
        self.credentials = ("x-pitstop-none", Zeroizing::new(String::new()));
        let login = json!({"UserName": self.bmc.user, "Password": password});
        let answer = self.send("log in to", Method::POST, SESSIONS, Some(&login)).await?;
        let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(token) = text("x-auth-token") else {
            return Err(self.fail(FailureKind::Unexpected, "log in to", "it gave no token"));
        };
        self.credentials = ("x-auth-token", Zeroizing::new(token.to_owned()));
        self.session = text("location")
            .and_then(|place| place.find("/redfish/").map(|at| place[at..].to_owned()))
            .or_else(|| answer.body["@odata.id"].as_str().map(str::to_owned));
        Ok(())
    }

    /// Ends the session; one that stays open ends by itself after some minutes.
    async fn end(mut self) {
        if let Some(session) = self.session.take() {
            let _ = self.send("log out of", Method::DELETE, &session, None).await;
        }
    }

    /// The system's path and content.
    async fn system(&mut self) -> Result<(String, Value), Error> {
        const OP: &str = "read the power of";
        let Protocol::Redfish { system, .. } = &self.bmc.protocol else {
            return Err(self.fail(FailureKind::Unexpected, OP, "it is no Redfish"));
        };
        let path = if let Some(path) = system {
            path.clone()
        } else {
            let list = self.send(OP, Method::GET, SYSTEMS, None).await?.body;
            let members = list["Members"].as_array().map(Vec::as_slice).unwrap_or_default();
            match members {
                [only] => only["@odata.id"].as_str().unwrap_or_default().to_owned(),
                [] => return Err(self.fail(FailureKind::Unexpected, OP, "it names no system")),
                many => {
                    let words = format!("it names {} systems: which one is meant stands nowhere", many.len());
                    return Err(self
                        .fail(FailureKind::Local, OP, &words)
                        .hint("name it: system = \"/redfish/v1/Systems/…\""));
                }
            }
        };
        // a path from the other side must not lead to another host
        if !path.starts_with("/redfish/") {
            return Err(self.fail(FailureKind::Unexpected, OP, "the system's path is none"));
        }
        let body = self.send(OP, Method::GET, &path, None).await?.body;
        Ok((path, body))
    }

    async fn reset(&mut self, before: &PowerState) -> Result<(), Error> {
        const OP: &str = "change the power of";
        let (path, system) = self.system().await?;
        let action = &system["Actions"]["#ComputerSystem.Reset"];
        let allowed: Vec<&str> = action["ResetType@Redfish.AllowableValues"]
            .as_array()
            .map(|values| values.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let wanted: &[&str] =
            if *before == PowerState::Off { &["On", "ForceOn"] } else { &["PowerCycle", "ForceRestart"] };
        let is_allowed = |kind: &&&str| allowed.is_empty() || allowed.contains(*kind);
        let Some(kind) = wanted.iter().find(is_allowed) else {
            let words = format!("it allows only {}", allowed.join(", "));
            return Err(self.fail(FailureKind::Refused, OP, &words));
        };
        let target = action["target"].as_str().filter(|target| target.starts_with("/redfish/"));
        let target = target.map_or_else(|| format!("{path}/Actions/ComputerSystem.Reset"), str::to_owned);
        self.send(OP, Method::POST, &target, Some(&json!({"ResetType": kind}))).await.map(drop)
    }

    fn fail(&self, kind: FailureKind, op: &'static str, why: &str) -> Error {
        Error::new(kind, op, self.bmc.label(self.node), why)
    }

    async fn send(
        &self,
        op: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        match tokio::time::timeout(LIMIT, self.exchange(op, method, path, body)).await {
            Ok(answer) => self.judge(op, answer?),
            Err(_) => Err(self.fail(FailureKind::Timeout, op, "no answer in time")),
        }
    }

    fn judge(&self, op: &'static str, answer: Answer) -> Result<Answer, Error> {
        match answer.status {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(wrong_password(self.bmc, self.node)),
            StatusCode::FORBIDDEN => {
                let words = format!("the user {} may not do this", self.bmc.user);
                Err(self.fail(FailureKind::Forbidden, op, &words))
            }
            status => {
                let said = answer.body["error"]["@Message.ExtendedInfo"][0]["Message"]
                    .as_str()
                    .or_else(|| answer.body["error"]["message"].as_str())
                    .unwrap_or("no reason given");
                let words = format!("{}: {said}", status.as_u16());
                Err(self.fail(FailureKind::Refused, op, &words).with_code(status.as_u16()))
            }
        }
    }

    async fn exchange(
        &self,
        op: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        let Protocol::Redfish { ca, fingerprint, .. } = &self.bmc.protocol else {
            return Err(self.fail(FailureKind::Unexpected, op, "it is no Redfish"));
        };
        let label = self.bmc.label(self.node);
        let config = tls::config(ca.as_deref(), fingerprint.as_deref(), &label)?;
        let unreachable =
            |error: &dyn std::fmt::Display| self.fail(FailureKind::Unreachable, op, &error.to_string());
        let port = self.bmc.port.unwrap_or(443);
        let stream =
            TcpStream::connect((self.bmc.host.as_str(), port)).await.map_err(|error| unreachable(&error))?;
        let name = ServerName::try_from(self.bmc.host.clone()).map_err(|error| unreachable(&error))?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
            self.fail(
                FailureKind::Identity,
                op,
                &format!("its certificate is not the one that is configured, or TLS failed: {error}"),
            )
        })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        let driving = tokio::spawn(connection);
        let _ends = scopeguard(driving.abort_handle());
        let text = Zeroizing::new(body.map(Value::to_string).unwrap_or_default());
        let (header_name, value) = &self.credentials;
        let mut value = http::HeaderValue::from_str(value).map_err(|_| {
            self.fail(FailureKind::Local, op, "the password has characters that cannot be sent")
        })?;
        value.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.bmc.host)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header("odata-version", "4.0")
            .header(*header_name, value)
            .body(Full::new(Bytes::copy_from_slice(text.as_bytes())))
            .map_err(|error| self.fail(FailureKind::Unexpected, op, &error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
        let (parts, body) = response.into_parts();
        let body =
            Limited::new(body, MOST_BODY).collect().await.map_err(|error| unreachable(&error))?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// Ends the connection's task when the exchange is over, however it ended.
struct Ends(tokio::task::AbortHandle);

fn scopeguard(task: tokio::task::AbortHandle) -> Ends {
    Ends(task)
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}
