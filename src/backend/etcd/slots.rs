//! Where members are looked for: names, the nodes to go through, addresses. Pure.

use super::options::{EtcdOptions, Route};
use crate::domain::etcd::place::Place;
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use std::collections::BTreeMap;

/// Each place: its name (the node's; the address of a member that is on none), the node's row, the address to dial.
pub(super) fn wanted<'a>(
    options: &EtcdOptions,
    route: Route,
    place: Option<&Place>,
    nodes: &'a [NodeRow],
) -> Vec<(NodeName, Option<&'a NodeRow>, String)> {
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
        let default = match (route, row.and_then(|row| row.address.as_ref())) {
            (Route::Ssh, _) => Some(format!("127.0.0.1:{port}")),
            (Route::Direct, Some(address)) if address.contains(':') => Some(format!("[{address}]:{port}")),
            (Route::Direct, Some(address)) => Some(format!("{address}:{port}")),
            (Route::Direct, None) => None,
        };
        if let Some(address) = options.endpoints.get(&name).cloned().or(default) {
            wanted.push((name, row, address));
        }
    }
    // members on hosts that are no nodes are reached through a control plane, which reaches them too
    let masters: Vec<&NodeRow> = nodes.iter().filter(|row| row.is_control_plane()).collect();
    for (index, address) in external.iter().enumerate().filter(|_| options.endpoints.is_empty()) {
        let through = masters.get(index % masters.len().max(1)).copied();
        wanted.push((NodeName(address.clone()), through, address.clone()));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::row;
    use super::*;
    use crate::domain::etcd::place::{Discovery, discover};

    fn addresses(route: Route, place: Option<&Place>) -> Vec<(String, String)> {
        let nodes = [row("cp-1", "10.0.0.1"), row("cp-2", "fd00::2")];
        let wanted = wanted(&EtcdOptions::default(), route, place, &nodes);
        wanted.into_iter().map(|(name, _, address)| (name.0, address)).collect()
    }

    #[test]
    fn each_node_is_asked_at_its_own_loopback_or_its_address() {
        let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        assert_eq!(
            addresses(Route::Ssh, None),
            [pair("cp-1", "127.0.0.1:2379"), pair("cp-2", "127.0.0.1:2379")]
        );
        assert_eq!(
            addresses(Route::Direct, None),
            [pair("cp-1", "10.0.0.1:2379"), pair("cp-2", "[fd00::2]:2379")]
        );
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
        let found = wanted(&EtcdOptions::default(), Route::Ssh, Some(&place), &nodes);
        let through: Vec<_> =
            found.iter().map(|(_, row, address)| (row.map(|row| row.name.as_str()), &**address)).collect();
        assert_eq!(through, [(Some("cp-1"), "10.9.0.1:2379"), (Some("cp-1"), "10.9.0.2:2379")]);
    }
}
