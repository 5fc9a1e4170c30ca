//! A run with probes beside it: one of them held it up.

use super::runs::{rebooting, tell};
use super::{NOW, ago};
use pitstop::console::model::Model;
use pitstop::domain::gate::{Gate, Offender};
use pitstop::domain::probe::{Bar, Digest, Moment, Reading, Verdict};
use pitstop::domain::run::{RunChange, RunState};
use pitstop::domain::time::Stamp;

fn digest(total: u64, failed: u64, p95_ms: u64) -> Digest {
    let why = (failed > 0).then(|| "connection refused".to_owned());
    let us = Some(p95_ms * 1000);
    let span_ms = total * 500;
    Digest { total, failed, slow: 0, span_ms, p50_us: us, p95_us: us, p99_us: us, why }
}

fn reading(name: &str, target: &str, at: i64, p95_ms: u64, failed: u32) -> Reading {
    let is_spent = failed > 2;
    let bar = Bar { at: Stamp(NOW.0 - at * 1000), total: 2, failed, slowest_us: Some(p95_ms * 1000) };
    Reading {
        name: name.to_owned(),
        target: target.to_owned(),
        baseline: Some(digest(100, 0, 38)),
        recent: digest(20, u64::from(failed), p95_ms),
        window_ms: 10_000,
        whole: digest(400, u64::from(failed), p95_ms),
        bar: Some(bar),
        verdict: if is_spent { Verdict::Spent } else { Verdict::AsBaseline },
        words: if is_spent {
            "3 of 20 failed in the last 10s: connection refused".to_owned()
        } else {
            format!("p95 {p95_ms} ms, baseline 38 ms: as the baseline")
        },
    }
}

/// The node is away, and the shop does not answer.
pub fn alarmed() -> Model {
    let mut model = rebooting();
    for at in (1..40_i64).rev() {
        let (p95, failed) = if at < 4 { (260, 3) } else { (30 + (at.unsigned_abs() % 7) * 12, 0) };
        let probes = vec![
            reading("shop", "https://shop.example.org/healthz", at, p95, failed),
            reading("dns", "dns://10.96.0.10:53/kubernetes.default.svc", at, 39, 0),
        ];
        tell(&mut model, ago(at), RunChange::Probed { probes });
    }
    let why = "probe shop: 3 of 20 failed in the last 10s: connection refused; N goes on by hand".to_owned();
    tell(&mut model, ago(1), RunChange::Held { step: 11, why });
    tell(&mut model, ago(1), RunChange::State { state: RunState::Running, automatic: false });
    model
}

/// A gate that is not passed names who is to blame, and what is known of it.
pub fn offenders() -> Model {
    let mut model = rebooting();
    let pod = Offender::new("Pod", "kube-proxy-x2m4q", "is not Ready (CrashLoopBackOff, 7 restarts)")
        .within("kube-system")
        .of("kube-system/DaemonSet kube-proxy")
        .since(Some(ago(140)))
        .hint("kubectl -n kube-system logs kube-proxy-x2m4q --previous");
    let pod = Offender {
        event: Some(
            "BackOff kube-system/kube-proxy-x2m4q: back-off restarting failed container (x6)".to_owned(),
        ),
        log: Some("E1120 03:11:02 server.go:558] invalid configuration: mode ipvs is not there".to_owned()),
        ..pod
    };
    let gate = Gate::failed("critical-pods", "every system-critical pod is Ready", vec![pod], ago(2));
    tell(&mut model, ago(2), RunChange::GateRead { step: 11, gate });
    model
}

/// It ended well, and the probes say so.
pub fn compared() -> Model {
    let mut model = super::runs::finished();
    let words = "as the baseline: 1204 asked, 0 failed, p50 22 ms, p95 41 ms, p99 80 ms; baseline of 100: 0 failed, \
                 p50 21 ms, p95 38 ms, p99 77 ms";
    let last = reading("shop", "https://shop.example.org/healthz", 1, 41, 0);
    let probes = vec![Reading { words: words.to_owned(), ..last }];
    tell(&mut model, ago(2), RunChange::Measured { moment: Moment::End, probes });
    model
}
