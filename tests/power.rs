//! Power through management controllers: IPMI against a real simulator (Debian's `ipmi_sim`) by a real `ipmitool`, Redfish against a
//! TLS server of the test. Planted passwords must be nowhere.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "power/ipmi.rs"]
mod ipmi;
#[path = "power/redfish.rs"]
mod redfish;
#[path = "support/rows.rs"]
#[expect(dead_code, reason = "not every test needs every row")]
mod rows;

use pitstop::backend::error::Error;
use pitstop::backend::power::{Bmc, PasswordFrom, Protocol};
use pitstop::domain::guard::{Assent, Permit, Request, World, grant};
use pitstop::domain::ids::NodeName;
use pitstop::domain::plan::Kind;
use pitstop::domain::power::PowerState;
use pitstop::domain::report::FailureKind;
use std::path::Path;

const PLANTED: &str = "PLANTED-secret-9";

fn node() -> NodeName {
    "cp-1".into()
}

fn permit(kind: Kind) -> Permit {
    rows::permit(kind, &["cp-1"])
}

fn file(dir: &Path, text: &str) -> PasswordFrom {
    let path = dir.join("password");
    std::fs::write(&path, format!("{text}\n")).expect("write");
    PasswordFrom::File(path)
}

/// What stands in an error, in any form that may be shown or kept.
fn all_of(error: &Error) -> String {
    let report = serde_json::to_string(&error.report()).expect("plain data");
    format!("{error} {error:?} {report}")
}

#[tokio::test]
async fn ipmi_tells_and_changes_the_power() {
    let Some(sim) = ipmi::Simulator::start() else { return };
    let bmc = |password: PasswordFrom| Bmc {
        host: "127.0.0.1".to_owned(),
        port: Some(sim.port),
        user: "ipmiusr".to_owned(),
        password,
        protocol: Protocol::Ipmi { program: "ipmitool".into(), interface: "lanplus".to_owned() },
    };
    let good = bmc(file(sim.dir.path(), ipmi::PASSWORD));
    assert_eq!(good.status(&node()).await.expect("status"), PowerState::Off);

    let denied = good.cycle(&node(), &permit(Kind::Reboot), async { Ok(()) }).await.expect_err("no permit");
    assert_eq!(denied.kind, FailureKind::Denied);
    let stopped = async { Err(Error::new(FailureKind::Cancelled, "stop", "", "by hand")) };
    let error = good.cycle(&node(), &permit(Kind::PowerCycle), stopped).await.expect_err("stopped");
    assert_eq!(error.kind, FailureKind::Cancelled);
    assert_eq!(good.status(&node()).await.expect("status"), PowerState::Off, "nothing was sent");

    let before = good.cycle(&node(), &permit(Kind::PowerCycle), async { Ok(()) }).await.expect("switched on");
    assert_eq!(before, PowerState::Off);
    assert_eq!(good.status(&node()).await.expect("status"), PowerState::On);

    // by a program that prints the password
    let command = PasswordFrom::Command(vec!["printf".into(), ipmi::PASSWORD.into()]);
    assert_eq!(bmc(command).status(&node()).await.expect("status"), PowerState::On);

    let wrong = bmc(file(sim.dir.path(), PLANTED)).status(&node()).await.expect_err("wrong");
    assert_eq!(wrong.kind, FailureKind::Unauthorized, "{wrong}");
    assert!(
        wrong.to_string().contains("does not accept the user name ipmiusr with this password"),
        "{wrong}"
    );
    assert!(!all_of(&wrong).contains(PLANTED));
}

#[tokio::test]
async fn redfish_tells_and_changes_the_power() {
    for session in [false, true] {
        let server = redfish::Server::start().await;
        let bmc = |password: &str, fingerprint: Option<String>, ca: bool| Bmc {
            host: "localhost".to_owned(),
            port: Some(server.port),
            user: "ops".to_owned(),
            password: file(server.dir.path(), password),
            protocol: Protocol::Redfish {
                ca: ca.then(|| server.dir.path().join("ca.pem")),
                fingerprint,
                system: None,
                session,
            },
        };
        let good = bmc(redfish::PASSWORD, Some(server.fingerprint.clone()), false);
        assert_eq!(good.status(&node()).await.expect("status"), PowerState::On);
        let by_ca = bmc(redfish::PASSWORD, None, true);
        assert_eq!(by_ca.status(&node()).await.expect("by its authority"), PowerState::On);
        let before = good.cycle(&node(), &permit(Kind::PowerCycle), async { Ok(()) }).await.expect("cycled");
        assert_eq!(before, PowerState::On);
        assert_eq!(server.resets(), ["ForceRestart"]);
        server.set("Off");
        good.cycle(&node(), &permit(Kind::PowerCycle), async { Ok(()) }).await.expect("switched on");
        assert_eq!(server.resets(), ["ForceRestart", "On"]);
        if session {
            assert_eq!(server.sessions(), 0, "every session was ended");
        }

        let wrong =
            bmc(PLANTED, Some(server.fingerprint.clone()), false).status(&node()).await.expect_err("wrong");
        assert_eq!(wrong.kind, FailureKind::Unauthorized, "{wrong}");
        assert!(
            wrong.to_string().contains("does not accept the user name ops with this password"),
            "{wrong}"
        );
        assert!(!all_of(&wrong).contains(PLANTED));

        // another certificate, and none at all: the password is not sent
        let heard = server.requests();
        let other = bmc(PLANTED, Some("ab".repeat(32)), false).status(&node()).await.expect_err("another");
        assert_eq!(other.kind, FailureKind::Identity, "{other}");
        let none = bmc(PLANTED, None, false).status(&node()).await.expect_err("not configured");
        assert!(none.to_string().contains("neither ca nor fingerprint"), "{none}");
        assert_eq!(server.requests(), heard);
    }
}

#[test]
fn cutting_the_power_of_a_working_control_plane_is_weighed_like_its_reboot() {
    let request = |nodes: &[&str]| Request {
        drain: pitstop::domain::config::DrainOptions::default(),
        lock: pitstop::domain::lock::LockChoice::default(),
        ..Request::new(Kind::PowerCycle, nodes.iter().map(|node| NodeName::from(*node)).collect())
    };
    let world = World { nodes: None, etcd: None, lock: None };
    let policy = pitstop::domain::config::Policy::default();
    let refused = grant(&policy, &request(&["cp-1"]), world, Assent::Key).expect_err("a key is not enough");
    assert_eq!(refused.hint.as_deref(), Some("type cp-1"));
    grant(&policy, &request(&["cp-1"]), world, Assent::Typed("cp-1".into())).expect("typed");
    grant(&policy, &request(&["cp-1", "cp-2"]), world, Assent::Typed("cp-1".into()))
        .expect_err("two at a time");
}
