//! The way to a host: login, port, keys and jump hosts, from our configuration, else from the operator's own (`ssh -G`), else
//! OpenSSH's defaults.

use super::ssh_config::{Advice, AgentAdvice, is_host_name, is_user_name};
use super::{SshOptions, Target, known_hosts, split_address};
use crate::backend::error::Error;
use crate::domain::ids::NodeName;
use crate::domain::report::FailureKind;
use std::path::PathBuf;

/// So many jump hosts at most; a configuration that leads in circles ends here.
const MOST_JUMPS: usize = 6;

/// One SSH connection of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    /// Where it is, and what it is called in messages.
    pub(super) target: Target,
    /// The node behind it; `None` = a jump host.
    pub(super) node: Option<NodeName>,
    pub(super) user: String,
    /// Name under which its key is recorded.
    pub(super) name: String,
    pub(super) known_hosts: Vec<PathBuf>,
    /// Where an unknown key would be recorded.
    pub(super) record: Option<PathBuf>,
    pub(super) identity_files: Vec<PathBuf>,
    pub(super) certificates: Vec<PathBuf>,
    /// The agent's socket; `None` = none.
    pub(super) agent: Option<PathBuf>,
    /// Only the agent's keys that are also named files are offered.
    pub(super) identities_only: bool,
}

/// A host as somebody names it.
struct Asked<'a> {
    host: String,
    port: Option<u16>,
    user: Option<String>,
    node: Option<&'a NodeName>,
}

impl Asked<'_> {
    fn jump(text: &str) -> Self {
        let text = text.strip_prefix("ssh://").unwrap_or(text);
        let (user, address) = match text.rsplit_once('@') {
            Some((user, address)) => (Some(user.to_owned()), address),
            None => (None, text),
        };
        let (host, port) = split_address(address, 0);
        Self { host, port: (port != 0).then_some(port), user, node: None }
    }
}

/// The hops to a node, jump hosts first, the node's host last.
pub(super) async fn find(options: &SshOptions, target: &Target) -> Result<Vec<Hop>, Error> {
    let asked = Asked {
        host: target.host.clone(),
        port: (target.port != 0).then_some(target.port).or(options.port),
        user: options.user.clone(),
        node: Some(&target.node),
    };
    let (last, advice) = hop(options, asked).await?;
    let mut pending: Vec<String> = match &options.jump {
        Some(jump) => jump.clone(),
        None => advice.jump,
    };
    if let (None, true, Some(command)) = (&options.jump, pending.is_empty(), advice.proxy_command) {
        let words = format!("your ssh_config reaches it by ProxyCommand ({command}), which is not run here");
        return Err(Error::new(FailureKind::Local, "find the way to", target.label(), words)
            .hint("use ProxyJump there, or ssh.jump in the configuration ([] = none)"));
    }
    let mut hops = vec![last];
    // from the node outwards
    while let Some(name) = pending.pop() {
        if hops.len() > MOST_JUMPS {
            let words = format!("more than {MOST_JUMPS} jump hosts");
            return Err(Error::new(FailureKind::Local, "find the way to", target.label(), words));
        }
        let (jump, advice) = hop(options, Asked::jump(&name)).await?;
        hops.push(jump);
        if pending.is_empty() && options.jump.is_none() {
            pending = advice.jump;
        }
    }
    hops.reverse();
    Ok(hops)
}

