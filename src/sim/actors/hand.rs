//! Somebody with kubectl and a shell: cordon, drain, reboot or upgrade, a look, uncordon, with pauses in between.

use super::{Crew, GaveUp};
use crate::sim::scenario::{Action, Work};

/// Every node in its turn.
pub async fn work(crew: &mut Crew) -> Result<(), GaveUp> {
    for name in crew.turns.clone() {
        turn(crew, &name).await?;
        crew.rest(30).await;
    }
    Ok(())
}

async fn turn(crew: &mut Crew, name: &str) -> Result<(), GaveUp> {
    let pause = crew.spec.pause;
    crew.cordon(name, "kubectl-cordon").await;
    crew.pass(pause).await;
    crew.drain(name).await?;
    crew.pass(pause).await;
    let boot_id = crew.yard.boot_id(name);
    let upgrades = crew.spec.work == Work::Upgrade;
    let (version, kernel, os) = (crew.spec.version.clone(), crew.spec.kernel.clone(), crew.spec.os.clone());
    let software =
        Action::Software { node: name.to_owned(), version, kernel: kernel.clone(), os, restart: upgrades };
    crew.yard.act(software).await;
    if upgrades {
        crew.returned(name, "").await?;
    } else {
        crew.yard.reboot(name);
        crew.returned(name, &boot_id).await?;
        crew.yard.mark_host(name, false, kernel.as_deref());
    }
    crew.pass(pause).await;
    crew.uncordon(name, "kubectl-cordon").await;
    Ok(())
}
