//! Builds the back ends from configuration and flags; console and command line share it.

use crate::backend::dial::Dialer;
use crate::backend::etcd::Etcd;
use crate::backend::herald::Herald;
use crate::backend::host::Hosts;
use crate::backend::kube::{Cluster, KubeOptions};
use crate::backend::store::{Location, Upload};
use crate::cli::{Global, Intervals, PatchFlags};
use crate::config::{ClusterConfig, Config, holder};
use crate::domain::config::Policy;
use crate::domain::probe::{ProbeSpec, Target, named_apart};
use crate::domain::report::Report;
use crate::engine::drain::Reserved;
use crate::engine::probe::Watchman;
use crate::engine::service::{Patch, Service};
use crate::engine::settings::Backup;
use crate::engine::{Backends, Settings, Timing};
use std::path::{Path, PathBuf};

/// How to reach a cluster, and what may be done there: everything that is known before anything is contacted.
#[derive(Debug, Clone)]
pub struct Place {
    /// The configuration.
    pub config: Config,
    /// kubectl's flags.
    pub kube: KubeOptions,
    /// Nothing may be changed.
    pub is_read_only: bool,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// Where snapshots go instead of the configured places.
    pub snapshot_to: Option<Location>,
    /// Quiet times by hand.
    pub intervals: Intervals,
    /// Probes by hand.
    pub probes: Vec<Target>,
    /// What runs before a reboot, by hand.
    pub patch: PatchFlags,
}

impl Place {
    /// From the flags and the configuration file.
    ///
    /// # Errors
    /// The configuration cannot be read.
    pub fn new(global: &Global) -> Result<Self, Report> {
        let config = crate::config::load(global.config.as_deref())?;
        Ok(Self {
            is_read_only: global.read_only || config.read_only,
            kube: KubeOptions {
                kubeconfig: global.kubeconfig.clone(),
                context: global.context.clone(),
                cluster: global.cluster.clone(),
                user: global.user.clone(),
                as_user: global.as_user.clone(),
                as_groups: global.as_group.clone(),
                request_timeout: global.request_timeout,
                maintenance_namespace: None,
                read_only: global.read_only || config.read_only,
            },
            state_dir: crate::config::state_dir(),
            snapshot_to: None,
            intervals: Intervals::default(),
            probes: global.probe.clone(),
            patch: PatchFlags::default(),
            config,
        })
    }

    /// Who is told of runs while nobody looks.
    ///
    /// # Errors
    /// The webhook's address cannot be read, or is none.
    pub fn herald(&self, with_webhook: bool) -> Result<Herald, Report> {
        let notify = &self.config.notify;
        let webhook = with_webhook.then(|| notify.webhook(&|name| std::env::var(name).ok())).transpose()?;
        Ok(Herald {
            on: notify.on.clone(),
            after: notify.after.0,
            bell: notify.bell,
            title: notify.title,
            desktop: notify.desktop,
            webhook: webhook.flatten(),
        })
    }

    /// The times of a cluster, as flags have changed them.
    fn timing(&self, config: &ClusterConfig) -> Timing {
        let timing = config.timing();
        Timing {
            settle: self.intervals.node.unwrap_or(timing.settle),
            settle_control_plane: self.intervals.control_plane.unwrap_or(timing.settle_control_plane),
            ..timing
        }
    }

    /// What is done to hosts, as flags have changed it.
    fn service(&self, config: &ClusterConfig) -> Service {
        let mut service = config.service();
        let limit = self.patch.patch_timeout.unwrap_or(config.reboot.patch_timeout.0);
        if let Some(words) = &self.patch.patch_command {
            service.patch = (!words.0.is_empty()).then(|| Patch { argv: words.0.clone(), limit });
        } else if let Some(patch) = &mut service.patch {
            patch.limit = limit;
        }
        service
    }

    /// What may be changed in a context.
    pub fn policy(&self, context: &str) -> Policy {
        Policy {
            read_only: self.is_read_only,
            protected: self.config.protected.clone(),
            context: context.to_owned(),
        }
    }
}

