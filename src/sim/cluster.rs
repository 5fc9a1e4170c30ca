//! A whole simulated cluster: objects, controllers, machines, etcd, API servers and hosts, tied together.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::actors::{self, Yard};
use super::api::faults::Connection;
use super::api::{Api, Endpoint, Faults, Network, Options};
use super::apiserver::{ApiDoor, ApiProcess};
use super::credentials::Credentials;
use super::error::Error;
use super::etcd::{Door, Ensemble, MemberFaults, http};
use super::host::{Facts, Files, Host, HostParts};
use super::machine::Machine;
use super::pace::Pace;
use super::pki::ControlPlanePki;
use super::scenario::{self, Action, Scenario};
use super::store::Store;
use super::tls::{Clients, server_config};
use super::trouble::{SharedFaults, Trouble};
use super::wire::{self, Dial, refused};
use super::world::{self, World};

/// Port of the API servers.
pub const API_PORT: u16 = 6443;
/// Port of etcd members.
pub const ETCD_PORT: u16 = 2379;
/// Port on which etcd members tell their health without TLS; only on the loopback interface.
pub const HEALTH_PORT: u16 = 2381;
/// Port of SSH servers.
pub const SSH_PORT: u16 = 22;
/// Further names of the API, as kubeadm puts them into its certificate.
const API_NAMES: &[&str] = &[
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "api.pitstop-sim.internal",
    "10.96.0.1",
];

/// A running simulated cluster. Dropping it ends everything that belongs to it.
pub struct Cluster {
    scenario: Scenario,
    pace: Pace,
    store: Store,
    machines: Vec<Machine>,
    ensemble: Ensemble,
    processes: Vec<ApiProcess>,
    api: Api,
    world: World,
    trouble: Trouble,
    fresh: Credentials,
    credentials: OnceLock<Credentials>,
    control_planes: Mutex<BTreeMap<String, ControlPlane>>,
    hosts: Mutex<BTreeMap<String, Host>>,
    stop: CancellationToken,
    _end: DropGuard,
}

/// What only a control plane has.
#[derive(Clone)]
pub(super) struct ControlPlane {
    pki: ControlPlanePki,
    pub(super) api: ApiDoor,
    pub(super) etcd: Door,
}

