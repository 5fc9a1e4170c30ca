//! How to get an etcd back from a snapshot, as commands with the reader's own paths and names. Printed, never run. Pure.

use super::etcd::parse_version;
use super::etcd::place::{Distribution, Place};
use super::ids::NodeName;
use super::text::count;
use serde::Serialize;

/// The snapshot to restore from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub file: String,
    /// Its name without the directory.
    pub name: String,
    /// SHA-256 of it, in hex.
    pub sha256: String,
    /// The sealed file that it is in, and that one's SHA-256, when it has to be opened first.
    pub sealed: Option<(String, String)>,
    /// The cluster's id, in hex.
    pub cluster_id: String,
    /// The store's revision.
    pub revision: i64,
    /// The server's version.
    pub version: String,
    /// Whether there was a quorum when it was taken.
    pub has_quorum: bool,
    /// When, as a stamp that may stand in a file's name.
    pub stamp: String,
}

/// A member as it was when the snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id, in hex.
    pub id: String,
    /// Its name; empty = never started.
    pub name: String,
    /// The node.
    pub node: Option<NodeName>,
    /// What it advertised to the others.
    pub url: Option<String>,
    /// Whether it did not vote.
    pub learner: bool,
}

/// One part of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is for.
    pub what: String,
    /// Commands and comments, in order.
    pub lines: Vec<String>,
}

/// The way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recipe {
    /// What to know before anything is typed.
    pub notes: Vec<String>,
    /// The parts, in order.
    pub parts: Vec<Part>,
}

fn part(what: &str, lines: impl IntoIterator<Item = String>) -> Part {
    Part { what: what.to_owned(), lines: lines.into_iter().collect() }
}

/// Writes the recipe. Without a place the one of kubeadm is assumed, and said.
pub fn recipe(source: &Source, peers: &[Peer], place: Option<&Place>) -> Recipe {
    let usable: Vec<&Peer> =
        peers.iter().filter(|peer| !peer.learner && !peer.name.is_empty() && peer.url.is_some()).collect();
    let mut notes = notes(source, peers, &usable);
    let distribution = place.map_or(Distribution::Kubeadm, |place| place.distribution);
    if place.is_none() {
        notes.push(
            "how this etcd was set up is not known: the paths are kubeadm's, compare them with yours".into(),
        );
    }
    let dir = place.map_or("/var/lib/etcd", |place| &place.data_dir);
    let mut parts = vec![before(source, &usable)];
    parts.extend(match distribution {
        Distribution::K3s => rancher("k3s", source, &usable, dir),
        Distribution::Rke2 => rancher("rke2", source, &usable, dir),
        Distribution::OpenShift => openshift(source, &usable),
        Distribution::Kops => kops(),
        Distribution::Kubeadm => members(source, &usable, dir, &STATIC),
        Distribution::External | Distribution::Service | Distribution::K0s => {
            members(source, &usable, dir, &SERVICE)
        }
    });
    parts.push(part(
        "afterwards, when every member is healthy",
        [
            "# caches hold revisions that do not exist any more: restart what watches the API".to_owned(),
            "# on every control-plane node; the kubelet starts them again (k3s, rke2: restart their own service)"
                .to_owned(),
            "sudo sh -c 'crictl ps -q --name \"kube-(controller-manager|scheduler)\" | xargs -r crictl stop'"
                .to_owned(),
            "# on every node: sudo systemctl restart kubelet".to_owned(),
            "pitstop check && pitstop snapshot".to_owned(),
        ],
    ));
    Recipe { notes, parts }
}

fn notes(source: &Source, peers: &[Peer], usable: &[&Peer]) -> Vec<String> {
    let mut notes = vec![format!(
        "everything written after revision {} of cluster {} is lost by a restore; with a quorum left, replace single members instead",
        source.revision, source.cluster_id
    )];
    if !source.has_quorum {
        notes.push("the snapshot was taken without a quorum: it may miss the last writes".into());
    }
    if usable.is_empty() {
        notes.push(
            "the snapshot does not say who the members were: put in names and peer URLs by hand".into(),
        );
    } else if usable.len() < peers.len() {
        notes.push(format!(
            "left out, learner or never started: {}",
            count(peers.len() - usable.len(), "member")
        ));
    }
    notes
}

