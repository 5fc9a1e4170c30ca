//! The configuration: defaults, then one TOML file, then the environment and the flags (which win), merged once.
//!
//! An unknown key is an error that names file, line and key, so that a mistyped `protected` never goes unnoticed.

mod file;
mod notify;
mod places;
mod probe;
mod service;
mod ssh;

pub use file::{ClusterConfig, Config, EtcdConfig, Preset, SnapshotConfig, Span, ThemeName, TimingConfig};
pub use notify::{NotifyConfig, WindowConfig};
pub use places::{config_path, holder, state_dir};
pub use probe::{ComponentConfig, ProbeConfig};
pub use service::{BmcConfig, BmcKind, By, CommandConfig, RebootConfig};
pub use ssh::SshConfig;

use crate::domain::report::{FailureKind, Report};
use std::path::{Path, PathBuf};

/// Reads the configuration.
///
/// `named` is a file given by hand, which must exist. Without one the usual place is looked at; no file there means
/// the defaults.
///
/// # Errors
/// A file that cannot be read, is not TOML, or has a key that is not known.
pub fn load(named: Option<&Path>) -> Result<Config, Report> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match config_path() {
            Some(path) if path.exists() => path,
            _ => return Ok(Config::default()),
        },
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Report::new(
            FailureKind::Local,
            format!("the configuration {} cannot be read: {error}", path.display()),
        )
        .hint("check --config and PITSTOP_CONFIG")
    })?;
    parse(&text, &path)
}

/// Reads a configuration's text; `path` is for messages, and relative paths in it start at its directory.
///
/// # Errors
/// Text that is not TOML, or a key that is not known.
pub fn parse(text: &str, path: &Path) -> Result<Config, Report> {
    let mut config: Config = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        let line = match error.span() {
            Some(span) if text[..span.start.min(text.len())].ends_with('\n') => line + 1,
            _ => line,
        };
        Report::new(
            FailureKind::Local,
            format!("{}:{line}: {}", path.display(), error.message().trim_end().replace('\n', " ")),
        )
        .hint("the sample configuration lists every key: pitstop info --sample-config")
    })?;
    config.path = Some(path.to_owned());
    let base = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    config.notify.resolve(&base);
    config.probe.iter_mut().for_each(|probe| probe.resolve(&base));
    for cluster in config.cluster.values_mut() {
        cluster.resolve(&base);
    }
    Ok(config)
}

/// The sample configuration, which holds every key with its default or an example.
pub const SAMPLE: &str = include_str!("../assets/config.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(text: &str) -> Result<Config, Report> {
        parse(text, Path::new("/etc/pitstop/config.toml"))
    }

    #[test]
    fn an_unknown_key_is_named_with_file_and_line() {
        let error = at("theme = \"dark\"\nprotectd = [\"*prod*\"]\n").unwrap_err();
        assert!(error.message.starts_with("/etc/pitstop/config.toml:2: unknown field `protectd`"), "{error}");
        let error = at("[cluster.\"*\".ssh]\nuser = \"ops\"\npasword = \"x\"\n").unwrap_err();
        assert!(error.message.starts_with("/etc/pitstop/config.toml:3: unknown field `pasword`"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_named_too() {
        let error = at("theme = \"pink\"\n").unwrap_err();
        assert!(error.message.contains(":1: unknown variant `pink`"), "{error}");
        let error = at("[cluster.\"*\".timing]\nsettle = \"ten\"\n").unwrap_err();
        assert!(error.message.contains(":2: \"ten\" is not a duration"), "{error}");
    }

    #[test]
    fn the_context_has_its_own_table_or_the_common_one() {
        let config = at("[cluster.\"*\"]\nmaintenance_namespace = \"ops\"\n[cluster.east]\n").unwrap();
        assert_eq!(config.cluster("west").maintenance_namespace, "ops");
        assert_eq!(config.cluster("east").maintenance_namespace, "kube-system");
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let config =
            at("[cluster.\"*\".snapshot]\ndir = \"snaps\"\n[cluster.\"*\".etcd]\nca = \"/pki/ca.crt\"\n");
        let cluster = config.unwrap().cluster("any");
        assert_eq!(cluster.snapshot.dir.as_deref(), Some(Path::new("/etc/pitstop/snaps")));
        assert_eq!(cluster.etcd.ca.as_deref(), Some(Path::new("/pki/ca.crt")));
    }

    #[test]
    fn the_sample_says_the_defaults() {
        let sample = parse(SAMPLE, Path::new("/sample/config.toml")).unwrap();
        let default = Config::default();
        assert_eq!(sample.theme, default.theme);
        assert_eq!(sample.keys, default.keys);
        assert_eq!(sample.protected, ["*prod*"]);
        let (sample, default) = (sample.cluster("any"), ClusterConfig::default());
        assert_eq!(sample.timing, default.timing);
        assert_eq!(sample.maintenance_namespace, default.maintenance_namespace);
        assert_eq!(sample.etcd.access, default.etcd.access);
        assert_eq!(sample.timing.settle.0, Duration::from_secs(10));
    }

    #[test]
    fn a_named_file_must_exist() {
        let error = load(Some(Path::new("/nonexistent/config.toml"))).unwrap_err();
        assert!(error.message.contains("/nonexistent/config.toml cannot be read"), "{error}");
    }
}
