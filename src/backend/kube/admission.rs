//! Which pods serve admission webhooks: while none of them answers, no pod may be created.

use super::Cluster;
use super::request::{Ask, path};
use super::rows::tidy;
use super::survey::Items;
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use crate::domain::wave::Admission;
use futures::future::try_join_all;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Namespace and name of a Service.
type Named = (String, String);

impl Cluster {
    /// The Services that admission webhooks call, by what they select. Read at most every 20 s.
    pub async fn admission(&self) -> Result<Admission, Error> {
        if let Some(known) = self.inner.recent.admission() {
            return Ok(known);
        }
        let begun = Instant::now();
        let (mut named, more) = futures::try_join!(
            self.called_by("list validating webhooks", "validatingwebhookconfigurations"),
            self.called_by("list mutating webhooks", "mutatingwebhookconfigurations"),
        )?;
        named.extend(more);
        let selected = try_join_all(named.iter().map(|named| self.selected(named))).await?;
        let admission = Admission::new(selected.into_iter().flatten());
        self.inner.recent.keep_admission(begun, &admission);
        Ok(admission)
    }

    async fn called_by(&self, op: &'static str, plural: &str) -> Result<BTreeSet<Named>, Error> {
        let to = path(&["apis", "admissionregistration.k8s.io", "v1", plural]);
        let found: Result<Items<ConfigurationWire>, Error> = self.inner.fetch(&Ask::get(op, "", to)).await;
        match found {
            Ok(found) => Ok(found.items.into_iter().flat_map(ConfigurationWire::services).collect()),
            // no such kind: nothing is called
            Err(error) if error.kind == FailureKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// What a Service selects, in its namespace; `None` = there is no such Service.
    async fn selected(
        &self,
        (namespace, name): &Named,
    ) -> Result<Option<(String, BTreeMap<String, String>)>, Error> {
        let to = path(&["api", "v1", "namespaces", namespace, "services", name]);
        let ask = Ask::get("read a webhook's service", format!("{namespace}/{name}"), to);
        match self.inner.fetch::<ServiceWire>(&ask).await {
            Ok(wire) => Ok(Some((tidy(namespace.clone()), wire.spec.selector.unwrap_or_default()))),
            Err(error) if error.kind == FailureKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
struct ConfigurationWire {
    #[serde(default)]
    webhooks: Option<Vec<WebhookWire>>,
}

impl ConfigurationWire {
    fn services(self) -> impl Iterator<Item = Named> {
        let called = self.webhooks.into_iter().flatten().filter_map(|webhook| webhook.client_config.service);
        called.map(|service| (service.namespace, service.name))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebhookWire {
    #[serde(default)]
    client_config: ClientConfig,
}

/// A webhook that is called by its URL has no Service: what serves it is not known to the cluster.
#[derive(Default, Deserialize)]
struct ClientConfig {
    service: Option<ServiceName>,
}

#[derive(Deserialize)]
struct ServiceName {
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ServiceWire {
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Default, Deserialize)]
struct ServiceSpec {
    selector: Option<BTreeMap<String, String>>,
}
