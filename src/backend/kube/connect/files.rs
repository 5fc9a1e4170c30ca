//! Finding, reading and merging kubeconfig files, and picking from them what the flags say.

use super::OP;
use crate::backend::error::Error;
use crate::backend::kube::KubeOptions;
use crate::domain::report::FailureKind;
use ::kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the configuration comes from.
pub(super) enum Found {
    /// Files, merged.
    Files {
        /// Their content; the first file to set a value wins.
        config: Box<Kubeconfig>,
        /// Their names, for words.
        source: String,
    },
    /// No file, but this is a pod with a service account.
    InCluster,
}

/// `--kubeconfig`, else the list in `$KUBECONFIG`, else `~/.kube/config`, else the pod's service account.
pub(super) fn find(options: &KubeOptions) -> Result<Found, Error> {
    let home = std::env::home_dir().map(|home| home.join(".kube").join("config"));
    find_in(options, std::env::var_os("KUBECONFIG"), home, is_pod())
}

/// The same, in a given environment: `$KUBECONFIG`, the default file, whether this is a pod.
pub(super) fn find_in(
    options: &KubeOptions,
    list: Option<OsString>,
    default: Option<PathBuf>,
    is_pod: bool,
) -> Result<Found, Error> {
    if let Some(file) = &options.kubeconfig {
        return read(std::slice::from_ref(file), true);
    }
    if let Some(list) = list {
        let files: Vec<PathBuf> =
            std::env::split_paths(&list).filter(|file| !file.as_os_str().is_empty()).collect();
        if !files.is_empty() {
            return read(&files, false);
        }
    }
    if let Some(file) = default.filter(|file| file.exists()) {
        return read(&[file], true);
    }
    if is_pod {
        return Ok(Found::InCluster);
    }
    Err(Error::new(
        FailureKind::Local,
        OP,
        "",
        "there is none: $KUBECONFIG is not set and ~/.kube/config does not exist",
    )
    .hint("give --kubeconfig FILE, or try `pitstop demo`"))
}

fn is_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        && Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()
}

/// Reads and merges files. As kubectl does, a list may name files that do not exist, but not only such.
fn read(files: &[PathBuf], must_exist: bool) -> Result<Found, Error> {
    let mut merged: Option<Kubeconfig> = None;
    let mut names = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let config = match Kubeconfig::read_from(file) {
            Err(KubeconfigError::ReadConfig(error, _))
                if error.kind() == std::io::ErrorKind::NotFound && !must_exist =>
            {
                continue;
            }
            other => other.map_err(|error| unreadable(&name, &error))?,
        };
        // an empty name counts as not set, so that a later file may set it
        let current_context = config.current_context.filter(|name| !name.is_empty());
        let config = Kubeconfig { current_context, ..config };
        merged = Some(match merged {
            None => config,
            Some(first) => first.merge(config).map_err(|error| unreadable(&name, &error))?,
        });
        names.push(name);
    }
    let Some(config) = merged else {
        let list: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(Error::new(FailureKind::Local, OP, list.join(", "), "no such file")
            .hint("correct $KUBECONFIG, or give --kubeconfig FILE"));
    };
    Ok(Found::Files { config: Box::new(config), source: names.join(", ") })
}

/// Says what is wrong with a file, without any of its content: it holds secrets.
fn unreadable(name: &str, error: &KubeconfigError) -> Error {
    let failure = |message: String| Error::new(FailureKind::Local, OP, name, message);
    match error {
        KubeconfigError::ReadConfig(cause, _) if cause.kind() == std::io::ErrorKind::NotFound => {
            failure("no such file".into()).hint("correct --kubeconfig or $KUBECONFIG")
        }
        KubeconfigError::ReadConfig(cause, _) => failure(cause.to_string()),
        KubeconfigError::Parse(cause) => match cause.location() {
            Some(place) => failure(format!("it is not valid YAML of a kubeconfig, at line {}", place.line())),
            None => failure("it is not valid YAML of a kubeconfig".into()),
        },
        other => failure(other.to_string()),
    }
}

/// What a context leads to.
pub(super) struct Picked {
    pub context_name: String,
    pub cluster_name: String,
    pub user_name: String,
    pub namespace: Option<String>,
    pub cluster: Cluster,
    pub user: AuthInfo,
}

/// Picks context, cluster and user; the reason and what to do about it when one of them is not there.
pub(super) fn pick(all: &Kubeconfig, options: &KubeOptions) -> Result<Picked, (String, String)> {
    let contexts = || list(all.contexts.iter().map(|context| context.name.as_str()));
    let wanted =
        options.context.clone().or_else(|| all.current_context.clone()).filter(|name| !name.is_empty());
    let context = match &wanted {
        Some(name) => {
            let found = all.contexts.iter().find(|context| context.name == *name);
            Some(found.and_then(|context| context.context.as_ref()).ok_or_else(|| {
                (format!("context \"{name}\" does not exist"), format!("there are: {}", contexts()))
            })?)
        }
        None if options.cluster.is_some() => None,
        None => {
            let hint = format!("give --context with one of: {}", contexts());
            return Err(("no current context is set".into(), hint));
        }
    };
    let cluster_name = options
        .cluster
        .clone()
        .or_else(|| context.map(|context| context.cluster.clone()))
        .unwrap_or_default();
    let cluster = all
        .clusters
        .iter()
        .find(|cluster| cluster.name == cluster_name)
        .and_then(|cluster| cluster.cluster.clone())
        .ok_or_else(|| {
            let known = list(all.clusters.iter().map(|cluster| cluster.name.as_str()));
            (format!("cluster \"{cluster_name}\" does not exist"), format!("there are: {known}"))
        })?;
    let user_name =
        options.user.clone().or_else(|| context.and_then(|context| context.user.clone())).unwrap_or_default();
    let user = match all.auth_infos.iter().find(|user| user.name == user_name) {
        Some(user) => user.auth_info.clone().unwrap_or_default(),
        None if user_name.is_empty() => AuthInfo::default(),
        None => {
            let known = list(all.auth_infos.iter().map(|user| user.name.as_str()));
            return Err((format!("user \"{user_name}\" does not exist"), format!("there are: {known}")));
        }
    };
    let namespace = context.and_then(|context| context.namespace.clone()).filter(|name| !name.is_empty());
    let context_name = wanted.unwrap_or_else(|| cluster_name.clone());
    Ok(Picked { context_name, cluster_name, user_name, namespace, cluster, user })
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
