//! Port-forwards: a stream to a port of a pod, through the API server and the kubelet. No local port.

use super::Cluster;
use super::fault;
use super::request::{Ask, path};
use crate::backend::dial::Stream;
use crate::backend::error::Error;
use crate::backend::pipe::Told;
use crate::domain::ids::PodKey;
use crate::domain::report::FailureKind;
use ::kube::Api;
use k8s_openapi::api::core::v1::Pod;

const OP: &str = "forward a port of";
/// What a role must allow for it; servers from 1.35 ask for `create` on WebSockets too.
const RULE: &str = "apiGroups: [\"\"], resources: [\"pods/portforward\"], verbs: [\"get\", \"create\"]";

impl Cluster {
    /// A connection to a port of a pod; for a pod of the host's network that is a port of the host's loopback. It goes
    /// through the API server that is preferred now, and breaks with it.
    ///
    /// # Errors
    /// [`FailureKind::Forbidden`] names the rule that a role must have. What the kubelet says when nobody listens there comes
    /// later, as the error of the first read.
    pub async fn forward(&self, pod: &PodKey, port: u16) -> Result<Stream, Error> {
        let route = self.inner.routes.current();
        let (client, _) = route.client().await?;
        let pods: Api<Pod> = Api::namespaced(client, &pod.namespace);
        let mut forwarder = pods
            .portforward(&pod.name, &[port])
            .await
            .map_err(|error| self.refused(pod, route.address(), &error))?;
        let lost = || Error::new(FailureKind::Unexpected, OP, pod.to_string(), "no stream was opened");
        let stream = forwarder.take_stream(port).ok_or_else(lost)?;
        let error = forwarder.take_error(port).ok_or_else(lost)?;
        let why = async move { error.await.map(|words| crate::domain::text::clean(words.trim())) };
        Ok(Box::new(Told::new(stream, why, Aborted(forwarder))))
    }

    fn refused(&self, pod: &PodKey, server: &str, error: &::kube::Error) -> Error {
        let segments = ["api", "v1", "namespaces", &pod.namespace, "pods", &pod.name, "portforward"];
        let ask = Ask::get(OP, pod.to_string(), path(&segments));
        match error {
            ::kube::Error::Api(status) => {
                let body = serde_json::to_vec(&**status).unwrap_or_default();
                let error = fault::status(&ask, status.code, None, &body, &self.inner.who);
                if error.kind == FailureKind::Forbidden {
                    error.hint(format!("a role must have {RULE}"))
                } else {
                    error
                }
            }
            ::kube::Error::UpgradeConnection(why) => Error::new(
                FailureKind::Refused,
                OP,
                pod.to_string(),
                format!("{server} does not open a WebSocket: {why}"),
            ),
            other => fault::transport(&ask, server, other).0,
        }
    }
}

/// Ends the connection when it is dropped.
struct Aborted(::kube::api::Portforwarder);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}
