//! `pitstop plan resolve` and `pitstop run resolve`: why a budget blocks, which ways there are, and one of them carried
//! out. The plan changes nothing.

use super::run::Manner;
use super::{Exit, Format, json, line};
use crate::domain::config::{DrainOptions, Policy};
use crate::domain::guard::{Request, Rung, World, demand};
use crate::domain::ids::BudgetKey;
use crate::domain::remedy::{Analysis, Met, Offer, Remedy, Target};
use crate::domain::report::{FailureKind, Report};
use crate::engine::resolve::look;
use crate::engine::{Backends, Facts};
use serde::Serialize;

/// What was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// `NAMESPACE/NAME` of the budget, one.
    pub budgets: Vec<String>,
    /// `--remedy`.
    pub remedy: Option<Remedy>,
    /// `--pod`, each `NAMESPACE/NAME`.
    pub pods: Vec<String>,
    /// How the rest of a node is deleted past its budgets.
    pub drain: DrainOptions,
}

impl Wish {
    /// The budget.
    ///
    /// # Errors
    /// Not one, or not `NAMESPACE/NAME`.
    fn budget(&self) -> Result<BudgetKey, Report> {
        let [one] = self.budgets.as_slice() else {
            return Err(wrong("resolve takes one budget, as NAMESPACE/NAME".to_owned()));
        };
        let (namespace, name) = place(one).ok_or_else(|| {
            wrong(format!("{one:?} is no budget: write NAMESPACE/NAME, as kubectl get pdb -A shows them"))
        })?;
        Ok(BudgetKey { namespace, name })
    }

    /// The names of the pods, all in the budget's namespace.
    fn named(&self, budget: &BudgetKey) -> Result<Vec<String>, Report> {
        let name = |text: &String| match place(text) {
            Some((namespace, name)) if namespace == budget.namespace => Ok(name),
            Some(_) => Err(wrong(format!("{text} is in another namespace than budget {budget}"))),
            None => Err(wrong(format!("{text:?} is no pod: write NAMESPACE/NAME"))),
        };
        self.pods.iter().map(name).collect()
    }
}

fn place(text: &str) -> Option<(String, String)> {
    let (namespace, name) = text.split_once('/')?;
    let is_fine = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
    is_fine.then(|| (namespace.to_owned(), name.to_owned()))
}

fn wrong(words: String) -> Report {
    Report::new(FailureKind::Local, words)
}

/// An offer as `-o json` writes it.
#[derive(Debug, Serialize)]
struct OfferPage<'a> {
    /// 1 = the safest; two ways may share a rank.
    rank: u8,
    #[serde(flatten)]
    offer: &'a Offer,
    /// Whether `run resolve` would carry it out now.
    may_run: bool,
    /// What has to be given to start it.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<Rung>,
    /// Why it would be denied now.
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<String>,
}

/// What `-o json` writes.
#[derive(Debug, Serialize)]
struct Page<'a> {
    context: &'a str,
    budget: &'a BudgetKey,
    at: crate::domain::time::Stamp,
    blocked: bool,
    summary: &'a str,
    findings: Vec<FindingPage<'a>>,
    targets: &'a [Target],
    remedies: Vec<OfferPage<'a>>,
    notes: &'a [String],
}

#[derive(Debug, Serialize)]
struct FindingPage<'a> {
    /// `D2`.
    code: &'static str,
    /// In few words.
    name: &'static str,
    #[serde(flatten)]
    finding: &'a crate::domain::remedy::Finding,
}

async fn diagnosis(backends: &Backends, wish: &Wish) -> Result<Analysis, Report> {
    let budget = wish.budget()?;
    let named = wish.named(&budget)?;
    look(&backends.cluster, &budget, &named).await
}

/// Tells why a budget blocks and which ways there are. 2 = it blocks.
///
/// # Errors
/// What was typed is no budget; it does not exist; it cannot be read.
pub async fn plan(backends: &Backends, policy: &Policy, wish: &Wish, format: Format) -> Result<Exit, Report> {
    let analysis = diagnosis(backends, wish).await?;
    let facts = Facts::read(backends).await?;
    let lock = super::plan::lock(backends, &Request::resolving(analysis.choose(Remedy::Wait))).await;
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: lock.as_deref() };
    let offers: Vec<OfferPage<'_>> =
        analysis.offers.iter().map(|offer| page(policy, world, &analysis, offer)).collect();
    match format {
        Format::Json => json(&Page {
            context: &policy.context,
            budget: &analysis.budget,
            at: analysis.at,
            blocked: analysis.is_blocked,
            summary: &analysis.summary,
            findings: analysis
                .findings
                .iter()
                .map(|finding| FindingPage {
                    code: finding.class.code(),
                    name: finding.class.name(),
                    finding,
                })
                .collect(),
            targets: &analysis.targets,
            remedies: offers,
            notes: &analysis.notes,
        })?,
        Format::Text => write(policy, &analysis, &offers)?,
    }
    Ok(if analysis.is_blocked { Exit::Findings } else { Exit::Done })
}

fn page<'a>(policy: &Policy, world: World<'_>, analysis: &Analysis, offer: &'a Offer) -> OfferPage<'a> {
    let answer =
        offer.may_run().then(|| demand(policy, &Request::resolving(analysis.choose(offer.remedy)), world));
    let (confirm, denied) = match answer {
        Some(Ok(rung)) => (Some(rung), None),
        Some(Err(report)) => (None, Some(report.line())),
        None => (None, offer.missing().map(|one| format!("needs {}: {}", one.what, one.why))),
    };
    OfferPage { rank: offer.remedy.rank(), offer, may_run: confirm.is_some(), confirm, denied }
}

