//! Whether the backups of etcd that the cluster makes by itself are fresh.

use super::{Scene, names, not_applicable, unknown, verdict};
use crate::domain::etcd::scheduled::newest;
use crate::domain::gate::{Gate, Offender};
use crate::domain::time::brief;

/// The newest scheduled backup that succeeded is no older than the configuration allows. Where it names no age, what is
/// known is told and nothing is demanded.
pub(super) fn backups(scene: &Scene) -> Gate {
    const NAME: &str = names::ETCD_BACKUP;
    const HINT: &str = "see its Job's log; [cluster.X.etcd.backup] max_age says what is demanded";
    let limit = scene.settings.backup.max_age;
    let asks = match limit {
        Some(limit) => format!("a scheduled backup of etcd succeeded in the last {}", brief(limit)),
        None => "a scheduled backup of etcd is fresh".to_owned(),
    };
    let backups = match (&scene.backups, limit) {
        (Ok(backups), _) => backups,
        (Err(report), Some(_)) => return unknown(scene, NAME, &asks, report),
        (Err(report), None) => {
            let why = format!("no age is demanded; scheduled backups cannot be read: {}", report.line());
            return not_applicable(scene, NAME, &asks, &why);
        }
    };
    let newest = newest(backups);
    let words = newest.map(|backup| backup.words(scene.clock));
    let Some(limit) = limit else {
        let known = words.unwrap_or_else(|| "no Job or CronJob is known that makes one".to_owned());
        return not_applicable(scene, NAME, &asks, &format!("no age is demanded; {known}"));
    };
    let Some((newest, words)) = newest.zip(words) else {
        let none = Offender::new("CronJob", "etcd", "is backed up by no Job or CronJob that is known")
            .hint("[cluster.X.etcd.backup] max_age demands one");
        return verdict(scene, NAME, &asks, vec![none], String::new());
    };
    let is_fresh = newest.succeeded.is_some_and(|at| scene.clock.since(at) <= limit);
    let what = words.split_once(' ').map_or(words.as_str(), |(_, what)| what);
    let stale = Offender::new(&newest.kind, &newest.name, what).within(&newest.namespace).hint(HINT);
    let offenders = if is_fresh { Vec::new() } else { vec![stale] };
    verdict(scene, NAME, &asks, offenders, words)
}
