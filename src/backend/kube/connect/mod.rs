//! From kubeconfig files to a client, as kubectl finds its way: files, context, cluster, user, proxy, credentials.

mod files;

use super::endpoints::Route;
use super::fault::{self, Who};
use super::{Cluster, KubeOptions};
use crate::backend::error::Error;
use crate::backend::proxy;
use crate::domain::report::FailureKind;
use ::kube::config::{AuthInfo, Config, ExecInteractiveMode, Kubeconfig};
use ::kube::{Client, client::ClientBuilder};
use base64::Engine as _;
use files::Found;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;
use std::time::Duration;

/// How long a connection may take to come about before another endpoint is tried.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a credential plugin may take.
const PLUGIN: Duration = Duration::from_mins(1);
const OP: &str = "read the kubeconfig";

impl Cluster {
    /// Reads the kubeconfig as kubectl does and prepares a client. Asks nothing of the network (a credential plugin may).
    ///
    /// # Errors
    /// [`FailureKind::Local`]: a file, context, cluster or user that is missing or cannot be read; names it and says what
    /// to do. [`FailureKind::Unauthorized`]: the credentials cannot be obtained.
    pub async fn connect(options: &KubeOptions) -> Result<Self, Error> {
        // one provider for all TLS of the process; an earlier one is the same
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (config, who) = read(options)?;
        let client = client(config.clone()).await?;
        let origin = Origin::new(options, &who, &config);
        Ok(Self::over(Route::home(config, client, origin), who, options))
    }
}

fn read(options: &KubeOptions) -> Result<(Config, Who), Error> {
    match files::find(options)? {
        Found::Files { config, source } => resolve(&config, &source, options),
        Found::InCluster => in_cluster(options),
    }
}

/// Where credentials came from: a login writes newer ones there.
pub(super) struct Origin {
    options: KubeOptions,
    server: http::Uri,
}

impl Origin {
    fn new(options: &KubeOptions, who: &Who, config: &Config) -> Self {
        // another current context is another cluster, and none of ours
        let context = options.cluster.is_none().then(|| who.context.clone()).or(options.context.clone());
        let options = KubeOptions { context, ..options.clone() };
        Self { options, server: config.cluster_url.clone() }
    }

    /// The user as the kubeconfig has it now; `None` = it cannot be read, or leads to another server.
    pub(super) fn user(&self) -> Option<AuthInfo> {
        let (config, _) = read(&self.options).ok()?;
        (config.cluster_url == self.server).then_some(config.auth_info)
    }
}

/// Makes a client: no retries of its own, nothing that reads a terminal, plugins off the async threads.
pub(super) async fn client(mut config: Config) -> Result<Client, Error> {
    // kube would repeat any request, evictions too, on 429, 503 and 504
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = None;
    trim_token(&mut config.auth_info);
    let build =
        tokio::task::spawn_blocking(move || ClientBuilder::try_from(config).map(ClientBuilder::build));
    match tokio::time::timeout(PLUGIN, build).await {
        Ok(Ok(Ok(client))) => Ok(client),
        Ok(Ok(Err(::kube::Error::Auth(error)))) => Err(fault::credentials("connect", &error)),
        Ok(Ok(Err(error))) => {
            Err(Error::new(FailureKind::Local, "connect", "", "the kubeconfig cannot be used")
                .because(fault::innermost(&error)))
        }
        Ok(Err(_)) => Err(Error::new(FailureKind::Local, "connect", "", "making a client failed")),
        Err(_) => Err(Error::new(
            FailureKind::Timeout,
            "connect",
            "",
            "the credential plugin did not answer within a minute",
        )
        .hint("log in with kubectl first, then retry")),
    }
}

/// A token's file that ends with a line feed, as editors write them: kubectl reads it, and a header cannot hold it.
fn trim_token(user: &mut AuthInfo) {
    let Some(file) = user.token_file.as_ref().filter(|_| user.token.is_none()) else { return };
    if let Ok(text) = std::fs::read_to_string(file)
        && text.trim() != text
    {
        user.token = Some(text.trim().to_owned().into());
    }
}

fn in_cluster(options: &KubeOptions) -> Result<(Config, Who), Error> {
    let mut config = Config::incluster().map_err(|error| {
        Error::new(FailureKind::Local, OP, "", "the pod's service account cannot be used")
            .because(error.to_string())
    })?;
    impersonate(&mut config.auth_info, options);
    let who = Who {
        user: "service account".into(),
        context: "in-cluster".into(),
        credentials: "token",
        acting_as: options.as_user.clone(),
    };
    Ok((config, who))
}

