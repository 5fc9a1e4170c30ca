//! Before a run on the command line: the hosts are asked once, and what SSH asks back is put to the engineer.
//!
//! Only on a terminal. Without one the gates say what is missing.

use super::prompt::{self, Prompt};
use crate::backend::host::Hosts;
use crate::domain::host::{HostQuestion, UnknownHost};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::report::Report;
use std::path::PathBuf;

/// So often a passphrase may be mistyped.
const TRIES: usize = 3;
/// A host that asks one thing after another (jump hosts, keys) is asked again this often at most.
const ROUNDS: usize = 8;

/// Asks the hosts of these nodes for a sign of life and answers what stands in its way. A host that does not answer is the
/// gates' matter.
///
/// # Errors
/// The terminal cannot be read.
pub(super) async fn introduce(hosts: &Hosts, rows: &[NodeRow], prompt: &mut Prompt) -> Result<(), Report> {
    if !prompt::is_possible() {
        return Ok(());
    }
    for row in rows {
        for _ in 0..ROUNDS {
            if hosts.boot_id(row).await.is_ok() {
                break;
            }
            let questions = hosts.questions().borrow().clone();
            let Some(question) = questions.first() else { break };
            let is_answered = match question {
                HostQuestion::Passphrase(path) => unlock(hosts, path, prompt).await?,
                HostQuestion::HostKey(host) => trust(hosts, host, prompt).await?,
            };
            if !is_answered {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn unlock(hosts: &Hosts, path: &str, prompt: &mut Prompt) -> Result<bool, Report> {
    for _ in 0..TRIES {
        let Some(typed) = prompt.ask_masked(&format!("passphrase of the key {path} (empty = none):")).await?
        else {
            return Ok(false);
        };
        match hosts.unlock(&PathBuf::from(path), typed).await {
            Ok(()) => return Ok(true),
            Err(error) => super::notice(&error.report().line()),
        }
    }
    Ok(false)
}

async fn trust(hosts: &Hosts, host: &UnknownHost, prompt: &mut Prompt) -> Result<bool, Report> {
    super::notice(&format!(
        "the host {} shows a key that is not recorded: {} {}",
        host.name, host.algorithm, host.fingerprint
    ));
    super::notice("compare it on the host's own console; if it is wrong, somebody else answers in its place");
    let name = host.node.as_ref().map_or(host.name.as_str(), NodeName::as_str);
    let question = format!("type {name} to record it in {}, anything else to refuse:", host.file);
    if prompt.ask(&question).await?.as_deref() != Some(name) {
        return Ok(false);
    }
    match hosts.trust(host) {
        Ok(()) => Ok(true),
        Err(error) => {
            super::notice(&error.report().line());
            Ok(false)
        }
    }
}
