//! What a node has left for a pod, and which pods and volumes must or must not be together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::desk::Desk;
use super::read::{Key, is_deleting, is_terminal, items, namespace, node_of, text};
use super::select::{accepts_node, labels, matches};
use crate::sim::store::Object;
use crate::sim::store::resources::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};

/// A required anti-affinity in a pod.
const APART: &str = "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";

/// What a quantity is worth, in millionths; texts that are no quantity are worth nothing.
fn micro(quantity: &Value) -> i128 {
    const SUFFIXES: [(&str, i128); 15] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("", 1),
        ("m", -1_000),
        ("u", -1_000_000),
        ("e3", 1_000),
        ("e6", 1_000_000),
        ("e9", 1_000_000_000),
        ("n", -1_000_000_000),
    ];
    let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let Some((_, by)) = SUFFIXES.iter().find(|(suffix, _)| *suffix == &text[end..]) else { return 0 };
    let (whole, part) = text[..end].split_once('.').unwrap_or((&text[..end], ""));
    let digits = format!("{part:0<6}");
    let count = |text: &str| text.parse::<i128>().unwrap_or_default();
    let value = count(whole) * 1_000_000 + count(&digits[..6]);
    if *by > 0 { value * by } else { value / -by }
}

/// What all containers of a pod ask for of one resource.
fn request(pod: &Value, resource: &str) -> i128 {
    items(pod, "/spec/containers")
        .iter()
        .map(|container| micro(&container["resources"]["requests"][resource]))
        .sum()
}

/// The first resource of which a node has too little, in kube-scheduler's words.
pub fn shortage(pod: &Value, node: &Value, present: impl Fn() -> Vec<Object>) -> Option<String> {
    for resource in ["cpu", "memory"] {
        let asked = request(pod, resource);
        if asked == 0 {
            continue;
        }
        let others = present();
        let taken: i128 =
            others.iter().filter(|pod| !is_terminal(pod)).map(|pod| request(pod, resource)).sum();
        if taken + asked > micro(&node["status"]["allocatable"][resource]) {
            return Some(format!("Insufficient {resource}"));
        }
    }
    None
}

/// The volumes of a pod that have a node affinity.
pub fn tied_volumes(pod: &Value, desk: &Desk) -> Vec<Object> {
    let claims = items(pod, "/spec/volumes").iter().map(|v| text(v, "/persistentVolumeClaim/claimName"));
    let volume = |claim: &str| {
        let claim = desk.get(&PERSISTENT_VOLUME_CLAIMS, &Key::new(namespace(pod), claim))?;
        desk.get(&PERSISTENT_VOLUMES, &Key::cluster(text(&claim, "/spec/volumeName")))
    };
    claims.filter(|claim| !claim.is_empty()).filter_map(volume).collect()
}

/// Whether a volume is reached from a node.
pub fn reaches(volume: &Value, node: &Value) -> bool {
    let required = &volume["spec"]["nodeAffinity"]["required"];
    let as_pod = json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } } });
    required.is_null() || accepts_node(&as_pod, node)
}

/// Whether a pod keeps others away.
pub fn keeps_apart(pod: &Value) -> bool {
    !items(pod, APART).is_empty()
}

/// Places that a pod may not share, as label and value of nodes: those of the pods that it avoids, and those of the pods
/// that avoid it (`avoiding`).
pub fn rivals(
    pod: &Value,
    desk: &Desk,
    nodes: &BTreeMap<String, Object>,
    avoiding: &BTreeSet<Key>,
) -> BTreeSet<(String, String)> {
    let mut places = BTreeSet::new();
    let mut add = |term: &Value, other: &Value| {
        let key = text(term, "/topologyKey");
        let value = nodes.get(node_of(other)).and_then(|node| labels(node)[key].as_str());
        places.extend(value.map(|value| (key.to_owned(), value.to_owned())));
    };
    for term in items(pod, APART) {
        for home in homes(term, pod) {
            for other in desk.index.pods_in(&home) {
                if !is_terminal(other) && matches(&term["labelSelector"], labels(other)) {
                    add(term, other);
                }
            }
        }
    }
    for other in avoiding.iter().filter_map(|key| desk.index.pod(key)).filter(|other| !is_terminal(other)) {
        for term in items(other, APART) {
            let is_meant = homes(term, other).iter().any(|home| home == namespace(pod));
            if is_meant && matches(&term["labelSelector"], labels(pod)) {
                add(term, other);
            }
        }
    }
    places
}

fn homes(term: &Value, pod: &Value) -> Vec<String> {
    let listed = items(term, "/namespaces").iter().filter_map(Value::as_str).map(str::to_owned);
    let listed: Vec<String> = listed.collect();
    if listed.is_empty() { vec![namespace(pod).to_owned()] } else { listed }
}

/// Whether a pod on this node would be one too many of its kind there (hard topology spread constraints).
pub fn is_crowded(pod: &Value, node: &Value, desk: &Desk, nodes: &BTreeMap<String, Object>) -> bool {
    items(pod, "/spec/topologySpreadConstraints")
        .iter()
        .filter(|rule| rule["whenUnsatisfiable"] == "DoNotSchedule")
        .any(|rule| {
            let key = text(rule, "/topologyKey");
            let Some(here) = labels(node)[key].as_str() else { return true };
            let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
            for other in nodes.values().filter(|other| accepts_node(&pod["spec"], other)) {
                if let Some(value) = labels(other)[key].as_str() {
                    counts.entry(value).or_default();
                }
            }
            for other in desk.index.pods_in(namespace(pod)) {
                let place = nodes.get(node_of(other)).and_then(|node| labels(node)[key].as_str());
                if !is_terminal(other)
                    && !is_deleting(other)
                    && matches(&rule["labelSelector"], labels(other))
                    && let Some(count) = place.and_then(|place| counts.get_mut(place))
                {
                    *count += 1;
                }
            }
            let own = i64::from(matches(&rule["labelSelector"], labels(pod)));
            let least = counts.values().min().copied().unwrap_or_default();
            let most = rule["maxSkew"].as_i64().unwrap_or(1);
            counts.get(here).copied().unwrap_or_default() + own - least > most
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_by_their_worth() {
        let worth = |text: &str| micro(&json!(text));
        assert_eq!(worth("1"), 1_000_000);
        assert_eq!(worth("100m"), 100_000);
        assert_eq!(worth("1.5"), 1_500_000);
        assert_eq!(worth("2Ki"), 2048 * 1_000_000);
        assert_eq!(micro(&json!(3)), 3_000_000);
        assert_eq!(worth("some"), 0);
    }

    #[test]
    fn a_node_is_short_of_what_its_pods_have_taken() {
        let pod = |cpu: &str| json!({ "spec": { "containers": [{ "resources": { "requests": { "cpu": cpu } } }] } });
        let node = json!({ "status": { "allocatable": { "cpu": "1" } } });
        let taken = || vec![std::sync::Arc::new(pod("600m"))];
        assert_eq!(shortage(&pod("400m"), &node, taken), None);
        assert_eq!(shortage(&pod("500m"), &node, taken).as_deref(), Some("Insufficient cpu"));
        assert_eq!(shortage(&json!({ "spec": {} }), &node, taken), None);
    }
}
