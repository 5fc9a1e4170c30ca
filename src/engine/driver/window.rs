//! The maintenance window: outside of it, nothing that changes something begins without somebody who says so.

use super::Driver;
use crate::backend::clock::now;
use crate::domain::guard::Assent;
use crate::domain::plan::Kind;
use crate::domain::run::RunChange;
use crate::domain::time::brief;
use crate::domain::window::Opening;
use std::time::Duration;

/// A turn may take longer than the others by this part of their time, and still has to end in the window.
const MARGIN: u32 = 4;

impl Driver {
    /// Looks at the clock at the beginning. A drain that a person confirms outside of the windows is by hand as a whole,
    /// as there is nobody at its single steps.
    pub(super) async fn look_at_window(&mut self) {
        let opening = self.opening().await;
        let is_by_person = !matches!(self.shared.permit.assent(), Assent::Flag { .. });
        // the run of a node was confirmed as a whole with its turn
        let is_whole = !self.asks() || self.shared.plan.parent.is_some();
        self.is_by_hand = is_by_person && is_whole && !opening.is_open();
    }

    /// How the window is now; told when it is another than before.
    async fn opening(&mut self) -> Opening {
        let opening = self.shared.backends.settings.timing.windows.at(now());
        if opening != Opening::Always && self.window.as_ref() != Some(&opening) {
            self.window = Some(opening.clone());
            self.shared.voice.tell(RunChange::Window { opening: opening.clone() }).await;
        }
        opening
    }

    /// Whether nobody is asked before the steps: automatic, or confirmed beforehand by a flag.
    fn is_alone(&self) -> bool {
        let is_small = matches!(self.shared.plan.kind, Kind::Cordon | Kind::Uncordon | Kind::Snapshot);
        let is_by_flag = matches!(self.shared.permit.assent(), Assent::Flag { .. });
        !is_small && !self.is_by_hand && (self.is_automatic || is_by_flag)
    }

    /// Why the step may not begin by itself now.
    pub(in crate::engine) async fn shut(&mut self, index: usize) -> Option<String> {
        if !self.shared.plan.steps.get(index).is_some_and(|step| step.kind.changes()) {
            return None;
        }
        let opening = self.opening().await;
        (!opening.is_open()).then(|| format!("{}; N goes on by hand", opening.words()))
    }

    /// Ends the automatic mode before something that takes so long that it would not end while the window is open; `true` = it
    /// did. `takes` says how long, and on what that rests.
    pub(in crate::engine) async fn hold_for_end(
        &mut self,
        index: usize,
        what: &str,
        (span, takes): (Duration, String),
    ) -> bool {
        if self.is_undoing || !self.is_alone() {
            return false;
        }
        let Opening::Open(closes) = self.opening().await else { return false };
        let at = now();
        // no two take the same time
        if at.plus(span + span / MARGIN) <= closes.at {
            return false;
        }
        let left = brief(closes.at.since(at));
        let why = format!(
            "{what} would not end in the maintenance window: it takes {takes}, and the window closes at {} in {left}; N begins it by hand",
            closes.clock
        );
        self.is_automatic = false;
        self.is_paused |= !self.asks();
        self.shared.voice.tell(RunChange::Held { step: index, why }).await;
        true
    }

    /// Ends the automatic mode before a step that may not begin by itself; `true` = it did.
    pub(in crate::engine) async fn hold(&mut self, index: usize) -> bool {
        // putting back is no change that could wait for the next night
        if self.is_undoing || !self.is_alone() {
            return false;
        }
        let Some(why) = self.shut(index).await else { return false };
        self.is_automatic = false;
        self.is_paused |= !self.asks();
        self.shared.voice.tell(RunChange::Held { step: index, why }).await;
        true
    }
}
