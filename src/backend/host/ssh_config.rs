//! The operator's own SSH configuration, as OpenSSH itself reads it: `ssh -G HOST`.
//!
//! Parsing `ssh_config` anew would get `Match`, `Include` and tokens wrong. The program is started with plain words, never
//! through a shell; a name that could be taken for an option, or that no host can have, is refused before.

use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Usually 5 ms; a `Match exec` of the operator may take longer.
const LIMIT: Duration = Duration::from_secs(5);

/// The `ssh` program that is asked for its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSsh {
    /// The program, by name or path. Not there = our own settings alone decide.
    pub program: PathBuf,
    /// A configuration file instead of the usual ones (`-F`).
    pub config: Option<PathBuf>,
}

/// What OpenSSH would do for a host, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) user: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) alias: Option<String>,
    pub(super) identity_files: Vec<PathBuf>,
    pub(super) identities_only: bool,
    pub(super) agent: Option<AgentAdvice>,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) jump: Vec<String>,
    /// A command would be the connection: it is not run here.
    pub(super) proxy_command: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AgentAdvice {
    None,
    Socket(PathBuf),
}

/// Whether a name can be a host's: letters, digits, dots, hyphens, underscores; colons and a zone for IPv6. Never one that
/// begins like an option.
pub(crate) fn is_host_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
    !name.is_empty() && name.len() <= 255 && !name.starts_with('-') && name.chars().all(is_plain)
}

/// Whether a login name is one that is safe to hand on.
pub(super) fn is_user_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@\\+$".contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(is_plain)
}

impl OpenSsh {
    /// Asks; `None` = there is no such program.
    pub(super) async fn advise(&self, host: &str, port: Option<u16>) -> Result<Option<Advice>, Error> {
        let fail = |kind, why: &str| Error::new(kind, "read the SSH configuration for", host, why);
        let mut command = Command::new(&self.program);
        command.arg("-G");
        if let Some(file) = &self.config {
            command.arg("-F").arg(file);
        }
        if let Some(port) = port {
            command.arg("-p").arg(port.to_string());
        }
        command.arg("--").arg(host).stdin(Stdio::null()).kill_on_drop(true);
        let output = match tokio::time::timeout(LIMIT, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(Err(error)) => return Err(fail(FailureKind::Local, &error.to_string())),
            Err(_) => return Err(fail(FailureKind::Timeout, "ssh -G did not end within 5 s")),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("ssh -G failed");
            return Err(fail(FailureKind::Local, line)
                .hint("repair your ssh_config, or set ssh.use_ssh_config = false"));
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        Ok(Some(parse(&String::from_utf8_lossy(&output.stdout), home.as_deref())))
    }
}

/// `ssh -G` prints one lower-case key and its value a line.
fn parse(text: &str, home: Option<&Path>) -> Advice {
    let mut advice = Advice::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let value = value.trim();
        let is_none = value.eq_ignore_ascii_case("none");
        match key {
            "user" => advice.user = Some(value.to_owned()),
            "hostname" => advice.hostname = Some(value.to_owned()),
            "port" => advice.port = value.parse().ok(),
            "hostkeyalias" if !is_none => advice.alias = Some(value.to_owned()),
            "identityfile" if !is_none => advice.identity_files.push(PathBuf::from(value)),
            "identitiesonly" => advice.identities_only = value == "yes",
            "identityagent" if is_none => advice.agent = Some(AgentAdvice::None),
            "identityagent" if value != "SSH_AUTH_SOCK" => {
                let path = value.strip_prefix('$').and_then(std::env::var_os).map(PathBuf::from);
                advice.agent = Some(AgentAdvice::Socket(path.unwrap_or_else(|| PathBuf::from(value))));
            }
            "certificatefile" if !is_none => advice.certificates.push(PathBuf::from(value)),
            "userknownhostsfile" | "globalknownhostsfile" if !is_none => {
                advice.known_hosts.extend(value.split_whitespace().map(PathBuf::from));
            }
            "proxyjump" if !is_none => {
                advice.jump = value.split(',').map(|hop| hop.trim().to_owned()).collect();
            }
            "proxycommand" if !is_none => advice.proxy_command = Some(value.to_owned()),
            _ => {}
        }
    }
    let (user, host, port) = (advice.user.clone(), advice.hostname.clone(), advice.port);
    let expand = |path: &mut PathBuf| *path = expanded(path, home, user.as_deref(), host.as_deref(), port);
    advice.identity_files.iter_mut().for_each(expand);
    advice.certificates.iter_mut().for_each(expand);
    advice.known_hosts.iter_mut().for_each(expand);
    if let Some(AgentAdvice::Socket(path)) = &mut advice.agent {
        expand(path);
    }
    advice
}

/// `~/`, and the tokens that ssh_config(5) allows in names of files, as far as they can be told here.
fn expanded(
    path: &Path,
    home: Option<&Path>,
    user: Option<&str>,
    host: Option<&str>,
    port: Option<u16>,
) -> PathBuf {
    let text = path.to_string_lossy();
    let home = home.map(|home| home.display().to_string()).unwrap_or_default();
    let mut out = String::new();
    let mut rest = match text.strip_prefix("~/") {
        Some(rest) => {
            out.push_str(&home);
            out.push('/');
            rest.chars()
        }
        None => text.chars(),
    };
    while let Some(ch) = rest.next() {
        if ch != '%' {
            out.push(ch);
            continue;
        }
        match rest.next() {
            Some('%') | None => out.push('%'),
            Some('d') => out.push_str(&home),
            Some('h' | 'n') => out.push_str(host.unwrap_or_default()),
            Some('r') => out.push_str(user.unwrap_or_default()),
            Some('u') => out.push_str(&std::env::var("USER").unwrap_or_default()),
            Some('p') => out.push_str(&port.unwrap_or(22).to_string()),
            Some(other) => out.extend(['%', other]),
        }
    }
    PathBuf::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_is_taken_apart() {
        let text = "user x\nhostname 10.0.0.9\nport 2222\nidentityfile ~/.ssh/id_%h\nidentitiesonly yes\n\
                    identityagent none\ncertificatefile none\nproxyjump ops@bastion:2222,second\n\
                    userknownhostsfile /tmp/a ~/b\nglobalknownhostsfile none\nproxycommand none\n";
        let advice = parse(text, Some(Path::new("/home/x")));
        assert_eq!(advice.user.as_deref(), Some("x"));
        assert_eq!((advice.hostname.as_deref(), advice.port), (Some("10.0.0.9"), Some(2222)));
        assert_eq!(advice.identity_files, [PathBuf::from("/home/x/.ssh/id_10.0.0.9")]);
        assert_eq!(advice.known_hosts, [PathBuf::from("/tmp/a"), PathBuf::from("/home/x/b")]);
        assert_eq!(advice.jump, ["ops@bastion:2222", "second"]);
        assert_eq!(advice.agent, Some(AgentAdvice::None));
        assert!(advice.identities_only && advice.certificates.is_empty() && advice.proxy_command.is_none());
    }

    #[test]
    fn names_that_no_host_has_are_refused() {
        for good in ["cp-1", "10.0.0.1", "fe80::1%eth0", "a.b_c"] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", "-oProxyCommand=x", "a b", "a;b", "$(id)", "a\nb", "`id`", "a/b", "x'y"] {
            assert!(!is_host_name(bad), "{bad}");
        }
        assert!(is_user_name("ops") && !is_user_name("-l") && !is_user_name("a b"));
    }
}