impl Cluster {
    /// Builds the cluster of `scenario` and lets it live at `pace`, on the current tokio runtime.
    pub fn start(scenario: Scenario, pace: Pace) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let specs = scenario.node_specs();
        let machines: Vec<Machine> =
            specs.iter().map(|spec| Machine::new(spec.machine(), pace, stop.clone())).collect();
        let members: Vec<(Machine, MemberFaults)> = std::iter::zip(&machines, &specs)
            .filter(|(machine, spec)| machine.is_control_plane() && !spec.is_spare())
            .map(|(machine, spec)| (machine.clone(), spec.etcd.clone()))
            .collect();
        let ensemble = Ensemble::start(scenario.etcd.clone(), &scenario.cluster.etcd, &members, pace, &stop);
        let control_planes = machines.iter().filter(|machine| machine.is_control_plane());
        let processes: Vec<ApiProcess> =
            control_planes.map(|machine| ApiProcess::start(machine, &ensemble, pace, &stop)).collect();
        let store = Store::new();
        scenario::populate(&store, &scenario, &machines);
        let faults = Faults::new();
        let options = Options {
            version: scenario.cluster.version.clone(),
            quorum: Some(ensemble.serving()),
            etcd_timeout: pace.of(Options::default().etcd_timeout),
            network: network(&machines, pace),
            ..Options::default()
        };
        let api = Api::new(store.clone(), faults.clone(), options);
        let world = world::start(
            store.clone(),
            &machines,
            &scenario,
            pace,
            ensemble.serving(),
            faults.clone(),
            stop.clone(),
        );
        let hosts = specs.iter().map(|spec| (spec.name.clone(), SharedFaults::new(spec.host.clone().into())));
        let trouble = Trouble::new(ensemble.clone(), hosts.collect());
        trouble.schedule(&scenario.events, pace, &stop);
        let yard = Yard::new(&machines, &ensemble, &world, &trouble, store.clock());
        actors::start(&scenario, &api.endpoint(), &yard, pace, &stop);
        let bridge = follow_connection(faults, world.api_down(), processes.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(bridge));
        Ok(Self {
            scenario,
            pace,
            store,
            machines,
            ensemble,
            processes,
            api,
            world,
            trouble,
            fresh: Credentials::generate()?,
            credentials: OnceLock::new(),
            control_planes: Mutex::default(),
            hosts: Mutex::default(),
            _end: stop.clone().drop_guard(),
            stop,
        })
    }

    /// What it was made from.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The objects.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The computer under a node.
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name() == name)
    }

    /// All computers.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// The etcd cluster.
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// The controllers, to let things happen.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Lets something happen now, as an event of the scenario would.
    pub async fn act(&self, action: Action) {
        if !self.trouble.act(&action) {
            self.world.act(action).await;
        }
    }

    /// Scripted trouble of the API.
    pub fn faults(&self) -> &Faults {
        self.api.faults()
    }

    /// The speed.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// The Kubernetes API in memory; it always answers. See [`Self::endpoint`] for one that can be down.
    pub fn router(&self) -> Router {
        self.api.router()
    }

    /// The Kubernetes API in memory as a client meets it: calls fail while no control plane answers.
    pub fn endpoint(&self) -> Endpoint {
        self.api.endpoint()
    }

    /// How often what was asked of the API server, and how it answered.
    pub fn tally(&self) -> Vec<super::api::Counted> {
        self.api.tally()
    }

    /// Keys and certificates.
    pub fn credentials(&self) -> &Credentials {
        self.credentials.get_or_init(|| self.fresh.clone())
    }

    /// Uses keys of an earlier run; false when others are in use already.
    pub fn adopt(&self, credentials: Credentials) -> bool {
        self.credentials.set(credentials).is_ok()
    }

    /// The token that ends with the cluster.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Connects to `ADDRESS:PORT` of a machine, by its internal IP or its name: 22 SSH, 2379 etcd (TLS), 6443 API
    /// (TLS). Fails as a network would: refused where nothing listens or the machine is off.
    #[expect(clippy::unused_async, reason = "callers treat it as a connection attempt")]
    pub async fn dial(&self, address: &str) -> io::Result<DuplexStream> {
        let (name, port) =
            address.rsplit_once(':').ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let port: u16 = port.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let is_asked = |machine: &&Machine| machine.name() == name || machine.address() == name;
        let machine = self
            .machines
            .iter()
            .find(is_asked)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no such host: {name}")))?;
        let (near, far) = wire::pair();
        match port {
            SSH_PORT => self.host(machine.name()).map_err(io::Error::other)?.accept(far)?,
            ETCD_PORT if machine.is_control_plane() => self.plane(machine)?.etcd.accept(far)?,
            API_PORT if machine.is_control_plane() => self.plane(machine)?.api.accept(far)?,
            _ => return Err(refused()),
        }
        Ok(near)
    }

    fn plane(&self, machine: &Machine) -> io::Result<ControlPlane> {
        self.control_plane(machine).map_err(io::Error::other)
    }

    /// The services of a control plane, made when first asked for.
    pub(super) fn control_plane(&self, machine: &Machine) -> Result<ControlPlane, Error> {
        let mut known = self.control_planes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plane) = known.get(machine.name()) {
            return Ok(plane.clone());
        }
        let plane = self.new_control_plane(machine)?;
        known.insert(machine.name().to_owned(), plane.clone());
        Ok(plane)
    }

    fn new_control_plane(&self, machine: &Machine) -> Result<ControlPlane, Error> {
        let no_member = || Error::Unknown(machine.name().to_owned());
        let credentials = self.credentials();
        let names: Vec<String> = API_NAMES.iter().map(|name| (*name).to_owned()).collect();
        let pki = ControlPlanePki::issue(credentials, machine.name(), machine.address(), &names)?;
        let tls = server_config(&pki.etcd_server, credentials.etcd_ca(), Clients::Required, &[b"h2"])?;
        let etcd = Door::new(&self.ensemble, machine.name(), tls, self.stop.clone());
        let alpn: &[&[u8]] = &[b"h2", b"http/1.1"];
        let tls = server_config(&pki.apiserver, credentials.api_ca(), Clients::Optional, alpn)?;
        let process = self.processes.iter().find(|process| process.node() == machine.name());
        let process = process.ok_or_else(no_member)?.clone();
        let api = ApiDoor::new(process, self.router(), self.faults().clone(), tls, self.stop.clone());
        let plane = ControlPlane { pki, api, etcd };
        self.api.loopbacks().listen(machine.name(), &self.local_ports(machine, plane.clone()));
        Ok(plane)
    }

    /// What listens on a control plane's loopback interface.
    fn local_ports(&self, machine: &Machine, plane: ControlPlane) -> BTreeMap<u16, Dial> {
        let (etcd, api) = (plane.etcd, plane.api);
        let to_etcd: Dial = Arc::new(move || {
            let (near, far) = wire::pair();
            etcd.accept(far).map(|()| near)
        });
        let to_api: Dial = Arc::new(move || {
            let (near, far) = wire::pair();
            api.accept(far).map(|()| near)
        });
        let (ensemble, node, stop) = (self.ensemble.clone(), machine.name().to_owned(), self.stop.clone());
        let to_health: Dial = Arc::new(move || {
            if !ensemble.is_up(&node) {
                return Err(refused());
            }
            let (near, far) = wire::pair();
            let serving = http::serve(far, ensemble.clone(), node.clone());
            tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
            Ok(near)
        });
        BTreeMap::from([(ETCD_PORT, to_etcd), (HEALTH_PORT, to_health), (API_PORT, to_api)])
    }

    /// The host of a node, made when first asked for.
    pub fn host(&self, name: &str) -> Result<Host, Error> {
        let machine = self.machine(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
        if let Some(host) = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(host.clone());
        }
        let host = self.new_host(machine)?;
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(hosts.entry(name.to_owned()).or_insert(host).clone())
    }

    fn new_host(&self, machine: &Machine) -> Result<Host, Error> {
        let specs = self.scenario.node_specs();
        let spec = specs.into_iter().find(|spec| spec.name == machine.name()).unwrap_or_default();
        let (cluster, credentials) = (&self.scenario.cluster, self.credentials());
        let facts =
            Facts { kernel: spec.kernel.unwrap_or_else(|| cluster.kernel.clone()), os: cluster.os.clone() };
        let (files, services) = if machine.is_control_plane() {
            let plane = self.control_plane(machine)?;
            let files =
                Files::of_control_plane(credentials, &plane.pki, machine, &cluster.etcd, &cluster.version)?;
            (files, self.local_ports(machine, plane))
        } else {
            (Files::of_worker(credentials, machine)?, BTreeMap::new())
        };
        let etcd = machine.is_control_plane().then(|| self.ensemble.clone());
        let faults = self.trouble.of_host(machine.name());
        let parts = HostParts { machine: machine.clone(), facts, faults, files, etcd, ports: services };
        Host::new(parts, credentials, self.pace, self.stop.clone())
    }
}

/// The network to the nodes: it ends at a machine that is off.
fn network(machines: &[Machine], pace: Pace) -> Network {
    let machines = machines.to_vec();
    let is_on = move |node: &str| machines.iter().any(|machine| machine.name() == node && machine.is_on());
    Network::new(is_on, pace)
}

/// Lets connections in memory fail while the scenario says so or no API server runs.
async fn follow_connection(faults: Faults, mut api_down: watch::Receiver<bool>, processes: Vec<ApiProcess>) {
    let mut servers: Vec<_> = processes.iter().map(ApiProcess::watch).collect();
    let mut was_down = false;
    loop {
        // Every server is looked at, so that no change already seen wakes this task again.
        let up = servers.iter_mut().map(|up| *up.borrow_and_update()).filter(|up| *up).count();
        let is_down = *api_down.borrow_and_update() || up == 0;
        if is_down != was_down {
            faults.set_connection(if is_down { Connection::Down } else { Connection::Open });
            was_down = is_down;
        }
        let changes = servers.iter_mut().map(|up| Box::pin(up.changed()));
        tokio::select! {
            told = api_down.changed() => if told.is_err() { return },
            _ = futures::future::select_all(changes) => {}
        }
    }
}