fn write(policy: &Policy, analysis: &Analysis, offers: &[OfferPage<'_>]) -> Result<(), Report> {
    line(&format!("{} in context {}: {}", analysis.budget, policy.context, analysis.summary))?;
    for finding in &analysis.findings {
        line(&format!("{} {} ({})", finding.class.code(), finding.class.name(), finding.waiting))?;
        for words in &finding.evidence {
            line(&format!("    {words}"))?;
        }
    }
    for target in &analysis.targets {
        let ready = if target.is_ready { "Ready" } else { "not Ready" };
        line(&format!("to move: {} on {}, {ready}", target.pod, target.node))?;
    }
    if !offers.is_empty() {
        line("ways out, the safest first:")?;
    }
    for page in offers {
        write_offer(page)?;
    }
    for note in &analysis.notes {
        line(&format!("note: {note}"))?;
    }
    Ok(())
}

fn write_offer(page: &OfferPage<'_>) -> Result<(), Report> {
    let offer = page.offer;
    let state = match (&page.confirm, &page.denied) {
        (Some(Rung::Key), _) => "may run, y confirms".to_owned(),
        (Some(Rung::TypeName(name)), _) => format!("may run, confirmed by typing {name}"),
        (Some(Rung::TypeContext(name)), _) => format!("may run, confirmed by typing the context {name}"),
        (None, Some(why)) => format!("not now: {why}"),
        (None, None) => "explained only".to_owned(),
    };
    let size = offer.surge.map(|delta| format!(" (+{delta})")).unwrap_or_default();
    let relaxed = offer.relaxed.map(|demand| format!(" (to {demand})")).unwrap_or_default();
    line(&format!("{:>2}. {}: {}{size}{relaxed}", page.rank, offer.remedy, offer.title))?;
    line(&format!("      {state}"))?;
    line(&format!("      effect    {}", offer.effect))?;
    for condition in &offer.conditions {
        let mark = match condition.met {
            Met::Yes => "+",
            Met::No => "-",
            Met::Unknown => "?",
        };
        let why = if condition.why.is_empty() { String::new() } else { format!(": {}", condition.why) };
        line(&format!("      needs   {mark} {} ({}){why}", condition.what, condition.met))?;
    }
    for command in &offer.commands {
        line(&format!("      by hand   {command}"))?;
    }
    for trap in &offer.traps {
        line(&format!("      beware    {trap}"))?;
    }
    line(&format!("      puts back {}", offer.restores))
}

/// Carries a remedy out.
///
/// # Errors
/// As [`plan`]; no remedy was named, it does not apply, or something that it needs is missing; it is denied or not
/// confirmed.
pub async fn run(backends: Backends, policy: &Policy, wish: &Wish, manner: &Manner) -> Result<Exit, Report> {
    wish.budget()?;
    if manner.is_dry {
        return plan(&backends, policy, wish, manner.format).await;
    }
    let Some(remedy) = wish.remedy else {
        let names: Vec<&str> =
            Remedy::ALL.into_iter().filter(|one| one.is_carried_out()).map(Remedy::name).collect();
        return Err(wrong(format!("run resolve needs --remedy, one of {}", names.join(", ")))
            .hint("pitstop plan resolve NAMESPACE/NAME shows which of them apply"));
    };
    let analysis = diagnosis(&backends, wish).await?;
    check(&analysis, remedy)?;
    let request = Request::resolving(analysis.choose(remedy));
    let request = if remedy == Remedy::DisableEviction { request.with_drain(&wish.drain) } else { request };
    super::run::run(backends, policy, request, manner).await
}

/// Says no before a run begins.
fn check(analysis: &Analysis, remedy: Remedy) -> Result<(), Report> {
    let denied =
        |words: String| Err(Report::new(FailureKind::Denied, words).because(analysis.summary.clone()));
    match analysis.offer(remedy) {
        None if !analysis.is_blocked => {
            denied(format!("{} does not block anything now: {remedy} is not needed", analysis.budget))
        }
        None => denied(format!("{remedy} does not apply to {}", analysis.budget)),
        Some(_) if remedy == Remedy::SkipPod => Err(Report::new(
            FailureKind::Denied,
            "skip-pod speaks to a drain of the same console: nothing waits for the pod here",
        )
        .hint("in the console press B on the blocked step; or drain with --pod-selector")),
        Some(offer) => match offer.missing() {
            Some(one) => denied(format!("{remedy} needs {}: {}", one.what, one.why)),
            None => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_and_its_pods_are_named_by_namespace() {
        let wish = |budgets: &[&str], pods: &[&str]| Wish {
            budgets: budgets.iter().map(|text| (*text).to_owned()).collect(),
            pods: pods.iter().map(|text| (*text).to_owned()).collect(),
            remedy: None,
            drain: DrainOptions::default(),
        };
        let budget = wish(&["shop/web"], &[]).budget().unwrap();
        assert_eq!(budget.to_string(), "shop/web");
        for bad in [&["web"][..], &["a/b/c"], &["/web"], &["shop/"], &[], &["a/b", "c/d"]] {
            assert!(wish(bad, &[]).budget().is_err(), "{bad:?}");
        }
        assert_eq!(wish(&["shop/web"], &["shop/web-1"]).named(&budget).unwrap(), ["web-1"]);
        assert!(wish(&["shop/web"], &["other/web-1"]).named(&budget).is_err());
        assert!(wish(&["shop/web"], &["web-1"]).named(&budget).is_err());
    }
}
