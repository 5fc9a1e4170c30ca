//! The shape of the configuration file.

use super::notify::{NotifyConfig, WindowConfig};
use super::probe::{ComponentConfig, ProbeConfig};
use super::service::{BmcConfig, CommandConfig, RebootConfig};
use super::ssh::SshConfig;
use crate::backend::etcd::{Access, EtcdOptions};
use crate::backend::store::{Location, Recipient, S3Options};
use crate::domain::checklist::ComponentSpec;
use crate::domain::ids::NodeName;
use crate::domain::probe::ProbeSpec;
use crate::domain::time::parse_span;
use crate::domain::window::Windows;
use crate::engine::settings::Timing;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Globs of contexts that need their name typed before anything is changed.
    pub protected: Vec<String>,
    /// Colours.
    pub theme: ThemeName,
    /// Key preset: `pitstop` or `k9s`.
    pub keys: Preset,
    /// Draw with ASCII only.
    pub ascii: bool,
    /// Change nothing, ever.
    pub read_only: bool,
    /// Leave the mouse to the terminal.
    pub no_mouse: bool,
    /// How people who look elsewhere are told.
    pub notify: NotifyConfig,
    /// What is asked all through a run; those of the context's table come on top.
    pub probe: Vec<ProbeConfig>,
    /// What the checklist of components holds beside what a cluster needs anyway; the same.
    pub component: Vec<ComponentConfig>,
    /// Per context; `*` = every context without a table of its own.
    pub cluster: BTreeMap<String, ClusterConfig>,
    /// The file it was read from.
    #[serde(skip)]
    pub path: Option<PathBuf>,
}

impl Config {
    /// What holds for a context: its own table, else `*`, else the defaults. Tables are not mixed.
    pub fn cluster(&self, context: &str) -> ClusterConfig {
        self.cluster.get(context).or_else(|| self.cluster.get("*")).cloned().unwrap_or_default()
    }

    /// The probes for a context.
    pub fn probes(&self, context: &str) -> Vec<ProbeSpec> {
        let own = self.cluster(context).probe;
        let all = self.probe.iter().chain(&own).filter(|probe| probe.is_for(context));
        all.map(|probe| probe.spec.clone()).collect()
    }

    /// The components for a context.
    pub fn components(&self, context: &str) -> Vec<ComponentSpec> {
        let own = self.cluster(context).component;
        let all = self.component.iter().chain(&own).filter(|component| component.is_for(context));
        all.map(|component| component.spec.clone()).collect()
    }
}

/// Colours by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ThemeName {
    /// Light on dark.
    #[default]
    Dark,
    /// Dark on light.
    Light,
    /// No colours at all.
    Mono,
}

/// Keys by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Our own.
    #[default]
    Pitstop,
    /// As k9s has them.
    K9s,
}

/// What holds for one context.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Namespace of the maintenance lease.
    pub maintenance_namespace: String,
    /// How etcd is reached.
    pub etcd: EtcdConfig,
    /// How hosts are reached.
    pub ssh: SshConfig,
    /// Who reboots nodes, and what runs before.
    pub reboot: RebootConfig,
    /// Commands that a roll can run for each node, by name.
    pub command: BTreeMap<String, CommandConfig>,
    /// Management controllers by node.
    pub bmc: BTreeMap<NodeName, BmcConfig>,
    /// Where snapshots go.
    pub snapshot: SnapshotConfig,
    /// Times.
    pub timing: TimingConfig,
    /// Maintenance windows: when runs may change things by themselves; none = always.
    pub window: Vec<WindowConfig>,
    /// Probes of this context.
    pub probe: Vec<ProbeConfig>,
    /// Components of this context.
    pub component: Vec<ComponentConfig>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            maintenance_namespace: "kube-system".to_owned(),
            etcd: EtcdConfig::default(),
            ssh: SshConfig::default(),
            reboot: RebootConfig::default(),
            command: BTreeMap::new(),
            bmc: BTreeMap::new(),
            snapshot: SnapshotConfig::default(),
            timing: TimingConfig::default(),
            window: Vec::new(),
            probe: Vec::new(),
            component: Vec::new(),
        }
    }
}

impl ClusterConfig {
    /// All times for the engine.
    pub fn timing(&self) -> Timing {
        let windows = Windows(self.window.iter().map(|window| window.0.clone()).collect());
        Timing { windows, ..Timing::from(&self.timing) }
    }

