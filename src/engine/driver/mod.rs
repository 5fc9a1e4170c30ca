//! Drives a plan: asks before each step, carries it out, and waits for a decision when one fails.
//!
//! The driver knows nothing of what a step does. It owns the order, the confirmations, the deadlines, and what an
//! abort puts back.

mod attempt;
mod farewell;
mod orders;
mod probes;
mod takeover;
mod window;

pub(super) use probes::alarm as probe_alarm;
pub use takeover::{may_take_over, put_back, resume};
pub(super) use takeover::{put_back_within, resume_within};

use super::job::Shared;
use super::journal;
use super::probe::{Baselines, Beside};
use super::roll::{Kin, Turned};
use super::settings::Backends;
use super::voice::Voice;
use crate::backend::clock::now;
use crate::domain::guard::{Assent, Permit};
use crate::domain::ids::{OpId, RunId};
use crate::domain::plan::{Kind, Plan, StepKind};
use crate::domain::report::Report;
use crate::domain::resume::Again;
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState};
use crate::domain::undo::LEFT_OUT;
use crate::domain::window::Opening;
use attempt::Attempt;
use futures::FutureExt;
use orders::Decision;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A run under way.
#[derive(Debug)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// For decisions. When this end is dropped, a step that waits or failed ends the run as it is.
    pub commands: mpsc::Sender<RunCommand>,
    /// What happens; ends with `Finished`.
    pub events: mpsc::Receiver<RunEvent>,
    /// Stops the run where it is, without putting anything back (`Interrupted`).
    pub cancel: CancellationToken,
}

/// Starts a run as one task. It goes on when nobody listens, and ends by itself, by an abort, or by `cancel`.
pub fn start(backends: Backends, plan: Plan, permit: Permit, op: OpId, is_automatic: bool) -> Run {
    let id = run_id(&plan);
    begin(backends, plan, permit, op, id, is_automatic, None)
}

/// Starts the run of a node that is a part of a roll; it goes on by itself until something is not green.
pub(super) fn begin_within(
    backends: Backends,
    plan: Plan,
    permit: Permit,
    op: OpId,
    id: RunId,
    kin: Kin,
) -> Run {
    begin(backends, plan, permit, op, id, true, Some(kin))
}

fn begin(
    backends: Backends,
    plan: Plan,
    permit: Permit,
    op: OpId,
    id: RunId,
    is_automatic: bool,
    kin: Option<Kin>,
) -> Run {
    let (commands, orders) = mpsc::channel(16);
    let (tell, events) = mpsc::channel(256);
    let cancel = CancellationToken::new();
    let driver = Beginning { backends, plan, permit, op, id: id.clone(), tell, kin };
    // a roll begins runs in its own: the type must not contain itself
    tokio::spawn(driver.run(orders, is_automatic, cancel.clone()).boxed());
    Run { id, commands, events, cancel }
}

/// `KIND-NODE-YYYYMMDDTHHMMSS-xxxx`
pub(super) fn run_id(plan: &Plan) -> RunId {
    let time = jiff::Timestamp::from_millisecond(now().0)
        .map_or_else(|_| "0".to_owned(), |at| at.strftime("%Y%m%dT%H%M%S").to_string());
    let object = match (&plan.resolve, plan.nodes.first()) {
        (Some(chosen), _) => chosen.budget.name.clone(),
        (None, Some(node)) => node.0.clone(),
        (None, None) => "etcd".to_owned(),
    };
    RunId(format!("{}-{object}-{time}-{:04x}", plan.kind, rand::random::<u16>()))
}

/// The first line of a journal, or of another process in it.
fn header(run: &RunId, plan: &Plan, backends: &Backends, permit: &Permit) -> journal::Header {
    let settings = &backends.settings;
    // the run that this one is a part of keeps the probes of all
    let probes = if plan.parent.is_none() { backends.watchman.by_hand() } else { Vec::new() };
    journal::Header {
        probes,
        version: journal::VERSION,
        run: run.clone(),
        kind: plan.kind,
        nodes: plan.nodes.clone(),
        parent: plan.parent.clone(),
        context: settings.context.clone(),
        holder: settings.holder.clone(),
        confirmed: permit.assent().name().to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        at: now(),
    }
}

