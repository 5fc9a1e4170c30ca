//! Waiting, with evidence and an end.

use super::{Case, Condition, Met, Offer};
use crate::domain::remedy::class::Waiting;
use crate::domain::remedy::{Remedy, words};

pub(super) fn wait(case: &Case<'_>) -> Offer {
    let first = |wanted| {
        let found = case.findings.iter().find(|finding| finding.waiting == wanted);
        found.map(super::Finding::line).unwrap_or_default()
    };
    let (met, why) = match case.waiting() {
        Waiting::Helps => (Met::Yes, first(Waiting::Helps)),
        Waiting::MayHelp => (Met::Unknown, first(Waiting::MayHelp)),
        Waiting::Never => (Met::No, format!("will never resolve: {}", first(Waiting::Never))),
    };
    Offer::new(Remedy::Wait, "none")
        .needs(Condition::new("the block can pass by itself", met, why))
        .types(words::watch(case.facts))
        .beware("it ends after 10 minutes, or as soon as waiting can no longer help")
}
