//! The ways to the API: the server of the kubeconfig, and the other API servers that the cluster itself names.
//!
//! Another endpoint is tried only when no connection to the preferred one comes about. Its certificate must be signed
//! by the same authority, for the original server's name, or for `kubernetes` when the original is a bare address.

use super::request::{Ask, path, timed};
use super::{Cluster, connect};
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use ::kube::{Client, Config};
use futures::future::join_all;
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// How long another endpoint may take to accept a connection.
const KNOCK: Duration = Duration::from_secs(1);
/// How long the answer to that counts.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Credentials that were refused are read again at most this often.
const RENEWAL: Duration = Duration::from_secs(5);
/// Deadline of a question about readiness.
const READY: Duration = Duration::from_secs(4);

/// One way to an API server.
pub(super) struct Route {
    address: String,
    /// What a client is made from; `None` = it was given and cannot be made anew.
    config: Option<Config>,
    /// Where the credentials came from, to be read again when the server refuses them.
    origin: Option<Arc<connect::Origin>>,
    slot: tokio::sync::Mutex<Slot>,
}

/// The client of a way.
#[derive(Default)]
struct Slot {
    client: Option<Client>,
    /// How often it was made anew because its credentials were refused.
    turn: u64,
    /// When that was tried last.
    tried: Option<Instant>,
}

impl From<Option<Client>> for Slot {
    fn from(client: Option<Client>) -> Self {
        Self { client, ..Self::default() }
    }
}

impl Route {
    /// A way over a client that was given.
    pub(super) fn given(client: Client) -> Self {
        let slot = Slot::from(Some(client)).into();
        Self { address: "the API server".into(), config: None, origin: None, slot }
    }

    /// The way of the kubeconfig.
    pub(super) fn home(config: Config, client: Client, origin: connect::Origin) -> Self {
        let address = authority(&config.cluster_url);
        let slot = Slot::from(Some(client)).into();
        Self { address, config: Some(config), origin: Some(Arc::new(origin)), slot }
    }

    /// `host:port`, for words.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The client, made when it is first needed or when a plugin's client certificate has run out; and its turn.
    pub(super) async fn client(&self) -> Result<(Client, u64), Error> {
        let mut slot = self.slot.lock().await;
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(10);
        if let Some(client) = slot.client.as_ref()
            && (self.config.is_none() || client.valid_until().is_none_or(|end| end > soon))
        {
            return Ok((client.clone(), slot.turn));
        }
        let Some(config) = self.config.clone() else {
            return Err(Error::new(FailureKind::Local, "connect", "", "this client cannot be made anew"));
        };
        let client = connect::client(config).await?;
        slot.client = Some(client.clone());
        Ok((client, slot.turn))
    }

    /// After the server has refused the credentials of the client of this turn (401): one with credentials that were read
    /// again (the kubeconfig's user, a token's or certificate's file, the plugin). `None` = that was tried moments ago, or
    /// the client was given.
    ///
    /// # Errors
    /// The credentials cannot be obtained any more.
    pub(super) async fn renewed(&self, refused: u64) -> Result<Option<Client>, Error> {
        let mut slot = self.slot.lock().await;
        if slot.turn != refused {
            return Ok(slot.client.clone());
        }
        let (Some(mut config), Some(origin)) = (self.config.clone(), &self.origin) else { return Ok(None) };
        if slot.tried.is_some_and(|at| at.elapsed() < RENEWAL) {
            return Ok(None);
        }
        slot.tried = Some(Instant::now());
        if let Some(user) = origin.user() {
            config.auth_info = user;
        }
        let client = connect::client(config).await?;
        tracing::info!(server = self.address(), "the credentials were refused, and are read again");
        slot.client = Some(client.clone());
        slot.turn += 1;
        Ok(Some(client))
    }
}

/// All ways, the kubeconfig's first.
pub(super) struct Routes {
    state: RwLock<State>,
}

struct State {
    all: Vec<Arc<Route>>,
    preferred: usize,
    /// Which ways but the preferred one accepted a connection, and when that was tried.
    reachable: Option<(Instant, Vec<Arc<Route>>)>,
}

impl Routes {
    pub(super) fn new(home: Route) -> Self {
        Self { state: RwLock::new(State { all: vec![Arc::new(home)], preferred: 0, reachable: None }) }
    }

    /// The same ways for another handle.
    pub(super) fn over(known: &Self) -> Self {
        let state = known.state.read().unwrap_or_else(PoisonError::into_inner);
        let (all, preferred) = (state.all.clone(), state.preferred);
        Self { state: RwLock::new(State { all, preferred, reachable: None }) }
    }

