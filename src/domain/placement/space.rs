//! The room in a cluster: which pods are where, and which nodes would take one more.
//!
//! A model to foretell with. Pods of other owners do not move in it, nothing is preempted, and preferences are left out.

use super::{PodTerm, Spread, VolumeRow};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::placement::Amounts;
use crate::domain::pod::PodRow;
use std::collections::{BTreeMap, BTreeSet};

/// The taint that a cordon sets.
const CORDON: &str = "node.kubernetes.io/unschedulable";

/// What keeps a pod off a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Cordoned, or about to be.
    Cordoned,
    /// Not Ready.
    NotReady,
    /// A taint that the pod does not tolerate, by its key.
    Taint(String),
    /// Not what its node selector or node affinity asks for.
    Selector,
    /// Its volume is not to be reached from there.
    Volume,
    /// A port of the host is taken.
    Port,
    /// As many pods as it may hold.
    Full,
    /// Too little CPU is left.
    Cpu,
    /// Too little memory is left.
    Memory,
    /// Too little of something else is left.
    Other(String),
    /// Anti-affinity, its own or that of a pod there.
    Apart,
    /// No pod there that it has to be near to.
    Near,
    /// Too many of its kind there already.
    Spread,
}

impl Obstacle {
    /// In a few words that follow a number of nodes.
    pub fn words(&self) -> String {
        match self {
            Self::Cordoned => "cordoned".to_owned(),
            Self::NotReady => "not Ready".to_owned(),
            Self::Taint(key) => format!("tainted {key}"),
            Self::Selector => "outside its node selector or affinity".to_owned(),
            Self::Volume => "out of reach of its volume".to_owned(),
            Self::Port => "with its host port taken".to_owned(),
            Self::Full => "full of pods".to_owned(),
            Self::Cpu => "short of CPU".to_owned(),
            Self::Memory => "short of memory".to_owned(),
            Self::Other(name) => format!("short of {name}"),
            Self::Apart => "kept off by anti-affinity".to_owned(),
            Self::Near => "without a pod that it must be near to".to_owned(),
            Self::Spread => "past its topology spread".to_owned(),
        }
    }
}

/// A pod at a place.
#[derive(Debug, Clone, Copy)]
pub struct Resident<'a> {
    /// The pod, or the one that it replaces.
    pub row: &'a PodRow,
    /// The index of its node.
    pub place: usize,
}

/// One node.
#[derive(Debug)]
struct Place<'a> {
    row: &'a NodeRow,
    is_closed: bool,
    used: Amounts,
    pods: usize,
    ports: Vec<&'a str>,
}

/// All nodes, and all pods that are bound.
#[derive(Debug)]
pub struct Space<'a> {
    places: Vec<Place<'a>>,
    residents: Vec<Option<Resident<'a>>>,
    by_namespace: BTreeMap<&'a str, BTreeSet<usize>>,
    with_rules: BTreeSet<usize>,
    volumes: BTreeMap<(&'a str, &'a str), Vec<&'a VolumeRow>>,
}

/// What the rules of one pod mean at the moment.
struct Frame<'a, 'p> {
    apart: Vec<(&'p str, BTreeSet<&'a str>)>,
    /// Places that pods there keep for themselves, by label and value.
    repelled: BTreeSet<(&'a str, &'a str)>,
    /// `None` = nowhere yet, and the pod may be the first.
    near: Vec<(&'p str, Option<BTreeSet<&'a str>>)>,
    spread: Vec<(&'p Spread, BTreeMap<&'a str, usize>)>,
    volumes: Vec<&'a VolumeRow>,
}

