//! Where members are looked for: names, the nodes to go through, the ways and their addresses. Pure.

use super::options::{EtcdOptions, Route};
use crate::backend::host::split_address;
use crate::domain::etcd::place::Place;
use crate::domain::ids::{NodeName, PodKey};
use crate::domain::node::NodeRow;
use std::collections::BTreeMap;

/// One way to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) route: Route,
    /// `host:port` as the end of the way sees it; `http://` before it = without TLS.
    pub(super) address: String,
}

impl Way {
    /// Without the scheme.
    pub(super) fn authority(&self) -> &str {
        self.address.trim_start_matches("http://").trim_start_matches("https://")
    }

    pub(super) fn is_plain(&self) -> bool {
        self.address.starts_with("http://")
    }
}

/// A place where a member is to be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// The node's name; the address of a member that is on none.
    pub(super) name: NodeName,
    /// The node's row, or that of the node to go through.
    pub(super) row: Option<&'a NodeRow>,
    /// In the order in which they are tried; never empty.
    pub(super) ways: Vec<Way>,
    /// The pod that runs it.
    pub(super) pod: Option<PodKey>,
}

/// Each place once.
pub(super) fn wanted<'a>(
    options: &EtcdOptions,
    routes: &[Route],
    place: Option<&Place>,
    nodes: &'a [NodeRow],
) -> Vec<Wanted<'a>> {
    let mut names: BTreeMap<NodeName, Option<&NodeRow>> = BTreeMap::new();
    let row = |name: &NodeName| nodes.iter().find(|row| row.name == *name);
    let external = place.map_or(&[][..], |place| &place.external);
    for name in options.endpoints.keys().chain(place.iter().flat_map(|place| &place.nodes)) {
        names.insert(name.clone(), row(name));
    }
    if external.is_empty() {
        for row in nodes.iter().filter(|row| row.is_control_plane() || row.is_labelled_etcd()) {
            names.insert(row.name.clone(), Some(row));
        }
    }
    let port = place.map_or(2379, |place| place.port);
    let mut wanted = Vec::new();
    for (name, row) in names {
        let given = options.endpoints.get(&name);
        let way = |route: &Route| {
            let address = given.cloned().or_else(|| usual(*route, row, port))?;
            Some(Way { route: *route, address })
        };
        let ways: Vec<Way> = routes.iter().filter_map(way).collect();
        if !ways.is_empty() {
            let pod = place.and_then(|place| place.pods.get(&name)).cloned();
            wanted.push(Wanted { name, row, ways, pod });
        }
    }
    // members on hosts that are no nodes are reached through a control plane, which reaches them too; no pod runs them
    let masters: Vec<&NodeRow> = nodes.iter().filter(|row| row.is_control_plane()).collect();
    for (index, address) in external.iter().enumerate().filter(|_| options.endpoints.is_empty()) {
        let row = masters.get(index % masters.len().max(1)).copied();
        let way = |route: &Route| Way { route: *route, address: address.clone() };
        let ways = routes.iter().filter(|route| **route != Route::PortForward || routes.len() == 1).map(way);
        wanted.push(Wanted { name: NodeName(address.clone()), row, ways: ways.collect(), pod: None });
    }
    wanted
}

/// A port of a node's own loopback, or of its address where nobody dials from the node itself.
fn usual(route: Route, row: Option<&NodeRow>, port: u16) -> Option<String> {
    match route {
        Route::Ssh | Route::PortForward => Some(format!("127.0.0.1:{port}")),
        Route::Direct | Route::Command => Some(joined(row?.address.as_ref()?, port)),
    }
}

/// `host:port`, with brackets around an IPv6 host.
pub(super) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The same address with another port, without a scheme.
pub(super) fn with_port(address: &str, port: u16) -> String {
    let authority = address.trim_start_matches("http://").trim_start_matches("https://");
    joined(&split_address(authority, 0).0, port)
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::row;
    use super::*;
    use crate::domain::etcd::place::{Discovery, discover};

    fn addresses(route: Route, place: Option<&Place>) -> Vec<(String, String)> {
        let nodes = [row("cp-1", "10.0.0.1"), row("cp-2", "fd00::2")];
        let wanted = wanted(&EtcdOptions::default(), &[route], place, &nodes);
        wanted.into_iter().map(|slot| (slot.name.0, slot.ways[0].address.clone())).collect()
    }

    #[test]
    fn each_node_is_asked_at_its_own_loopback_or_its_address() {
        let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        for route in [Route::Ssh, Route::PortForward] {
            let loopback = "127.0.0.1:2379";
            assert_eq!(addresses(route, None), [pair("cp-1", loopback), pair("cp-2", loopback)]);
        }
        for route in [Route::Direct, Route::Command] {
            assert_eq!(
                addresses(route, None),
                [pair("cp-1", "10.0.0.1:2379"), pair("cp-2", "[fd00::2]:2379")]
            );
        }
    }

    #[test]
    fn an_external_etcd_is_reached_through_the_control_planes() {
        let pod = crate::domain::etcd::place::ControlPod {
            labels: [("component".to_owned(), "kube-apiserver".to_owned())].into(),
            words: vec!["--etcd-servers=https://10.9.0.1:2379,https://10.9.0.2:2379".to_owned()],
            ..Default::default()
        };
        let nodes = [row("cp-1", "10.0.0.1")];
        let Discovery::Found(place) = discover(&nodes, &[pod]) else { panic!("found") };
        let routes = [Route::Ssh, Route::PortForward];
        let found = wanted(&EtcdOptions::default(), &routes, Some(&place), &nodes);
        let through: Vec<_> = found
            .iter()
            .map(|slot| (slot.row.map(|row| row.name.as_str()), slot.ways.len(), &*slot.ways[0].address))
            .collect();
        assert_eq!(through, [(Some("cp-1"), 1, "10.9.0.1:2379"), (Some("cp-1"), 1, "10.9.0.2:2379")]);
    }

    #[test]
    fn a_port_is_replaced() {
        assert_eq!(with_port("https://10.0.0.1:2379", 4002), "10.0.0.1:4002");
        assert_eq!(with_port("[fd00::1]:2379", 2381), "[fd00::1]:2381");
    }
}