struct Beginning {
    backends: Backends,
    plan: Plan,
    permit: Permit,
    op: OpId,
    id: RunId,
    tell: mpsc::Sender<RunEvent>,
    kin: Option<Kin>,
}

impl Beginning {
    async fn run(self, orders: mpsc::Receiver<RunCommand>, is_automatic: bool, cancel: CancellationToken) {
        let settings = &self.backends.settings;
        let header = header(&self.id, &self.plan, &self.backends, &self.permit);
        let (journal, trouble) = match journal::Journal::create(&settings.state_dir, header) {
            Ok(journal) => (Some(journal), None),
            Err(report) => (None, Some(report)),
        };
        let voice = Voice::new(self.op, self.id.clone(), self.tell, journal);
        let plan = self.plan.clone();
        let shared = Shared::new(self.backends, self.permit, self.id, self.plan, voice).within(self.kin);
        let shared = Arc::new(shared);
        shared.voice.tell(RunChange::Planned { plan }).await;
        let mut driver = Driver::new(shared, orders, is_automatic, cancel);
        if let Some(report) = trouble {
            let end = driver.cannot_begin(report).await;
            return driver.finish(end).boxed().await;
        }
        driver.find().await;
        driver.measure(&Baselines::new()).await;
        let end = driver.steps().boxed().await;
        driver.finish(end).boxed().await;
    }
}

pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::Receiver<RunCommand>,
    pub(super) is_automatic: bool,
    pub(super) is_paused: bool,
    /// An abort is carried out: another one adds nothing.
    is_undoing: bool,
    /// A step of an action ended with a warning: unless it goes on by itself, the next change waits for a confirmation.
    is_doubtful: bool,
    /// What is done about each step of the plan; the ones that are not in it are carried out.
    course: Vec<Again>,
    /// Confirmed as a whole outside of the maintenance windows.
    is_by_hand: bool,
    /// The window as it was told last.
    window: Option<Opening>,
    /// The probes; `None` = there are none.
    pub(super) beside: Option<Beside>,
    /// Their error budget was spent while a step ran: the next one says why it waits.
    alarm: Option<String>,
    pub(super) cancel: CancellationToken,
    pub(super) state: Option<(RunState, bool)>,
}