impl<'a> Space<'a> {
    /// The room as it is.
    pub fn new(
        nodes: impl IntoIterator<Item = &'a NodeRow>,
        pods: impl IntoIterator<Item = &'a PodRow>,
        volumes: impl IntoIterator<Item = &'a VolumeRow>,
    ) -> Self {
        let place = |row: &'a NodeRow| Place {
            row,
            is_closed: row.cordoned,
            used: Amounts::default(),
            pods: 0,
            ports: Vec::new(),
        };
        let mut space = Self {
            places: nodes.into_iter().map(place).collect(),
            residents: Vec::new(),
            by_namespace: BTreeMap::new(),
            with_rules: BTreeSet::new(),
            volumes: BTreeMap::new(),
        };
        for volume in volumes {
            if let Some((namespace, claim)) = &volume.claim {
                space.volumes.entry((namespace, claim)).or_default().push(volume);
            }
        }
        let index: BTreeMap<&NodeName, usize> =
            space.places.iter().enumerate().map(|(at, place)| (&place.row.name, at)).collect();
        for row in pods {
            if let Some(place) = row.node.as_ref().and_then(|node| index.get(node)) {
                space.add(row, *place);
            }
        }
        space
    }

    /// The index of a node.
    pub fn find(&self, node: &NodeName) -> Option<usize> {
        self.places.iter().position(|place| place.row.name == *node)
    }

    /// A node by its index.
    pub fn node(&self, place: usize) -> Option<&'a NodeRow> {
        self.places.get(place).map(|place| place.row)
    }

    /// Cordons a node.
    pub fn close(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            place.is_closed = true;
        }
    }

    /// Makes a node schedulable again, where it was so in the beginning.
    pub fn open(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            place.is_closed = place.row.cordoned;
        }
    }

    /// Puts a pod on a node; the number that it goes by from now on.
    pub fn add(&mut self, row: &'a PodRow, place: usize) -> usize {
        let id = self.residents.len();
        self.residents.push(Some(Resident { row, place }));
        if row.is_finished() {
            return id;
        }
        if let Some(place) = self.places.get_mut(place) {
            place.used.add(&row.requests);
            place.pods += 1;
            place.ports.extend(ports(row));
        }
        self.by_namespace.entry(&row.key.namespace).or_default().insert(id);
        if row.rules.is_some() {
            self.with_rules.insert(id);
        }
        id
    }

    /// Takes a pod away.
    pub fn remove(&mut self, id: usize) {
        let Some(resident) = self.residents.get_mut(id).and_then(Option::take) else { return };
        if resident.row.is_finished() {
            return;
        }
        if let Some(place) = self.places.get_mut(resident.place) {
            place.used.subtract(&resident.row.requests);
            place.pods -= 1;
            place.ports.retain(|port| !ports(resident.row).any(|own| own == *port));
        }
        if let Some(here) = self.by_namespace.get_mut(resident.row.key.namespace.as_str()) {
            here.remove(&id);
        }
        self.with_rules.remove(&id);
    }

    /// All pods, with the numbers that they go by.
    pub fn residents(&self) -> impl Iterator<Item = (usize, Resident<'a>)> {
        self.residents.iter().enumerate().filter_map(|(id, resident)| Some((id, (*resident)?)))
    }

    /// Which nodes would take a pod, and what keeps it off the others.
    pub fn homes(&self, pod: &PodRow) -> (Vec<usize>, BTreeMap<Obstacle, usize>) {
        let frame = self.frame(pod);
        let (mut homes, mut obstacles) = (Vec::new(), BTreeMap::new());
        for (at, place) in self.places.iter().enumerate() {
            match obstacle(pod, place, &frame) {
                None => homes.push(at),
                Some(obstacle) => *obstacles.entry(obstacle).or_default() += 1,
            }
        }
        (homes, obstacles)
    }

    /// The one node to which its selector, affinity or volume ties a pod, if it is only one.
    pub fn tied_to(&self, pod: &PodRow) -> Option<&'a NodeName> {
        let volumes = self.volumes_of(pod);
        let mut fits = self.places.iter().filter(|place| {
            selects(pod, place.row) && volumes.iter().all(|volume| reaches(volume, place.row))
        });
        let first = fits.next()?;
        (fits.next().is_none() && self.places.len() > 1).then_some(&first.row.name)
    }

    /// The volume that is not to be reached from everywhere, if the pod has one.
    pub fn volumes_of(&self, pod: &PodRow) -> Vec<&'a VolumeRow> {
        let claims = pod.claims.iter();
        let found =
            claims.filter_map(|claim| self.volumes.get(&(pod.key.namespace.as_str(), claim.as_str())));
        found.flatten().copied().collect()
    }

    /// The home with the fewest pods of the same owner, then the fewest pods (`spreads`); or the fullest one.
    pub fn choose(&self, pod: &PodRow, homes: &[usize], spreads: bool) -> Option<usize> {
        let mut siblings: BTreeMap<usize, usize> = BTreeMap::new();
        if let (Some(owner), Some(here)) = (&pod.owner, self.by_namespace.get(pod.key.namespace.as_str())) {
            for resident in here.iter().filter_map(|id| self.residents[*id]) {
                if resident.row.owner.as_ref().is_some_and(|other| other.uid == owner.uid) {
                    *siblings.entry(resident.place).or_default() += 1;
                }
            }
        }
        let pods = |at: &usize| self.places[*at].pods;
        let name = |at: &usize| &self.places[*at].row.name;
        let company = |at: &usize| siblings.get(at).copied().unwrap_or(0);
        let least = homes.iter().min_by_key(|at| (company(at), pods(at), name(at)));
        let most = homes.iter().max_by_key(|at| (self.places[**at].used.cpu_milli, pods(at), name(at)));
        if spreads { least.copied() } else { most.copied() }
    }

    /// The pods that a term speaks of.
    fn meant<'s>(
        &'s self,
        pod: &'s PodRow,
        term: &'s PodTerm,
    ) -> impl Iterator<Item = (usize, Resident<'a>)> + 's {
        let is_home = move |namespace: &str| {
            term.everywhere
                || (term.namespaces.is_empty() && namespace == pod.key.namespace)
                || term.namespaces.iter().any(|name| name == namespace)
        };
        let spaces = self.by_namespace.iter().filter(move |(namespace, _)| is_home(namespace));
        let pods = spaces.flat_map(|(_, here)| here);
        pods.filter_map(|id| Some((*id, self.residents[*id]?)))
            .filter(|(_, other)| term.selector.matches(&other.row.labels))
    }

    fn label(&self, place: usize, key: &str) -> Option<&'a str> {
        self.places[place].row.labels.get(key).map(String::as_str)
    }

    fn frame<'p>(&self, pod: &'p PodRow) -> Frame<'a, 'p> {
        let mut frame = Frame {
            apart: Vec::new(),
            repelled: self.repelled(pod),
            near: Vec::new(),
            spread: Vec::new(),
            volumes: self.volumes_of(pod),
        };
        let Some(rules) = pod.rules.as_deref() else { return frame };
        let values = |term: &'p PodTerm| {
            let places = self.meant(pod, term).map(|(_, other)| other.place);
            places.filter_map(|place| self.label(place, &term.topology)).collect::<BTreeSet<_>>()
        };
        frame.apart = rules.apart.iter().map(|term| (term.topology.as_str(), values(term))).collect();
        for term in &rules.near {
            let found = values(term);
            let is_first = found.is_empty() && term.selector.matches(&pod.labels);
            frame.near.push((&term.topology, (!is_first).then_some(found)));
        }
        frame.spread = rules.spread.iter().map(|spread| (spread, self.counts(pod, spread))).collect();
        frame
    }

    /// Places of pods whose own anti-affinity means this one.
    fn repelled(&self, pod: &PodRow) -> BTreeSet<(&'a str, &'a str)> {
        let mut repelled = BTreeSet::new();
        for resident in self.with_rules.iter().filter_map(|id| self.residents[*id]) {
            for term in resident.row.rules.iter().flat_map(|rules| &rules.apart) {
                let is_meant = term.everywhere
                    || (term.namespaces.is_empty() && resident.row.key.namespace == pod.key.namespace)
                    || term.namespaces.contains(&pod.key.namespace);
                if is_meant
                    && term.selector.matches(&pod.labels)
                    && let Some(value) = self.label(resident.place, &term.topology)
                {
                    repelled.insert((term.topology.as_str(), value));
                }
            }
        }
        repelled
    }

    /// How many pods of a constraint each of its places has.
    fn counts(&self, pod: &PodRow, spread: &Spread) -> BTreeMap<&'a str, usize> {
        let mut counts = BTreeMap::new();
        let mut counted = BTreeSet::new();
        for (at, place) in self.places.iter().enumerate() {
            let is_counted = (spread.ignores_affinity || selects(pod, place.row))
                && !(spread.honors_taints && (is_shut(pod, place) || taint(pod, place.row).is_some()));
            if let (true, Some(value)) = (is_counted, self.label(at, &spread.topology)) {
                counts.entry(value).or_insert(0);
                counted.insert(at);
            }
        }
        let here = self.by_namespace.get(pod.key.namespace.as_str());
        for resident in here.into_iter().flatten().filter_map(|id| self.residents[*id]) {
            if counted.contains(&resident.place)
                && resident.row.deleting.is_none()
                && spread.selector.matches(&resident.row.labels)
                && let Some(count) =
                    self.label(resident.place, &spread.topology).and_then(|value| counts.get_mut(value))
            {
                *count += 1;
            }
        }
        counts
    }
}

