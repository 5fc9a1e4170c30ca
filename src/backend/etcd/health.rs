//! Members without a certificate: their plain health port on the host's loopback, read through the same ways.
//!
//! It tells of one member what its metrics hold. The list of members, terms and hashes are not there: what follows from
//! those stays unknown.

use super::heard::Heard;
use super::metrics::Vitals;
use super::options::Route;
use super::slots::with_port;
use super::view::Reply;
use super::{Etcd, Slot};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::etcd::EtcdView;
use crate::domain::report::FailureKind;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Where kubeadm, k3s and RKE2 let it listen (`--listen-metrics-urls=http://127.0.0.1:2381`).
const PORT: u16 = 2381;
/// For all answers of one member by one way.
const DEADLINE: Duration = Duration::from_secs(6);
/// No metrics are longer.
const LARGEST: usize = 8 * 1024 * 1024;
const OP: &str = "read the health port of";

impl Etcd {
    /// One round over the health ports, because there is no certificate. An error when none answers, with that reason.
    pub(super) async fn look_at_health(&self, no_certificate: &Error) -> Result<EtcdView, Error> {
        let place = self.found();
        let port = place.as_ref().map_or(Some(PORT), |place| place.health_port);
        let Some(port) = port else {
            let why = "its etcd has no health port that could be read without one";
            return Err(no_certificate.clone().because(why));
        };
        let slots = self.slots();
        let asked = slots.iter().map(|slot| self.vitals(slot, port));
        let answers = futures::future::join_all(asked).await;
        let heard: Vec<Reply<Heard>> = slots
            .iter()
            .zip(answers)
            .map(|(slot, answer)| Reply {
                node: slot.node.clone(),
                row: slot.row.clone(),
                address: String::new(),
                answer,
            })
            .collect();
        if heard.iter().all(|reply| reply.answer.is_err()) {
            let mut error = no_certificate.clone();
            for reply in &heard {
                if let Err(why) = &reply.answer {
                    error = error.because(format!("nor without one: {why}"));
                }
            }
            return Err(error);
        }
        Ok(self.memory().assemble_heard(&heard, no_certificate, clock::now()))
    }

    /// What one member's health port says, by the first way that leads there.
    async fn vitals(&self, slot: &Arc<Slot>, port: u16) -> Result<Heard, Error> {
        let mut failed: Option<Error> = None;
        for way in slot.ways.iter().filter(|way| way.route != Route::Direct) {
            let address = with_port(&way.address, port);
            let begun = Instant::now();
            let asking = self.vitals_by(slot, way.route, &address);
            let late = || {
                let why = format!("no answer within {} s", DEADLINE.as_secs());
                Err(Error::new(FailureKind::Timeout, OP, &slot.label, why))
            };
            match timeout(DEADLINE, asking).await.unwrap_or_else(|_| late()) {
                Ok(vitals) if vitals.id.is_some() => {
                    let latency = begun.elapsed();
                    return Ok(Heard { vitals, latency, route: way.route });
                }
                Ok(_) => {
                    let why = format!("what listens on port {port} does not tell a member's id");
                    failed = failed.or(Some(Error::new(FailureKind::Unexpected, OP, &slot.label, why)));
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| {
            Error::new(FailureKind::Local, OP, &slot.label, "it listens on the host's own loopback only")
        }))
    }

    async fn vitals_by(&self, slot: &Slot, route: Route, address: &str) -> Result<Vitals, Error> {
        let (status, text) = self.get(slot, route, address, "/metrics").await?;
        if status != 200 {
            return Err(Error::new(FailureKind::Unexpected, OP, &slot.label, format!("it answers {status}")));
        }
        let mut vitals = Vitals::read(&text);
        let (health, ready) = futures::join!(
            self.get(slot, route, address, "/health"),
            self.get(slot, route, address, "/readyz?verbose"),
        );
        let (status, text) = health?;
        vitals.hear_health(status, &text);
        let (status, text) = ready?;
        vitals.hear_ready(status, &text);
        Ok(vitals)
    }

    /// One answer of the port: through a stream, or by `curl` on a host that forwards none.
    async fn get(
        &self,
        slot: &Slot,
        route: Route,
        address: &str,
        path: &str,
    ) -> Result<(u16, String), Error> {
        match (self.stream(slot, route, address).await, route, &self.inner.hosts, &slot.row) {
            (Ok(stream), ..) => fetch(stream, path).await.map_err(|why| {
                Error::new(FailureKind::Unreachable, OP, &slot.label, "the connection was lost").because(why)
            }),
            (Err(error), Route::Ssh, Some(hosts), Some(row)) if error.kind == FailureKind::Forbidden => {
                hosts.curl(row, &format!("http://{address}{path}")).await
            }
            (Err(error), ..) => Err(error),
        }
    }
}

async fn fetch(stream: crate::backend::dial::Stream, path: &str) -> Result<(u16, String), String> {
    let words = |error: &dyn std::error::Error| {
        std::iter::successors(Some(error), |error| error.source())
            .last()
            .map_or_else(String::new, ToString::to_string)
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| words(&error))?;
    let request =
        http::Request::get(path).header(http::header::HOST, "127.0.0.1").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| words(&error))?;
    let asking = async move {
        let response = sender.send_request(request).await.map_err(|error| words(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let (answer, _) = futures::join!(asking, connection);
    answer
}
