//! Asks one probe: a baseline as fast as it answers, then at its pace until nobody holds a post.

use super::Room;
use crate::backend::probe::Asker;
use crate::domain::probe::{ProbeSpec, compare};
use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// Between an answer and the next question of a baseline: nobody is asked without a rest.
const REST: Duration = Duration::from_millis(20);
/// A baseline takes no longer than this; what was answered by then has to do.
const LONGEST: Duration = Duration::from_secs(15);
/// So many questions are under way at most: an answer that does not come holds up nothing.
const MOST: usize = 64;

/// Asks until it is told to stop.
pub(super) async fn keep(room: Arc<Room>, at: usize, spec: ProbeSpec, asker: Asker, stop: CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = ask(&room, at, &spec, &asker) => {}
    }
}

async fn ask(room: &Room, at: usize, spec: &ProbeSpec, asker: &Asker) {
    let is_known = room.state().meters.get(at).is_some_and(|meter| meter.baseline().is_some());
    if !is_known {
        baseline(room, at, spec, asker).await;
    }
    let pace = spec.pace.interval.max(compare::LEAST_INTERVAL);
    let mut ticks = interval_at(Instant::now() + pace, pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(sample) = under_way.next() => {
                if let Some(meter) = room.state().meters.get_mut(at) {
                    meter.add(sample);
                }
                room.judge();
            }
            _ = ticks.tick() => {
                if under_way.len() < MOST {
                    under_way.push(asker.ask());
                }
                // what is old leaves the window also when nothing new arrives
                room.judge();
            }
        }
    }
}

async fn baseline(room: &Room, at: usize, spec: &ProbeSpec, asker: &Asker) {
    let questions = stream::iter(0..spec.pace.count).map(|_| async {
        let sample = asker.ask().await;
        if let Some(meter) = room.state().meters.get_mut(at) {
            meter.add(sample);
        }
        tokio::time::sleep(REST).await;
    });
    let all = questions.buffer_unordered(spec.pace.concurrency.clamp(1, MOST)).collect::<()>();
    // cut short: the answers so far count
    let _ = tokio::time::timeout(LONGEST, all).await;
    if let Some(meter) = room.state().meters.get_mut(at) {
        meter.settle_baseline();
    }
    room.settled.send_modify(|count| *count += 1);
}