fn host(peer: &Peer) -> &str {
    peer.node.as_ref().map_or(&peer.name, NodeName::as_str)
}

fn before(source: &Source, peers: &[&Peer]) -> Part {
    let mut lines = vec![
        "# a member that still runs may know more than this file: save it first".to_owned(),
        "pitstop snapshot".to_owned(),
    ];
    if let Some((sealed, sha256)) = &source.sealed {
        lines.push(format!("echo '{sha256}  {sealed}' | sha256sum -c"));
        lines.push(
            "# KEY: the secret key of one of those for whom it was sealed, from where you keep it".to_owned(),
        );
        lines.push(format!("(umask 077; age --decrypt -i KEY -o {} {sealed})", source.file));
    }
    lines.push(format!("echo '{}  {}' | sha256sum -c", source.sha256, source.file));
    lines.extend(peers.iter().map(|peer| format!("scp {} {}:/var/tmp/", source.file, host(peer))));
    part("before anything is stopped", lines)
}

/// How members are stopped and started.
struct Service {
    stop: &'static str,
    start: &'static str,
}

/// As static pods: the kubelet stops what has no manifest.
const STATIC: Service = Service {
    stop: "sudo mkdir -p /etc/kubernetes/stopped && sudo mv /etc/kubernetes/manifests/kube-apiserver.yaml /etc/kubernetes/manifests/etcd.yaml /etc/kubernetes/stopped/",
    start: "sudo mv /etc/kubernetes/stopped/etcd.yaml /etc/kubernetes/manifests/",
};

/// As a service of the host.
const SERVICE: Service = Service { stop: "sudo systemctl stop etcd", start: "sudo systemctl start etcd" };

/// Restored member by member into a new cluster.
fn members(source: &Source, peers: &[&Peer], dir: &str, service: &Service) -> Vec<Part> {
    let on = |command: &dyn Fn(&Peer) -> String| -> Vec<String> {
        peers.iter().map(|peer| format!("ssh {} '{}'", host(peer), command(peer))).collect()
    };
    let cluster: Vec<String> =
        peers.iter().filter_map(|peer| Some(format!("{}={}", peer.name, peer.url.as_ref()?))).collect();
    let cluster =
        if cluster.is_empty() { "NAME=https://ADDRESS:2380,...".to_owned() } else { cluster.join(",") };
    let bump = if may_bump(&source.version) { " --bump-revision 1000000000 --mark-compacted" } else { "" };
    let tool = tool(&source.version);
    let restore = |peer: &Peer| {
        // as root it writes root's files: whoever owned the old ones owns the new ones
        format!(
            "sudo {tool} snapshot restore /var/tmp/{} --name {} --initial-cluster {cluster} --initial-cluster-token restored-{} --initial-advertise-peer-urls {} --data-dir {dir}{bump} && sudo chown -R --reference={dir}.before-{} {dir}",
            source.name,
            peer.name,
            source.stamp,
            peer.url.as_deref().unwrap_or_default(),
            source.stamp,
        )
    };
    let mut put = on(&restore);
    if bump.is_empty() {
        put.insert(
            0,
            "# an etcdutl of 3.5.10 or newer: add --bump-revision 1000000000 --mark-compacted".to_owned(),
        );
    }
    vec![
        part("stop the API servers and every member", on(&|_| service.stop.to_owned())),
        part(
            "keep the old data; delete nothing",
            on(&|_| format!("sudo mv {dir} {dir}.before-{}", source.stamp)),
        ),
        part("restore on every member, with the same cluster and token", put),
        part(
            "start every member, then look",
            [
                on(&|_| service.start.to_owned()),
                vec![
                    "etcdctl endpoint health --cluster; etcdctl endpoint status --cluster -w table"
                        .to_owned(),
                ],
            ]
            .concat(),
        ),
        part(
            "start the API servers",
            on(&|_| {
                "sudo sh -c \"test ! -e /etc/kubernetes/stopped/kube-apiserver.yaml || mv /etc/kubernetes/stopped/kube-apiserver.yaml /etc/kubernetes/manifests/\"".to_owned()
            }),
        ),
    ]
}

