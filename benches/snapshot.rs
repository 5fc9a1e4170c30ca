//! A snapshot of 200 MB beside `etcdctl snapshot save` of the same member, in turns: `cargo bench --bench snapshot`.
//!
//! Ours reads the file back from the disk and compares it, which `etcdctl` does not; the figure includes that.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

#[expect(dead_code, reason = "shared with the tests, which need more of it")]
#[path = "../tests/etcd/members.rs"]
mod members;
#[path = "../tests/support/permits.rs"]
mod permits;

use members::{Members, healthy};
use pitstop::domain::plan::Kind;
use std::io::Write as _;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const MEGABYTES: usize = 200;
const ROUNDS: usize = 7;

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let members = Members::start(1).await;
    members.fill(MEGABYTES);
    let etcd = members.etcd();
    members.until(&etcd, |view| healthy(view) == 1).await;
    let permit = permits::permit(Kind::Snapshot, &[]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let dir = members.path(&format!("ours-{round}"));
        let begun = Instant::now();
        let cancel = CancellationToken::new();
        let file = etcd.snapshot(None, &dir, |_, _| {}, &cancel, &permit).await.expect("snapshot");
        ours.push(begun.elapsed());
        let path = members.path(&format!("theirs-{round}.db"));
        let begun = Instant::now();
        members.etcdctl(0, &["snapshot", "save", &path.display().to_string()]);
        theirs.push(begun.elapsed());
        std::fs::remove_file(file.path).expect("removed");
        std::fs::remove_file(path).expect("removed");
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    let mut out = std::io::stdout().lock();
    writeln!(out, "snapshot of {MEGABYTES} MiB, median of {ROUNDS} in turns").expect("written");
    writeln!(out, "  pitstop (read back and verified)  {:>7.3} s", ours.as_secs_f64()).expect("written");
    writeln!(out, "  etcdctl snapshot save             {:>7.3} s", theirs.as_secs_f64()).expect("written");
    writeln!(out, "  ratio                             {ratio:>7.2}").expect("written");
}