/// The ports of the host that a pod takes.
fn ports(pod: &PodRow) -> impl Iterator<Item = &str> {
    pod.rules.iter().flat_map(|rules| &rules.ports).map(String::as_str)
}

/// Whether a pod's node selector and required node affinity mean a node.
fn selects(pod: &PodRow, node: &NodeRow) -> bool {
    let terms = pod.rules.as_ref().and_then(|rules| rules.node_terms.as_ref());
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && terms.is_none_or(|terms| terms.iter().any(|term| term.holds(node.name.as_str(), &node.labels)))
}

fn reaches(volume: &VolumeRow, node: &NodeRow) -> bool {
    volume.terms.iter().any(|term| term.holds(node.name.as_str(), &node.labels))
}

fn is_shut(pod: &PodRow, place: &Place<'_>) -> bool {
    place.is_closed && !pod.tolerates_cordon
}

/// The first taint that keeps a pod away; that of a cordon is told by the cordon.
fn taint<'n>(pod: &PodRow, node: &'n NodeRow) -> Option<&'n str> {
    let repels = |taint: &&String| {
        let effect = taint.rsplit_once(':').map_or("", |(_, effect)| effect);
        matches!(effect, "NoSchedule" | "NoExecute") && !taint.starts_with(CORDON)
    };
    let tolerations = pod.rules.as_ref().map_or(&[][..], |rules| &rules.tolerations);
    let mut taints = node.taints.iter().filter(repels);
    let found = taints.find(|taint| !tolerations.iter().any(|toleration| toleration.covers(taint)))?;
    Some(found.split([':', '=']).next().unwrap_or(found))
}

