//! Effects on hosts that the console carries out itself: opening a key, recording a host's key, asking who needs a reboot.

use crate::backend::host::Hosts;
use crate::backend::power::Bmc;
use crate::console::msg::Msg;
use crate::domain::host::{HostQuestion, Need, RebootNeed, UnknownHost};
use crate::domain::ids::{Generation, NodeName};
use crate::domain::node::NodeRow;
use crate::domain::power::PowerReading;
use crate::domain::report::{FailureKind, Report};
use futures::{StreamExt, stream};
use std::path::PathBuf;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// So many hosts are asked at the same time.
const AT_ONCE: usize = 4;

/// Opens a key with its passphrase.
pub(super) fn unlock(hosts: Hosts, path: String, passphrase: Zeroizing<String>, to: mpsc::Sender<Msg>) {
    tokio::spawn(async move {
        let opened = hosts.unlock(&PathBuf::from(&path), passphrase).await;
        let _ = to.send(Msg::Unlocked(path, opened.map_err(Into::into))).await;
    });
}

/// Records a host's key.
pub(super) fn trust(hosts: Hosts, host: UnknownHost, to: mpsc::Sender<Msg>) {
    tokio::spawn(async move {
        let name = host.name.clone();
        let recorded = tokio::task::spawn_blocking(move || hosts.trust(&host)).await;
        let recorded = recorded.unwrap_or_else(|error| {
            Err(crate::backend::error::Error::new(
                crate::domain::report::FailureKind::Unexpected,
                "record the key of",
                &name,
                error.to_string(),
            ))
        });
        let _ = to.send(Msg::Trusted(name, recorded.map_err(Into::into))).await;
    });
}

/// Asks a management controller for its machine's power.
pub(super) fn ask_power(bmc: Option<Bmc>, generation: Generation, node: NodeName, to: mpsc::Sender<Msg>) {
    tokio::spawn(async move {
        let state = match bmc {
            Some(bmc) => bmc.status(&node).await.map_err(Report::from),
            None => Err(Report::new(
                FailureKind::Local,
                format!("no management controller (BMC) is configured for {node}"),
            )),
        };
        let reading = PowerReading { at: crate::backend::clock::now(), state };
        let _ = to.send(Msg::Power(generation, node, reading)).await;
    });
}

/// Asks hosts whether they need a reboot, a few at a time; each answer is told as it comes.
pub(super) fn ask_need(
    hosts: Hosts,
    generation: Generation,
    rows: Vec<NodeRow>,
    to: mpsc::Sender<Msg>,
    cancel: CancellationToken,
) {
    let asking = async move {
        let answers = stream::iter(rows).map(|row| {
            let hosts = hosts.clone();
            async move {
                let need = hosts.reboot_need(&row).await.unwrap_or_else(|error| RebootNeed {
                    at: crate::backend::clock::now(),
                    need: Need::Unknown(error.report().line()),
                });
                (row.name, need)
            }
        });
        let mut answers = std::pin::pin!(answers.buffer_unordered(AT_ONCE));
        while let Some((node, need)) = answers.next().await {
            if to.send(Msg::Need(generation, node, need)).await.is_err() {
                return;
            }
        }
    };
    tokio::spawn(async move {
        let _ = cancel.run_until_cancelled(asking).await;
    });
}

/// Passes on what SSH asks.
pub(super) async fn tell_questions(
    mut asked: watch::Receiver<Vec<HostQuestion>>,
    generation: Generation,
    to: mpsc::Sender<Msg>,
) {
    loop {
        let questions = asked.borrow_and_update().clone();
        if to.send(Msg::Questions(generation, questions)).await.is_err() || asked.changed().await.is_err() {
            return;
        }
    }
}