    /// Makes relative paths start at `base`, and `~/` at the home directory.
    pub(super) fn resolve(&mut self, base: &Path) {
        let resolve = |path: &mut PathBuf| *path = super::places::resolve(path, base);
        for path in [&mut self.etcd.ca, &mut self.etcd.cert, &mut self.etcd.key, &mut self.snapshot.dir] {
            path.iter_mut().for_each(resolve);
        }
        if let Some(Location::Directory(dir)) = &mut self.snapshot.upload {
            resolve(dir);
        }
        for path in [&mut self.snapshot.s3.ca, &mut self.snapshot.s3.credentials] {
            path.iter_mut().for_each(resolve);
        }
        self.ssh.paths().for_each(resolve);
        self.probe.iter_mut().for_each(|probe| probe.resolve(base));
        self.bmc.values_mut().flat_map(BmcConfig::paths).for_each(resolve);
    }
}

/// `[cluster.X.etcd]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EtcdConfig {
    /// `auto`, `ssh`, `direct`, `port-forward`, `command` or `none`.
    pub access: Access,
    /// Authority of the members' certificates (PEM).
    pub ca: Option<PathBuf>,
    /// Client certificate (PEM).
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// Name in the members' certificates, when it is not the address.
    pub server_name: Option<String>,
    /// Address by node.
    pub endpoints: BTreeMap<NodeName, String>,
    /// The program whose input and output lead to a member, and its arguments.
    pub command: Vec<String>,
    /// What is demanded of backups that the cluster makes by itself.
    pub backup: ScheduledConfig,
}

/// `[cluster.X.etcd.backup]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduledConfig {
    /// How old the newest one may be that succeeded; nothing is demanded when absent.
    pub max_age: Option<Span>,
}

impl EtcdConfig {
    /// For the back end; `None` = etcd is not to be reached.
    pub fn options(&self) -> Option<EtcdOptions> {
        (self.access != Access::None).then(|| EtcdOptions {
            access: self.access,
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            server_name: self.server_name.clone(),
            endpoints: self.endpoints.clone(),
            command: self.command.clone(),
        })
    }
}

/// `[cluster.X.snapshot]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotConfig {
    /// Directory; default: `snapshots/CONTEXT` in the state directory.
    pub dir: Option<PathBuf>,
    /// Where copies go: a bucket, or another directory.
    pub upload: Option<Location>,
    /// How many snapshots of a cluster, and archives of a node, stay in the directory; 0 = all.
    pub keep: usize,
    /// Public keys of age: what is stored is sealed for their holders. None = it is not sealed.
    pub recipients: Vec<Recipient>,
    /// How S3 is reached.
    pub s3: S3Options,
}

/// A duration as text: `10s`, `5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_span(&text).map(Self).map_err(de::Error::custom)
    }
}

/// `[cluster.X.timing]`; the meaning of each stands at [`Timing`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "documented once, at Timing")]
pub struct TimingConfig {
    pub settle: Span,
    pub settle_control_plane: Span,
    pub verify_interval: Span,
    pub etcd_sample_interval: Span,
    pub poll: Span,
    pub fresh: Span,
    pub gone: Span,
    pub back: Span,
    pub ready: Span,
    pub verify: Span,
    pub lease: Span,
}

impl Default for TimingConfig {
    fn default() -> Self {
        let timing = Timing::default();
        Self {
            settle: Span(timing.settle),
            settle_control_plane: Span(timing.settle_control_plane),
            verify_interval: Span(timing.verify_interval),
            etcd_sample_interval: Span(timing.etcd_sample_interval),
            poll: Span(timing.poll),
            fresh: Span(timing.fresh),
            gone: Span(timing.gone),
            back: Span(timing.back),
            ready: Span(timing.ready),
            verify: Span(timing.verify),
            lease: Span(timing.lease),
        }
    }
}

impl From<&TimingConfig> for Timing {
    fn from(config: &TimingConfig) -> Self {
        Self {
            settle: config.settle.0,
            settle_control_plane: config.settle_control_plane.0,
            verify_interval: config.verify_interval.0,
            etcd_sample_interval: config.etcd_sample_interval.0,
            poll: config.poll.0,
            fresh: config.fresh.0,
            gone: config.gone.0,
            back: config.back.0,
            ready: config.ready.0,
            verify: config.verify.0,
            lease: config.lease.0,
            windows: Windows::default(),
        }
    }
}