    /// The preferred one first, then the others.
    pub(super) fn in_order(&self) -> Vec<Arc<Route>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let first = state.all.get(state.preferred).cloned();
        let others = state.all.iter().enumerate().filter(|(i, _)| *i != state.preferred);
        first.into_iter().chain(others.map(|(_, route)| route.clone())).collect()
    }

    /// The preferred one.
    pub(super) fn current(&self) -> Arc<Route> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.all[state.preferred.min(state.all.len() - 1)].clone()
    }

    /// Goes on with the one that answered.
    pub(super) fn prefer(&self, route: &Arc<Route>) {
        let known = self.current();
        if Arc::ptr_eq(&known, route) {
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = state.all.iter().position(|other| Arc::ptr_eq(other, route)) {
            tracing::info!(from = known.address(), to = route.address(), "another API endpoint is used now");
            state.preferred = at;
            state.reachable = None;
        }
    }

    /// The ways but the preferred one that accept a connection now, or did some seconds ago. Asks all of them at once,
    /// so that a network in which they cannot be reached from here costs a second, not a deadline.
    pub(super) async fn reachable(&self) -> Vec<Arc<Route>> {
        let others = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, known)) = &state.reachable
                && at.elapsed() < REMEMBERED
            {
                return known.clone();
            }
            let preferred = state.all.get(state.preferred);
            let is_other = |route: &&Arc<Route>| preferred.is_none_or(|known| !Arc::ptr_eq(known, route));
            state.all.iter().filter(is_other).cloned().collect::<Vec<_>>()
        };
        if others.is_empty() {
            return others;
        }
        let answers = join_all(others.iter().map(|route| async {
            let connected = tokio::net::TcpStream::connect(route.address());
            matches!(tokio::time::timeout(KNOCK, connected).await, Ok(Ok(_)))
        }))
        .await;
        let reachable: Vec<_> =
            others.into_iter().zip(answers).filter(|(_, is_open)| *is_open).map(|(route, _)| route).collect();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.reachable = Some((Instant::now(), reachable.clone()));
        reachable
    }

    /// Every way but the kubeconfig's.
    fn others(&self) -> Vec<Arc<Route>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.all.iter().skip(1).cloned().collect()
    }

    /// Takes over the endpoints that the cluster names; ways that are known already keep their clients.
    fn learn(&self, addresses: &[String]) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let home = state.all[0].clone();
        let Some(config) = home.config.as_ref().filter(|config| may_have_others(config)) else { return };
        let preferred = state.all[state.preferred.min(state.all.len() - 1)].clone();
        let mut all = vec![home.clone()];
        for address in addresses.iter().filter(|address| **address != home.address) {
            let known = state.all.iter().find(|route| route.address == *address).cloned();
            let origin = || home.origin.clone();
            if let Some(route) = known.or_else(|| sibling(config, address, origin()).map(Arc::new)) {
                all.push(route);
            }
        }
        state.reachable = None;
        state.preferred = all.iter().position(|route| Arc::ptr_eq(route, &preferred)).unwrap_or(0);
        state.all = all;
    }
}

/// Only a server that is reached directly over HTTPS has siblings: behind a path there is a proxy, and plain HTTP is a
/// local one. Nor where certificates are not checked: an address that the cluster names would get the credentials unseen.
fn may_have_others(config: &Config) -> bool {
    config.proxy_url.is_none()
        && !config.accept_invalid_certs
        && config.cluster_url.scheme_str() == Some("https")
        && matches!(config.cluster_url.path(), "" | "/")
}

fn sibling(config: &Config, address: &str, origin: Option<Arc<connect::Origin>>) -> Option<Route> {
    let mut other = config.clone();
    other.cluster_url = format!("https://{address}").parse().ok()?;
    if other.tls_server_name.is_none() {
        let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = if host.parse::<IpAddr>().is_ok() { "kubernetes" } else { host };
        other.tls_server_name = Some(name.to_owned());
    }
    let slot = Slot::default().into();
    Some(Route { address: address.to_owned(), config: Some(other), origin, slot })
}

/// `host:port` of a URL.
pub(super) fn authority(url: &http::Uri) -> String {
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("http") { 80 } else { 443 });
    format!("{}:{port}", url.host().unwrap_or_default())
}

#[derive(Deserialize)]
struct Slices {
    #[serde(default)]
    items: Vec<Slice>,
}

#[derive(Deserialize)]
struct Slice {
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default)]
    addresses: Vec<String>,
}

#[derive(Deserialize)]
struct Port {
    port: Option<u16>,
}

impl Slice {
    fn addresses(&self) -> impl Iterator<Item = String> {
        let port = self.ports.iter().flatten().find_map(|port| port.port).unwrap_or(443);
        self.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses).map(move |address| {
            if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
        })
    }
}

/// An address, and how fast its server said that it is ready.
pub type Readiness = (String, Result<Duration, Error>);

impl Cluster {
    /// Reads which API servers there are (EndpointSlice `default/kubernetes`), so that another one can be used when the
    /// present one does not answer.
    pub async fn learn_endpoints(&self) -> Result<Vec<String>, Error> {
        let ask = Ask::get(
            "read endpoints",
            "default/kubernetes",
            path(&["apis", "discovery.k8s.io", "v1", "namespaces", "default", "endpointslices"]),
        )
        .query("labelSelector", "kubernetes.io/service-name=kubernetes");
        let slices: Slices = self.inner.fetch(&ask).await?;
        let mut addresses: Vec<String> = slices.items.iter().flat_map(Slice::addresses).collect();
        addresses.sort();
        addresses.dedup();
        self.inner.routes.learn(&addresses);
        Ok(addresses)
    }