impl Driver {
    fn new(
        shared: Arc<Shared>,
        orders: mpsc::Receiver<RunCommand>,
        is_automatic: bool,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            shared,
            orders,
            is_automatic,
            is_paused: false,
            is_undoing: false,
            is_doubtful: false,
            is_by_hand: false,
            window: None,
            course: Vec::new(),
            beside: None,
            alarm: None,
            cancel,
            state: None,
        }
    }

    async fn finish(mut self, end: RunState) {
        let left = self.farewell(end).await;
        self.compare(end).await;
        self.judge_probes().await;
        self.shared.voice.tell(RunChange::Finished { state: end, left }).await;
    }

    async fn cannot_begin(&mut self, report: Report) -> RunState {
        self.shared.voice.tell(RunChange::StepStarted { step: 0, attempt: 1 }).await;
        let outcome = Outcome::Failed(report);
        self.shared.voice.tell(RunChange::StepEnded { step: 0, outcome, took_ms: 0 }).await;
        RunState::Failed
    }

    /// All steps of the plan, in order.
    async fn steps(&mut self) -> RunState {
        self.look_at_window().await;
        let mut index = 0;
        let mut is_decided = false;
        let mut end = RunState::Done;
        while let Some(step) = self.shared.plan.steps.get(index).cloned() {
            if let Some(why) = step.not_applicable {
                self.pass_over(index, why).await;
                index += 1;
                continue;
            }
            if step.kind == StepKind::Turn {
                match self.after_turns().await {
                    Ok(so_far) => end = so_far,
                    Err(now) => return now,
                }
                index = self.behind_turns(index);
                continue;
            }
            let again = self.course.get(index).copied().unwrap_or(Again::Go);
            if again == Again::Keep {
                index += 1;
                continue;
            }
            // what ended well in an earlier process was confirmed there
            is_decided |= again == Again::Look;
            let decision = if is_decided { Decision::Go } else { self.before(index).await };
            is_decided = false;
            match decision {
                Decision::Go => {}
                Decision::LeaveOut => {
                    self.pass_over(index, LEFT_OUT.to_owned()).await;
                    index += 1;
                    continue;
                }
                Decision::Abort => return self.abort().boxed().await,
                Decision::Leave | Decision::Interrupt => return RunState::Interrupted,
            }
            match self.attempt(index).boxed().await {
                Attempt::Interrupted => return RunState::Interrupted,
                Attempt::Aborted | Attempt::Ended(Outcome::Aborted) => return self.abort().boxed().await,
                Attempt::Ended(Outcome::Failed(_)) => match self.after_failure(index).await {
                    Decision::Go => is_decided = true,
                    Decision::LeaveOut => {
                        self.pass_over(index, LEFT_OUT.to_owned()).await;
                        index += 1;
                    }
                    Decision::Abort => return self.abort().boxed().await,
                    Decision::Leave => return RunState::Failed,
                    Decision::Interrupt => return RunState::Interrupted,
                },
                Attempt::Ended(outcome) => {
                    self.heed(index, outcome).await;
                    index += 1;
                }
            }
        }
        end
    }

    /// A step that ended with a warning leaves a doubt.
    async fn heed(&mut self, index: usize, outcome: Outcome) {
        if let Outcome::Warned(words) = outcome {
            self.is_doubtful = true;
            self.warned(index, &words).await;
        }
    }

    /// How the roll stands after its turns: to go on with, or (an error) to end with.
    async fn after_turns(&mut self) -> Result<RunState, RunState> {
        match self.turns().await {
            Turned::Over(false) => Ok(RunState::Done),
            Turned::Over(true) => Ok(RunState::Failed),
            Turned::Aborted => Err(self.abort().boxed().await),
            Turned::Failed => Err(RunState::Failed),
            Turned::Interrupted => Err(RunState::Interrupted),
        }
    }

    /// A warning ends the automatic mode of a run in steps.
    async fn warned(&mut self, index: usize, words: &str) {
        if self.is_told_only(index) {
            return;
        }
        if self.asks() && std::mem::replace(&mut self.is_automatic, false) {
            let name = self.shared.plan.steps.get(index).map_or("the step", |step| step.kind.name());
            let why = format!("{name} was not green: {words}");
            self.shared.voice.tell(RunChange::Held { step: index + 1, why }).await;
        }
    }

    /// Warnings of a roll that its nodes meet again in their own runs (the forecast, when nobody is there to read it), or after
    /// which only marks and the lock are given back.
    fn is_told_only(&self, index: usize) -> bool {
        let is_by_flag = matches!(self.shared.permit.assent(), Assent::Flag { .. });
        let kind = self.shared.plan.steps.get(index).map(|step| step.kind);
        self.shared.plan.kind == Kind::Roll
            && match kind {
                Some(StepKind::Predict) => is_by_flag,
                Some(StepKind::Components | StepKind::Untaint) => true,
                _ => false,
            }
    }

    /// Whether the steps of this run wait for a confirmation each; for single actions the dialog was the confirmation.
    fn asks(&self) -> bool {
        matches!(self.shared.plan.kind, Kind::Reboot | Kind::Roll) || self.shared.plan.parent.is_some()
    }

    pub(super) async fn enter(&mut self, state: RunState) {
        let now = (state, self.is_automatic);
        if self.state != Some(now) {
            self.state = Some(now);
            let change = RunChange::State { state, automatic: self.is_automatic };
            self.shared.voice.tell(change).await;
        }
    }

    pub(super) async fn pass_over(&mut self, step: usize, why: String) {
        // the next step waits anew: whoever listens has to hear of it although the state is the same
        self.state = None;
        let outcome = Outcome::Skipped(why);
        self.shared.voice.tell(RunChange::StepEnded { step, outcome, took_ms: 0 }).await;
    }
}
