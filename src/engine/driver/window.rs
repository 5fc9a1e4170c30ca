//! The maintenance window: outside of it, nothing that changes something begins without somebody who says so.

use super::Driver;
use crate::backend::clock::now;
use crate::domain::guard::Assent;
use crate::domain::plan::Kind;
use crate::domain::run::RunChange;
use crate::domain::window::Opening;

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