    /// The addresses of the API servers that the cluster names, and `/readyz` of each by its own endpoint, with the time
    /// it took. Where none of the cluster's own addresses can be reached from here (a load balancer in between), only the
    /// server of the kubeconfig is asked.
    pub async fn api_servers(&self) -> (Result<Vec<String>, Error>, Result<Vec<Readiness>, Error>) {
        let listed = self.learn_endpoints().await;
        let ready = self.ready_among(&listed).await;
        (listed, ready)
    }

    async fn ready_among(&self, listed: &Result<Vec<String>, Error>) -> Result<Vec<Readiness>, Error> {
        let others = self.inner.routes.others();
        let answers = join_all(others.iter().map(|route| self.ready_on(route))).await;
        if answers.iter().any(|(_, answer)| is_reached(answer)) {
            let home = self
                .inner
                .routes
                .in_order()
                .into_iter()
                .find(|route| !others.iter().any(|o| Arc::ptr_eq(o, route)));
            let mut all = answers;
            // a server of its own, unless it is the load balancer before the others
            if let Some(home) = home
                && listed.as_ref().is_ok_and(|addresses| addresses.contains(&home.address))
            {
                all.insert(0, self.ready_on(&home).await);
            }
            return Ok(all);
        }
        let ask = Ask::get("ask readiness", "", "/readyz".into()).within(READY);
        let address = self.inner.routes.current().address().to_owned();
        let answer = timed(self.inner.ask(&ask)).await;
        Ok(vec![(address, answer)])
    }

    async fn ready_on(&self, route: &Arc<Route>) -> Readiness {
        let ask = Ask::get("ask readiness", route.address(), "/readyz".into()).within(READY);
        let answer = timed(self.inner.ask_on(&ask, route)).await;
        (route.address().to_owned(), answer)
    }
}

/// Whether a server answered at all, well or badly.
fn is_reached(answer: &Result<Duration, Error>) -> bool {
    answer.as_ref().map_or_else(|error| error.code.is_some(), |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(url: &str) -> Routes {
        let config = Config::new(url.parse().unwrap());
        Routes::new(Route {
            address: authority(&config.cluster_url),
            config: Some(config),
            origin: None,
            slot: Slot::default().into(),
        })
    }

    fn addresses(routes: &Routes) -> Vec<String> {
        routes.in_order().iter().map(|route| route.address.clone()).collect()
    }

    #[test]
    fn the_one_that_answered_comes_first_and_stays_through_a_relearn() {
        let routes = home("https://10.0.0.1:6443");
        routes.learn(&["10.0.0.1:6443".into(), "10.0.0.2:6443".into(), "10.0.0.3:6443".into()]);
        assert_eq!(addresses(&routes), ["10.0.0.1:6443", "10.0.0.2:6443", "10.0.0.3:6443"]);
        routes.prefer(&routes.in_order()[2]);
        assert_eq!(addresses(&routes), ["10.0.0.3:6443", "10.0.0.1:6443", "10.0.0.2:6443"]);
        routes.learn(&["10.0.0.2:6443".into(), "10.0.0.3:6443".into()]);
        assert_eq!(routes.current().address(), "10.0.0.3:6443");
        routes.learn(&[]);
        assert_eq!(addresses(&routes), ["10.0.0.1:6443"]);
    }

    #[test]
    fn siblings_keep_the_name_that_the_certificate_must_hold() {
        let name = |url: &str| {
            let routes = home(url);
            routes.learn(&["10.0.0.9:6443".into()]);
            routes.others()[0].config.as_ref().and_then(|config| config.tls_server_name.clone())
        };
        assert_eq!(name("https://api.example.org:6443").as_deref(), Some("api.example.org"));
        assert_eq!(name("https://[fd00::1]:6443").as_deref(), Some("kubernetes"));
    }

    #[test]
    fn a_proxy_has_no_siblings() {
        for url in ["http://127.0.0.1:8001", "https://rancher.example.org/k8s/clusters/c-1"] {
            let routes = home(url);
            routes.learn(&["10.0.0.9:6443".into()]);
            assert!(routes.others().is_empty(), "{url}");
        }
    }

    #[test]
    fn where_certificates_are_not_checked_no_other_address_gets_the_credentials() {
        let mut config = Config::new("https://10.0.0.1:6443".parse().unwrap());
        config.accept_invalid_certs = true;
        let address = authority(&config.cluster_url);
        let routes =
            Routes::new(Route { address, config: Some(config), origin: None, slot: Slot::default().into() });
        routes.learn(&["10.0.0.9:6443".into()]);
        assert!(routes.others().is_empty());
    }

    #[test]
    fn slices_are_read() {
        let slice: Slice = serde_json::from_value(serde_json::json!({
            "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["fd00::1"]}],
            "ports": [{"name": "https", "port": 6443}],
        }))
        .unwrap();
        assert_eq!(slice.addresses().collect::<Vec<_>>(), ["10.0.0.1:6443", "[fd00::1]:6443"]);
    }
}
