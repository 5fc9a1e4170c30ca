//! Takes a machine's power away and gives it back, through its management controller.

use crate::backend::clock::now;
use crate::backend::power::Bmc;
use crate::domain::power::PowerState;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::domain::time::{brief, clock};
use crate::engine::job::{Ending, Job};
use std::time::Duration;

/// The power must be on again within this time.
const ON_AGAIN: Duration = Duration::from_secs(90);

/// The controller of the step's node.
fn bmc(job: &Job) -> Result<&Bmc, Report> {
    let node = job.node()?;
    job.backends().settings.service.bmc.get(node).ok_or_else(|| {
        Report::new(FailureKind::Local, format!("no management controller (BMC) is configured for {node}"))
            .hint(format!("see [cluster.X.bmc.{node}] in the configuration"))
    })
}

/// Cycles it, once, and waits until the controller says that the power is on.
pub(super) async fn cycle(job: &Job) -> Ending {
    let (node, bmc) = (job.node()?, bmc(job)?);
    job.say("asking the management controller");
    let change = format!("power-cycle {node}");
    let go = async {
        job.may_change(&change)?;
        job.asks().await;
        Ok(job.announce(&change)?)
    };
    let answer = bmc.cycle(node, job.permit(), go).await;
    job.answered(&change, &answer);
    let before = answer?;
    let began = now();
    let deadline = began.plus(ON_AGAIN);
    loop {
        let state = bmc.status(node).await;
        let text = match &state {
            Ok(PowerState::On) => break,
            Ok(state) => format!("the power is {state}, {}", clock(now().since(began))),
            Err(error) => format!("the power is not known: {error}"),
        };
        if now() >= deadline {
            let words = format!("the power of {node} was cycled, and is not on after {}", brief(ON_AGAIN));
            return Err(Report::new(FailureKind::Timeout, words).because(text));
        }
        job.progress(crate::domain::run::Progress { text, deadline: Some(deadline), ..Default::default() });
        tokio::time::sleep(job.backends().settings.timing.poll).await;
    }
    Ok(Outcome::Done(format!(
        "the power was {before}, was cycled, and is on; whether {node} booted, only its boot id tells"
    )))
}

/// What the controller says of the power now, in words; `None` = none is configured.
pub(super) async fn words(job: &Job) -> Option<String> {
    let node = job.node().ok()?;
    let bmc = job.backends().settings.service.bmc.get(node)?;
    Some(match bmc.status(node).await {
        Ok(state) => format!("its management controller says: power {state}"),
        Err(error) => format!("its management controller was asked for the power: {}", error.report().line()),
    })
}
