//! Asking a host to reboot: once, the right host, and with an honest answer.

use super::readiness::REBOOT;
use super::{Hosts, Output, Target};
use crate::backend::error::Error;
use crate::domain::guard::{Change, Permit};
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;

/// What a host answered to being asked for a reboot. A refusal is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebootAnswer {
    /// It will reboot: exit status 0, or the connection was cut before a status came (`None`), as happens when the SSH
    /// server is stopped first.
    Requested {
        /// Exit status.
        status: Option<u32>,
    },
}

impl Hosts {
    /// Asks the host to reboot, once (`systemctl reboot`, through `sudo -n` unless the login is root).
    ///
    /// Before that the host's boot id is read: when the node's kubelet reported another one, the address leads to
    /// another host, or the host has rebooted meanwhile, and nothing is asked. Never repeats the request: after an error
    /// of kind `Timeout` it is not known whether the host will reboot, and its boot id must be read first.
    ///
    /// `go` is awaited immediately before the request is sent, when nothing else is left to do; its error is returned and
    /// nothing is sent.
    pub async fn reboot(
        &self,
        node: &NodeRow,
        permit: &Permit,
        go: impl Future<Output = Result<(), Error>> + Send,
    ) -> Result<RebootAnswer, Error> {
        permit.check(&Change::Reboot(&node.name))?;
        let target = self.target(node)?;
        let boot_id = self.boot_id_of(&target).await?;
        if !node.boot_id.is_empty() && node.boot_id != boot_id {
            return Err(Error::new(
                FailureKind::Identity,
                "reboot",
                target.label(),
                format!("it is in boot {boot_id}, but the node's kubelet reported {}", node.boot_id),
            )
            .hint("the address leads to another host, or the host has rebooted meanwhile"));
        }
        let argv = self.as_root(&target, &REBOOT).await?;
        let answer = self.run_after(&target, &argv, go).await;
        // whatever it said, this connection will not be used again
        if let Some(session) = self.session_kept(&target).await {
            self.forget(&target, &session).await;
            session.leave().await;
        }
        match answer {
            Ok(output) => judge(&output, &argv, &target),
            Err(error) if error.kind == FailureKind::Timeout => Err(error
                .hint("it is not known whether the host will reboot: read its boot id before asking again")),
            Err(error) => Err(error),
        }
    }
}

/// Exit status 0, or none because the connection was cut, is a yes; another status a no with the host's own words. Ended
/// by a signal it is not known: the request may have been handed over before.
fn judge(output: &Output, argv: &[&str], target: &Target) -> Result<RebootAnswer, Error> {
    match (output.status, &output.signal) {
        (Some(0), _) | (None, None) => Ok(RebootAnswer::Requested { status: output.status }),
        (None, Some(signal)) => {
            let message = format!("{} was ended by signal {signal}", argv.join(" "));
            Err(Error::new(FailureKind::Timeout, "reboot", target.label(), message)
                .hint("it is not known whether the host will reboot: read its boot id before asking again"))
        }
        _ => {
            let mut error = Error::new(FailureKind::Refused, "reboot", target.label(), output.why())
                .because(format!("the command was {}", argv.join(" ")));
            error.code = output.status.and_then(|status| u16::try_from(status).ok());
            if output.stderr.contains("have a tty") {
                error = error.hint("sudo wants a terminal there; in sudoers: Defaults:USER !requiretty");
            } else if output.stderr.contains("password is required") {
                error =
                    error.hint("allow it in sudoers: USER ALL=(root) NOPASSWD: /usr/bin/systemctl reboot");
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: Option<u32>, signal: Option<&str>, stderr: &str) -> Result<RebootAnswer, Error> {
        let output = Output {
            stdout: String::new(),
            stderr: stderr.to_owned(),
            status,
            signal: signal.map(str::to_owned),
        };
        let target = Target { node: "cp-1".into(), host: "10.0.0.1".into(), port: 22 };
        judge(&output, &["sudo", "-n", "/usr/bin/systemctl", "reboot"], &target)
    }

    #[test]
    fn a_cut_connection_is_a_yes_and_a_status_is_the_hosts_word() {
        assert_eq!(judged(Some(0), None, ""), Ok(RebootAnswer::Requested { status: Some(0) }));
        assert_eq!(judged(None, None, ""), Ok(RebootAnswer::Requested { status: None }));
        let refused = judged(Some(1), None, "sudo: a password is required\n").expect_err("refused");
        assert_eq!((refused.kind, refused.code), (FailureKind::Refused, Some(1)));
        assert!(refused.to_string().contains("sudo: a password is required"), "{refused}");
        assert!(refused.hint.is_some_and(|hint| hint.contains("NOPASSWD")));
        let unknown = judged(None, Some("TERM"), "").expect_err("not known");
        assert_eq!(unknown.kind, FailureKind::Timeout);
    }
}
