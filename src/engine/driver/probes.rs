//! The probes beside a run: their baseline before anything is touched, and the end of the automatic mode when their error
//! budget is spent.

use super::Driver;
use crate::domain::guard::Assent;
use crate::domain::plan::{Kind, StepKind};
use crate::domain::probe::{Moment, longer};
use crate::domain::run::{RunChange, RunView};
use crate::engine::probe::{Baselines, Beside};

/// How a person goes on although the probes speak against it.
const BY_HAND: &str = "N goes on by hand";

/// Waits until the error budget is spent; for ever where there are no probes.
pub(in crate::engine) async fn alarm(beside: &mut Option<Beside>) -> String {
    match beside {
        Some(beside) => beside.alarm().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    /// Takes the baseline, unless it is known; a probe that fails already ends the automatic mode before it begins.
    pub(super) async fn measure(&mut self, known: &Baselines) {
        if matches!(self.shared.plan.kind, Kind::Unlock) {
            return;
        }
        self.tell_lost(known).await;
        self.beside = Beside::begin(&self.shared, known);
        let Some(beside) = &self.beside else { return };
        let watchman = beside.watchman().clone();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => return,
            () = watchman.measured() => {}
        }
        self.account(Moment::Baseline).await;
        if let Some(why) = watchman.unfit() {
            self.alarm = Some(format!("{why}; there is nothing to hold the run against"));
        }
    }

    /// Probes that were asked in an earlier process of this run, and are not any more: one whose address may hold a secret is not
    /// kept, and one may have left the configuration.
    async fn tell_lost(&self, known: &Baselines) {
        let names = self.shared.backends.watchman.names();
        let lost: Vec<&str> =
            known.keys().map(String::as_str).filter(|name| !names.iter().any(|have| have == name)).collect();
        if !lost.is_empty() {
            let step = self.shared.voice.look(RunView::current).flatten().unwrap_or(0);
            let text = format!("not asked any more: probe {}; give --probe again", lost.join(", "));
            self.shared.voice.tell(RunChange::Noted { step, text, warn: true }).await;
        }
    }

    /// Whether the error budget is spent now.
    pub(in crate::engine) fn is_alarmed(&self) -> bool {
        self.beside.as_ref().is_some_and(|beside| beside.trouble().is_some())
    }

    async fn account(&self, moment: Moment) {
        // the run that this one is a part of tells of the beginning and the end
        let is_told = moment == Moment::Spent || self.shared.plan.parent.is_none();
        if let Some(beside) = self.beside.as_ref().filter(|_| is_told) {
            let probes = beside.account(moment);
            self.shared.voice.tell(RunChange::Measured { moment, probes }).await;
        }
    }

    /// The error budget was spent while a step runs: the step goes on to its end, the next one waits.
    pub(in crate::engine) async fn alarmed(&mut self, index: usize, why: String) {
        self.account(Moment::Spent).await;
        if let Some(words) = self.advice(index) {
            self.shared.voice.tell(RunChange::Noted { step: index, text: words, warn: true }).await;
        }
        if self.goes_on() {
            self.is_automatic = false;
            self.held(index, &why).await;
            // the state is the same, the automatic mode is not
            self.enter(crate::domain::run::RunState::Running).await;
        } else {
            let text = format!("{why}; nothing goes on by itself here");
            self.shared.voice.tell(RunChange::Noted { step: index, text, warn: true }).await;
        }
        self.alarm = Some(why);
    }

    async fn held(&self, step: usize, why: &str) {
        let why = format!("{why}; {BY_HAND}");
        self.shared.voice.tell(RunChange::Held { step, why }).await;
    }

    /// More quiet, and what it costs, where there is a quiet time to come.
    fn advice(&self, index: usize) -> Option<String> {
        let (quiet, left) = if self.shared.plan.kind == Kind::Roll {
            let rest = |view: &RunView| {
                let roll = view.roll.as_ref()?;
                let next = roll.turn(*roll.queue.first()?)?;
                Some((roll.options.interval(next.group.role()), roll.queue.len()))
            };
            self.shared.voice.look(rest)??
        } else {
            let steps = self.shared.plan.steps.iter().skip(index);
            (*self.shared.settle.borrow(), steps.filter(|step| step.kind == StepKind::Settle).count())
        };
        longer(quiet, left).map(|one| format!("{} (I sets it)", one.words()))
    }

    /// Whether steps begin without anybody being asked.
    fn goes_on(&self) -> bool {
        let by_flag = matches!(self.shared.permit.assent(), Assent::Flag { .. });
        self.is_automatic || by_flag || !self.asks()
    }

    /// Ends the automatic mode before a step, because of the probes; `true` = it did.
    pub(in crate::engine) async fn hold_by_probes(&mut self, index: usize) -> bool {
        let Some(kind) = self.shared.plan.steps.get(index).map(|step| step.kind) else { return false };
        // what waits for a reboot that was asked for is not held up, nor what only looks, or gives back, at the end
        let is_let = kind.follows() || matches!(kind, StepKind::Settle | StepKind::Unlock);
        if self.is_undoing || is_let || !(self.asks() || kind.changes()) {
            return false;
        }
        let spent = self.beside.as_ref().and_then(Beside::trouble);
        let earlier = self.alarm.take();
        let Some(why) = spent.filter(|_| self.goes_on()).or(earlier) else { return false };
        if self.shared.plan.kind == Kind::Roll
            && let Some(text) = self.advice(index)
        {
            self.shared.voice.tell(RunChange::Noted { step: index, text, warn: true }).await;
        }
        self.is_automatic = false;
        self.is_paused |= !self.asks();
        self.held(index, &why).await;
        true
    }

    /// Why the automatic mode may not begin now.
    pub(in crate::engine) async fn closed(&mut self, index: usize) -> Option<String> {
        if let Some(why) = self.shut(index).await {
            return Some(why);
        }
        let why = self.beside.as_ref().and_then(Beside::trouble)?;
        Some(format!("{why}; {BY_HAND}"))
    }

    /// The last word about the whole run.
    pub(super) async fn judge_probes(&mut self) {
        self.account(Moment::End).await;
        self.beside = None;
    }
}