async fn hop(options: &SshOptions, asked: Asked<'_>) -> Result<(Hop, Advice), Error> {
    let called = asked.node.map_or_else(|| format!("jump host {}", asked.host), |node| node.0.clone());
    let refuse = |what: &str| {
        Error::new(FailureKind::Denied, "connect to", &called, what).hint("give its address in ssh.addresses")
    };
    if !is_host_name(&asked.host) {
        return Err(refuse("its address is none that a host can have"));
    }
    if asked.user.as_deref().is_some_and(|user| !is_user_name(user)) {
        return Err(refuse("the login name is none that is safe to hand on"));
    }
    let advice = match &options.openssh {
        Some(ssh) => ssh.advise(&asked.host, asked.port).await?.unwrap_or_default(),
        None => Advice::default(),
    };
    let host = advice.hostname.clone().unwrap_or_else(|| asked.host.clone());
    if !is_host_name(&host) {
        return Err(refuse("the name that ssh_config gives it is none that a host can have"));
    }
    let port = asked.port.or(advice.port).unwrap_or(22);
    let user = asked
        .user
        .or_else(|| advice.user.clone())
        .or_else(|| options.user.clone())
        .unwrap_or_else(local_user);
    let hop = Hop {
        name: advice.alias.clone().unwrap_or_else(|| host.clone()),
        target: Target { node: NodeName(called), host, port },
        node: asked.node.cloned(),
        user,
        known_hosts: known_hosts(options, &advice),
        record: options.record.clone(),
        identity_files: identity_files(options, &advice),
        certificates: if options.certificates.is_empty() {
            advice.certificates.clone()
        } else {
            options.certificates.clone()
        },
        agent: agent(options, &advice),
        identities_only: advice.identities_only,
    };
    Ok((hop, advice))
}

/// The local user: the login where nothing says otherwise.
pub(super) fn local_user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "root".to_owned())
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

fn known_hosts(options: &SshOptions, advice: &Advice) -> Vec<PathBuf> {
    let mut files = match (options.known_hosts.is_empty(), advice.known_hosts.is_empty()) {
        (false, _) => options.known_hosts.clone(),
        (true, false) => advice.known_hosts.clone(),
        (true, true) => known_hosts::default_files(home().as_deref()),
    };
    if let Some(own) = &options.record
        && !files.contains(own)
    {
        files.push(own.clone());
    }
    files
}

fn identity_files(options: &SshOptions, advice: &Advice) -> Vec<PathBuf> {
    if !options.identity_files.is_empty() {
        return options.identity_files.clone();
    }
    let is_there = |path: &PathBuf| path.exists();
    if advice.identity_files.iter().any(is_there) {
        // ssh names its defaults too, whether they exist or not
        return advice.identity_files.iter().filter(|path| is_there(path)).cloned().collect();
    }
    let usual =
        ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| home().map(|home| home.join(".ssh").join(name)));
    usual.into_iter().flatten().filter(is_there).collect()
}

fn agent(options: &SshOptions, advice: &Advice) -> Option<PathBuf> {
    if !options.agent {
        return None;
    }
    match (&options.agent_socket, &advice.agent) {
        (Some(socket), _) | (None, Some(AgentAdvice::Socket(socket))) => Some(socket.clone()),
        (None, Some(AgentAdvice::None)) => None,
        (None, None) => std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SshOptions {
        SshOptions {
            user: Some("ops".to_owned()),
            identity_files: vec!["/k".into()],
            ..SshOptions::default()
        }
    }

    fn target(host: &str, port: u16) -> Target {
        Target { node: "cp-1".into(), host: host.to_owned(), port }
    }

    #[tokio::test]
    async fn jump_hosts_come_first_and_have_logins_of_their_own() {
        let jump = Some(vec!["gate@outer:2222".to_owned(), "inner".to_owned()]);
        let options = SshOptions { jump, port: Some(2200), ..options() };
        let hops = find(&options, &target("10.0.0.1", 0)).await.expect("a way");
        let shown: Vec<String> =
            hops.iter().map(|hop| format!("{}@{}", hop.user, hop.target.address())).collect();
        assert_eq!(shown, ["gate@outer:2222", "ops@inner:22", "ops@10.0.0.1:2200"]);
        assert_eq!(hops.iter().filter(|hop| hop.node.is_some()).count(), 1);
    }

    #[tokio::test]
    async fn names_from_the_cluster_cannot_become_options_or_commands() {
        for host in ["-oProxyCommand=touch /tmp/x", "$(reboot)", "a;b", "a b", "", "`id`"] {
            let error = find(&options(), &target(host, 0)).await.expect_err(host);
            assert_eq!(error.kind, FailureKind::Denied, "{error}");
        }
    }
}