/// Reads the kubeconfig and prepares every back end. Nothing is contacted yet.
///
/// # Errors
/// The kubeconfig is missing, or cannot be used.
pub async fn backends(place: &Place) -> Result<Backends, Report> {
    let mut kube = place.kube.clone();
    let mut cluster = Cluster::connect(&kube).await?;
    let settings = place.config.cluster(cluster.context());
    if settings.maintenance_namespace != ClusterConfig::default().maintenance_namespace {
        // the watches need to know it, and the context had to be known first
        kube.maintenance_namespace = Some(settings.maintenance_namespace.clone());
        cluster = Cluster::connect(&kube).await?;
    }
    assemble(place, cluster, &settings)
}

fn assemble(place: &Place, cluster: Cluster, config: &ClusterConfig) -> Result<Backends, Report> {
    let hosts = config.ssh.options(&place.state_dir).map(|options| Hosts::new(options, Dialer::tcp()));
    let etcd = config.etcd.options().map(|options| Etcd::new(options, Dialer::tcp(), hosts.clone()));
    let etcd = etcd.map(|etcd| etcd.through(cluster.clone()));
    let context = cluster.context().to_owned();
    let (dir, bucket) = match place.snapshot_to.clone() {
        Some(Location::Directory(dir)) => (Some(dir), None),
        bucket => (None, bucket),
    };
    let snapshot_dir = dir
        .or_else(|| config.snapshot.dir.clone())
        .unwrap_or_else(|| place.state_dir.join("snapshots").join(file_name(&context)));
    let upload = bucket.or_else(|| config.snapshot.upload.clone());
    let backup = Backup {
        upload: upload.map(|to| Upload { to, s3: config.snapshot.s3.clone() }),
        keep: config.snapshot.keep,
        recipients: config.snapshot.recipients.clone(),
        max_age: config.etcd.backup.max_age.map(|span| span.0),
    };
    let given = place.probes.iter().cloned().map(ProbeSpec::new);
    let probes = named_apart(place.config.probes(&context).into_iter().chain(given).collect());
    let settings = Settings {
        holder: holder(),
        lease_namespace: config.maintenance_namespace.clone(),
        snapshot_dir,
        backup,
        state_dir: place.state_dir.clone(),
        timing: place.timing(config),
        service: place.service(config),
        components: place.config.components(&context),
        context,
    };
    let watchman = Watchman::new(probes, &cluster, &Dialer::tcp())?;
    Ok(Backends { cluster, etcd, hosts, reserved: Reserved::default(), watchman, settings })
}

/// A context's name as the name of a directory: what could lead elsewhere becomes `_`.
fn file_name(context: &str) -> PathBuf {
    let safe: String = context
        .chars()
        .map(|ch| if ch.is_alphanumeric() || matches!(ch, '-' | '_' | '.' | '@') { ch } else { '_' })
        .collect();
    match safe.trim_matches('.') {
        "" => Path::new("unnamed").to_owned(),
        name => Path::new(name).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_time_by_hand_is_for_its_role_only() {
        let config = ClusterConfig::default();
        let quiet = |intervals: Intervals| {
            let place = Place {
                config: Config::default(),
                kube: KubeOptions::default(),
                is_read_only: false,
                state_dir: PathBuf::from("state"),
                snapshot_to: None,
                intervals,
                probes: Vec::new(),
                patch: PatchFlags::default(),
            };
            let timing = place.timing(&config);
            (timing.quiet(true).as_secs(), timing.quiet(false).as_secs())
        };
        let time = |secs| Some(std::time::Duration::from_secs(secs));
        assert_eq!(quiet(Intervals::default()), (10, 10));
        assert_eq!(quiet(Intervals { control_plane: time(300), node: None }), (300, 10));
        assert_eq!(quiet(Intervals { control_plane: None, node: time(0) }), (10, 0));
    }

    #[test]
    fn a_context_cannot_lead_out_of_its_directory() {
        assert_eq!(file_name("admin@east"), Path::new("admin@east"));
        assert_eq!(file_name("arn:aws:eks/../x"), Path::new("arn_aws_eks_.._x"));
        assert_eq!(file_name(".."), Path::new("unnamed"));
    }
}