fn obstacle(pod: &PodRow, place: &Place<'_>, frame: &Frame<'_, '_>) -> Option<Obstacle> {
    let node = place.row;
    if is_shut(pod, place) {
        return Some(Obstacle::Cordoned);
    }
    if !node.is_ready() {
        return Some(Obstacle::NotReady);
    }
    if let Some(key) = taint(pod, node) {
        return Some(Obstacle::Taint(key.to_owned()));
    }
    if !selects(pod, node) {
        return Some(Obstacle::Selector);
    }
    if !frame.volumes.iter().all(|volume| reaches(volume, node)) {
        return Some(Obstacle::Volume);
    }
    lacks(pod, place).or_else(|| breaks(pod, node, frame))
}

/// What a node has too little of.
fn lacks(pod: &PodRow, place: &Place<'_>) -> Option<Obstacle> {
    let node = place.row;
    if ports(pod).any(|port| place.ports.contains(&port)) {
        return Some(Obstacle::Port);
    }
    if node.pod_capacity.is_some_and(|most| place.pods >= usize::try_from(most).unwrap_or(usize::MAX)) {
        return Some(Obstacle::Full);
    }
    let have = node.allocatable.as_ref()?;
    let asks = &pod.requests;
    let is_short = |asks: u64, used: u64, have: u64| asks > 0 && used.saturating_add(asks) > have;
    if is_short(asks.cpu_milli, place.used.cpu_milli, have.cpu_milli) {
        return Some(Obstacle::Cpu);
    }
    if is_short(asks.memory, place.used.memory, have.memory) {
        return Some(Obstacle::Memory);
    }
    let mut others = asks.others.iter().flat_map(|others| others.iter());
    let short = others.find(|(name, count)| is_short(**count, place.used.other(name), have.other(name)));
    short.map(|(name, _)| Obstacle::Other(name.clone()))
}

/// Which rule about other pods would be broken.
fn breaks(pod: &PodRow, node: &NodeRow, frame: &Frame<'_, '_>) -> Option<Obstacle> {
    let value = |key: &str| node.labels.get(key).map(String::as_str);
    let is_kept_off = frame.apart.iter().any(|(key, taken)| value(key).is_some_and(|v| taken.contains(v)))
        || frame.repelled.iter().any(|(key, taken)| value(key) == Some(taken));
    if is_kept_off {
        return Some(Obstacle::Apart);
    }
    let is_near = |(key, found): &(&str, Option<BTreeSet<&str>>)| match (value(key), found) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(value), Some(found)) => found.contains(value),
    };
    if !frame.near.iter().all(is_near) {
        return Some(Obstacle::Near);
    }
    for (spread, counts) in &frame.spread {
        let enough = counts.len() >= usize::try_from(spread.least_places).unwrap_or(usize::MAX);
        let least = if enough { counts.values().min().copied().unwrap_or(0) } else { 0 };
        let own = usize::from(spread.selector.matches(&pod.labels));
        let most = least + usize::try_from(spread.skew).unwrap_or(usize::MAX);
        match value(&spread.topology).and_then(|value| counts.get(value)) {
            Some(count) if count + own <= most => {}
            _ => return Some(Obstacle::Spread),
        }
    }
    None
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
