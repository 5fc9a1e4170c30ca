//! Power of a machine, past its operating system: through its board's management controller (BMC), by IPMI or Redfish.
//!
//! Passwords are read from a file or a command each time, and overwritten after; they are never an argument of a program, and
//! never part of an error or a log line.

mod ipmi;
mod redfish;
mod tls;

use super::error::Error;
use super::local;
use crate::domain::guard::{Change, Permit};
use crate::domain::ids::NodeName;
use crate::domain::power::PowerState;
use crate::domain::report::FailureKind;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// For a password command.
const SECRET: Duration = Duration::from_secs(20);

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordFrom {
    /// The first line of a file.
    File(PathBuf),
    /// The first line that a program prints.
    Command(Vec<String>),
}

/// How a machine's BMC is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// IPMI over LAN, through the program `ipmitool`.
    Ipmi {
        /// `ipmitool`, by name or path.
        program: PathBuf,
        /// `lanplus` (2.0) or `lan` (1.5).
        interface: String,
    },
    /// Redfish over HTTPS.
    Redfish {
        /// Authority that signed the BMC's certificate (PEM).
        ca: Option<PathBuf>,
        /// SHA-256 of the BMC's certificate, in hex; instead of an authority.
        fingerprint: Option<String>,
        /// The system, by its path (`/redfish/v1/Systems/1`); `None` = the only one.
        system: Option<String>,
        /// Log in with a session instead of sending the password with each request.
        session: bool,
    },
}

/// One machine's BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bmc {
    /// Host name or IP address.
    pub host: String,
    /// Port; `None` = 623 for IPMI, 443 for Redfish.
    pub port: Option<u16>,
    /// Login.
    pub user: String,
    /// Where its password comes from.
    pub password: PasswordFrom,
    /// How it is spoken to.
    pub protocol: Protocol,
}

impl Bmc {
    /// `the BMC of cp-1 (10.0.0.5)`.
    fn label(&self, node: &NodeName) -> String {
        format!("the BMC of {node} ({})", self.host)
    }

    /// Whether the machine has power.
    pub async fn status(&self, node: &NodeName) -> Result<PowerState, Error> {
        match &self.protocol {
            Protocol::Ipmi { .. } => ipmi::status(self, node).await,
            Protocol::Redfish { .. } => redfish::status(self, node).await,
        }
    }

    /// Takes the machine's power away and gives it back; one that is off is switched on. `go` is awaited immediately before the
    /// request is sent.
    pub async fn cycle(
        &self,
        node: &NodeName,
        permit: &Permit,
        go: impl Future<Output = Result<(), Error>> + Send,
    ) -> Result<PowerState, Error> {
        permit.check(&Change::Power(node))?;
        let before = self.status(node).await?;
        go.await?;
        match &self.protocol {
            Protocol::Ipmi { .. } => ipmi::cycle(self, node, &before).await?,
            Protocol::Redfish { .. } => redfish::cycle(self, node, &before).await?,
        }
        Ok(before)
    }

    async fn password(&self, node: &NodeName) -> Result<Zeroizing<String>, Error> {
        match &self.password {
            PasswordFrom::Command(argv) => local::secret(argv, SECRET).await,
            PasswordFrom::File(path) => {
                let fail = |why: &str| {
                    Error::new(FailureKind::Local, "read the password for", self.label(node), why)
                        .because(path.display().to_string())
                };
                let text = tokio::fs::read_to_string(path).await.map_err(|error| fail(&error.to_string()))?;
                let text = Zeroizing::new(text);
                match text.lines().next().filter(|line| !line.is_empty()) {
                    Some(line) => Ok(Zeroizing::new(line.to_owned())),
                    None => Err(fail("the file is empty")),
                }
            }
        }
    }
}

/// The one sentence for a login that was refused.
fn wrong_password(bmc: &Bmc, node: &NodeName) -> Error {
    let words = format!("it does not accept the user name {} with this password", bmc.user);
    Error::new(FailureKind::Unauthorized, "log in to", bmc.label(node), words)
}