/// What restores: before 3.5 there is no `etcdutl`.
fn tool(version: &str) -> &'static str {
    let is_old = parse_version(version).is_some_and(|version| version < (3, 5, 0));
    if is_old { "env ETCDCTL_API=3 etcdctl" } else { "etcdutl" }
}

/// Whether `etcdutl` of the server's version knows the flags that keep revisions from going back.
fn may_bump(version: &str) -> bool {
    parse_version(version)
        .is_some_and(|version| version >= (3, 5, 10) || ((3, 4, 27)..(3, 5, 0)).contains(&version))
}

/// k3s and RKE2 restore on one server; the others join anew.
fn rancher(name: &str, source: &Source, peers: &[&Peer], dir: &str) -> Vec<Part> {
    let server = if name == "k3s" { "k3s" } else { "rke2-server" };
    let hosts: Vec<&str> = peers.iter().map(|peer| host(peer)).collect();
    let first = hosts.first().copied().unwrap_or("FIRST-SERVER");
    let stop: Vec<String> =
        hosts.iter().map(|host| format!("ssh {host} 'sudo systemctl stop {server}'")).collect();
    let others = hosts.iter().skip(1).flat_map(|host| {
        [
            format!("ssh {host} 'sudo mv {dir} {dir}.before-{}'", source.stamp),
            format!("ssh {host} 'sudo systemctl start {server}'"),
        ]
    });
    vec![
        part("stop every server", stop),
        part(
            "restore on one server",
            [
                format!(
                    "ssh {first} 'sudo {name} server --cluster-reset --cluster-reset-restore-path=/var/tmp/{}'",
                    source.name
                ),
                format!("ssh {first} 'sudo systemctl start {server}'"),
                "kubectl get nodes  # until it answers".to_owned(),
            ],
        ),
        part("let the other servers join anew, one after the other", others),
    ]
}

fn openshift(source: &Source, peers: &[&Peer]) -> Vec<Part> {
    let first = peers.first().map_or("RECOVERY-HOST", |peer| host(peer));
    vec![part(
        "OpenShift restores by its own script, which wants a backup of cluster-backup.sh (snapshot and static pods)",
        [
            format!(
                "ssh core@{first} 'sudo mkdir -p /home/core/backup && sudo mv /var/tmp/{} /home/core/backup/snapshot_{}.db'",
                source.name, source.stamp
            ),
            "# put static_kuberesources_*.tar.gz of the same control plane beside it".to_owned(),
            format!("ssh core@{first} 'sudo -E /usr/local/bin/cluster-restore.sh /home/core/backup'"),
        ],
    )]
}