/// Picks context, cluster and user as the flags say and makes one configuration out of them.
fn resolve(all: &Kubeconfig, source: &str, options: &KubeOptions) -> Result<(Config, Who), Error> {
    let bad = |message: String| Error::new(FailureKind::Local, OP, source, message);
    let picked = files::pick(all, options).map_err(|(message, hint)| bad(message).hint(hint))?;
    let server = picked.cluster.server.clone().unwrap_or_default();
    if server.is_empty() {
        return Err(bad(format!("cluster \"{}\" names no server", picked.cluster_name)));
    }
    let is_plain = picked.cluster.certificate_authority.is_none()
        && picked.cluster.certificate_authority_data.is_none()
        && !picked.cluster.insecure_skip_tls_verify.unwrap_or(false);
    let url = match (server.contains("://"), is_plain) {
        (true, _) => server.clone(),
        (false, true) => format!("http://{server}"),
        (false, false) => format!("https://{server}"),
    };
    let uri: http::Uri = url
        .parse()
        .ok()
        .filter(|uri: &http::Uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")))
        .ok_or_else(|| {
            bad(format!("\"{server}\" of cluster \"{}\" is not a server's URL", picked.cluster_name))
        })?;
    let mut config = Config::new(uri);
    config.default_namespace = picked.namespace.unwrap_or_else(|| "default".into());
    config.accept_invalid_certs = picked.cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name = picked.cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    config.root_cert = authority(
        picked.cluster.certificate_authority_data.as_deref(),
        picked.cluster.certificate_authority.as_deref().map(Path::new),
    )
    .map_err(|why| bad(format!("the authority of cluster \"{}\" {why}", picked.cluster_name)))?;
    let configured = picked.cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty());
    if let Some(proxy) = configured.or_else(|| proxy::Environment::read().proxy_for(&config.cluster_url)) {
        let uri =
            proxy::complete(&proxy).parse().map_err(|_| bad("the proxy's URL cannot be read".into()))?;
        config.proxy_url = Some(uri);
    }
    let mut user = picked.user;
    if let Some(exec) = &mut user.exec {
        // the terminal belongs to the console: a plugin must neither read nor write it
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
        if exec.provide_cluster_info {
            exec.cluster =
                Some((&picked.cluster).try_into().map_err(|error: ::kube::config::KubeconfigError| {
                    bad("the cluster cannot be described to the credential plugin".into())
                        .because(error.to_string())
                })?);
        }
    }
    impersonate(&mut user, options);
    let who = Who {
        user: picked.user_name,
        context: picked.context_name,
        credentials: credentials(&user),
        acting_as: user.impersonate.clone(),
    };
    config.auth_info = user;
    Ok((config, who))
}

fn impersonate(user: &mut AuthInfo, options: &KubeOptions) {
    if let Some(name) = &options.as_user {
        user.impersonate = Some(name.clone());
    }
    if !options.as_groups.is_empty() {
        user.impersonate_groups = Some(options.as_groups.clone());
    }
}

fn credentials(user: &AuthInfo) -> &'static str {
    match user {
        _ if user.exec.is_some() => "credential plugin's token",
        _ if user.auth_provider.is_some() => "identity provider's token",
        _ if user.token.is_some() || user.token_file.is_some() => "token",
        _ if user.client_certificate.is_some() || user.client_certificate_data.is_some() => {
            "client certificate"
        }
        _ if user.username.is_some() => "password",
        _ => "",
    }
}

/// The authority's certificates as DER; the reason in words when they cannot be read.
fn authority(data: Option<&str>, file: Option<&Path>) -> Result<Option<Vec<Vec<u8>>>, String> {
    let pem = match (data.filter(|data| !data.is_empty()), file.filter(|file| !file.as_os_str().is_empty())) {
        (Some(data), _) => base64::engine::general_purpose::STANDARD
            .decode(data.split_ascii_whitespace().collect::<String>())
            .map_err(|_| "is not base64".to_owned())?,
        (None, Some(file)) => {
            std::fs::read(file).map_err(|error| format!("cannot be read from {}: {error}", file.display()))?
        }
        (None, None) => return Ok(None),
    };
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificates.push(certificate.map_err(|_| "is not PEM".to_owned())?.to_vec());
    }
    if certificates.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(Some(certificates))
}

#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
mod tests;
