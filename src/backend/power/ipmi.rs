//! IPMI through `ipmitool`. The password goes through its environment (`-E`), never onto its command line.

use super::{Bmc, Protocol, wrong_password};
use crate::backend::error::Error;
use crate::domain::ids::NodeName;
use crate::domain::power::PowerState;
use crate::domain::report::FailureKind;
use crate::domain::text::clean;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// `ipmitool` tries four times, some seconds each.
const LIMIT: Duration = Duration::from_secs(40);

pub(super) async fn status(bmc: &Bmc, node: &NodeName) -> Result<PowerState, Error> {
    let said = ask(bmc, node, "read the power of", &["chassis", "power", "status"]).await?;
    let said = said.to_lowercase();
    if said.contains("power is on") {
        Ok(PowerState::On)
    } else if said.contains("power is off") {
        Ok(PowerState::Off)
    } else {
        Ok(PowerState::Other(clean(said.trim())))
    }
}

/// `power cycle` does nothing to a machine that is off (IPMI 2.0, 28.3).
pub(super) async fn cycle(bmc: &Bmc, node: &NodeName, before: &PowerState) -> Result<(), Error> {
    let verb = if *before == PowerState::Off { "on" } else { "cycle" };
    ask(bmc, node, "change the power of", &["chassis", "power", verb]).await.map(drop)
}

async fn ask(bmc: &Bmc, node: &NodeName, op: &'static str, words: &[&str]) -> Result<String, Error> {
    let Protocol::Ipmi { program, interface } = &bmc.protocol else {
        return Err(Error::new(FailureKind::Unexpected, op, bmc.label(node), "it is no IPMI"));
    };
    let fail = |kind, why: String| Error::new(kind, op, bmc.label(node), why);
    let password = bmc.password(node).await?;
    let mut command = Command::new(program);
    // -v: without it ipmitool says the same of a wrong password as of nobody there (-vvv would print keys)
    command.args(["-I", interface, "-H", &bmc.host, "-U", &bmc.user, "-E", "-v", "-N", "1", "-R", "3"]);
    if let Some(port) = bmc.port {
        command.arg("-p").arg(port.to_string());
    }
    command.args(words).env("IPMI_PASSWORD", password.as_str()).env("IPMITOOL_PASSWORD", password.as_str());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            return Err(
                fail(FailureKind::Local, format!("{}: {error}", program.display())).hint("install ipmitool")
            );
        }
        Err(_) => return Err(fail(FailureKind::Timeout, "ipmitool did not end in time".to_owned())),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(bmc, node, op, &output))
}

/// What `ipmitool` said, as one sentence. It never prints a password; were it to, the text would be taken out.
fn failure(bmc: &Bmc, node: &NodeName, op: &'static str, output: &Output) -> Error {
    let text = clean(&String::from_utf8_lossy(&output.stderr));
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let refused = [
        "RAKP 2 HMAC is invalid",
        "unauthorized name",
        "nvalid user name",
        "password invalid",
        "Invalid authentication",
        "RAKP 2 message indicates an error",
    ];
    if has(&refused) {
        return wrong_password(bmc, node);
    }
    if has(&["nsufficient privilege"]) {
        let words = format!("the user {} may not do this", bmc.user);
        return Error::new(FailureKind::Forbidden, op, bmc.label(node), words);
    }
    let unreachable = [
        "Get Auth Capabilities error",
        "Unable to establish",
        "timeout",
        "Address lookup",
        "Could not open socket",
    ];
    if has(&unreachable) {
        return Error::new(FailureKind::Unreachable, op, bmc.label(node), "it does not answer over IPMI");
    }
    Error::new(FailureKind::Refused, op, bmc.label(node), text)
}