fn kops() -> Vec<Part> {
    vec![part(
        "kops: etcd-manager restores from its own backups, main and events each",
        [
            "etcd-manager-ctl --backup-store=BACKUP-STORE/main list-backups".to_owned(),
            "etcd-manager-ctl --backup-store=BACKUP-STORE/main restore-backup NAME  # then restart etcd-manager on every control plane".to_owned(),
        ],
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source {
            file: "/srv/snaps/etcd-ab-1.db".into(),
            name: "etcd-ab-1.db".into(),
            sha256: "00ff".into(),
            sealed: None,
            cluster_id: "ab".into(),
            revision: 77,
            version: "3.5.21".into(),
            has_quorum: true,
            stamp: "20260921T141320Z".into(),
        }
    }

    fn peers() -> Vec<Peer> {
        let peer = |number: u8| Peer {
            id: format!("{number}"),
            name: format!("cp-{number}"),
            node: Some(format!("cp-{number}").as_str().into()),
            url: Some(format!("https://10.0.0.{number}:2380")),
            learner: false,
        };
        let unstarted = Peer { name: String::new(), ..peer(4) };
        vec![peer(1), peer(2), unstarted]
    }

    fn text(recipe: &Recipe) -> String {
        let parts = recipe.parts.iter().flat_map(|part| &part.lines);
        recipe.notes.iter().chain(parts).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn a_sealed_snapshot_is_opened_before_it_is_used() {
        let sealed = Some(("/srv/snaps/etcd-ab-1.db.age".to_owned(), "11ee".to_owned()));
        let text = text(&recipe(&Source { sealed, ..source() }, &peers(), None));
        let place = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line}: {text}"));
        let order = [
            place("echo '11ee  /srv/snaps/etcd-ab-1.db.age' | sha256sum -c"),
            place("age --decrypt -i KEY -o /srv/snaps/etcd-ab-1.db /srv/snaps/etcd-ab-1.db.age"),
            place("echo '00ff  /srv/snaps/etcd-ab-1.db' | sha256sum -c"),
            place("scp /srv/snaps/etcd-ab-1.db cp-1:/var/tmp/"),
        ];
        assert!(order.is_sorted(), "{text}");
    }

    #[test]
    fn every_member_is_restored_with_its_own_name_and_the_same_cluster() {
        let text = text(&recipe(&source(), &peers(), None));
        let cluster = "--initial-cluster cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380";
        assert!(text.contains(&format!("ssh cp-2 'sudo etcdutl snapshot restore /var/tmp/etcd-ab-1.db --name cp-2 {cluster} --initial-cluster-token restored-20260921T141320Z --initial-advertise-peer-urls https://10.0.0.2:2380 --data-dir /var/lib/etcd --bump-revision 1000000000 --mark-compacted && sudo chown -R --reference=/var/lib/etcd.before-20260921T141320Z /var/lib/etcd'")), "{text}");
        assert!(text.contains("echo '00ff  /srv/snaps/etcd-ab-1.db' | sha256sum -c"), "{text}");
        assert!(text.contains("after revision 77 of cluster ab is lost"), "{text}");
        assert!(text.contains("left out, learner or never started: 1 member"), "{text}");
        assert!(text.contains("the paths are kubeadm's"), "{text}");
        assert!(!text.contains("rm -rf"), "nothing is deleted: {text}");
    }

    #[test]
    fn revisions_are_bumped_where_the_tool_can() {
        for (version, may) in
            [("3.5.9", false), ("3.5.10", true), ("3.4.26", false), ("3.4.27", true), ("3.6.0", true)]
        {
            assert_eq!(may_bump(version), may, "{version}");
        }
        assert!(tool("3.4.34").ends_with("etcdctl") && tool("3.5.0") == "etcdutl" && tool("") == "etcdutl");
        let old = Source { version: "3.5.1".into(), has_quorum: false, ..source() };
        let text = text(&recipe(&old, &peers(), None));
        assert!(
            text.contains("# an etcdutl of 3.5.10 or newer") && text.contains("without a quorum"),
            "{text}"
        );
    }

    #[test]
    fn each_distribution_has_its_way() {
        let of = |distribution| {
            let place = Place {
                distribution,
                port: 2379,
                nodes: Vec::new(),
                external: Vec::new(),
                certs: Default::default(),
                data_dir: "/data/etcd".into(),
                quota: None,
                name: String::new(),
                pods: std::collections::BTreeMap::new(),
                health_port: None,
                others: Vec::new(),
            };
            text(&recipe(&source(), &peers(), Some(&place)))
        };
        let rke2 = of(Distribution::Rke2);
        assert!(
            rke2.contains(
                "sudo rke2 server --cluster-reset --cluster-reset-restore-path=/var/tmp/etcd-ab-1.db"
            ),
            "{rke2}"
        );
        assert!(rke2.contains("ssh cp-2 'sudo mv /data/etcd /data/etcd.before-20260921T141320Z'"), "{rke2}");
        assert!(of(Distribution::Service).contains("sudo systemctl stop etcd"));
        assert!(of(Distribution::OpenShift).contains("cluster-restore.sh"));
        assert!(of(Distribution::Kops).contains("etcd-manager-ctl"));
    }
}
