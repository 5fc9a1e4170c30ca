//! What pitstop explains and leaves to people: it needs a decision, or a key that it does not have.

use super::{Case, Condition, Offer};
use crate::domain::remedy::Remedy;
use crate::domain::remedy::class::Class;

/// The ones that cost nothing: capacity, hand-over, a narrower budget.
pub(super) fn safe(case: &Case<'_>) -> Vec<Offer> {
    let mut offers = Vec::new();
    let namespace = &case.facts.budget.key.namespace;
    if case.has_any(&[Class::NoCapacity, Class::AppUnhealthy]) {
        offers.push(capacity(case));
    }
    if case.has(Class::OperatorOwned) {
        offers.push(
            Offer::new(Remedy::HandOver, "brief: a switch-over")
                .types(format!(
                    "kubectl -n {namespace} get pods -o wide  # a healthy candidate on a schedulable node"
                ))
                .types("the operator's own switch-over, for example: kubectl cnpg promote CLUSTER INSTANCE")
                .beware(
                    "an operator writes its budgets and workloads again: use its maintenance mode instead",
                )
                .beware("cordoning several nodes first can leave no candidate")
                .restores("nothing: the operator moves the role, and the budget follows it"),
        );
    }
    if case.has_any(&[Class::Overlap, Class::WideSelector]) {
        offers.push(narrow(case));
    }
    offers
}

fn capacity(case: &Case<'_>) -> Offer {
    let facts = case.facts;
    let namespace = &facts.budget.key.namespace;
    let mut offer = Offer::new(Remedy::Capacity, "none");
    let cordoned = facts.nodes.iter().flatten().filter(|(name, node)| {
        node.cordoned && node.is_ready() && !facts.targets().any(|pod| pod.row.node.as_ref() == Some(*name))
    });
    for (name, _) in cordoned {
        offer = offer.types(format!("kubectl uncordon {name}  # unless somebody services it"));
    }
    for pod in facts.pods.iter().filter(|pod| pod.unplaced().is_some() || pod.is_sick()).take(3) {
        offer = offer.types(format!("kubectl -n {namespace} describe pod {}", pod.row.key.name));
    }
    for workload in facts.workloads.iter().flatten().filter(|one| one.key.kind == "Deployment") {
        offer = offer
            .types(format!("kubectl -n {namespace} rollout undo {}  # after a bad rollout", workload.word()));
    }
    offer
        .beware("do not uncordon a node that another run is servicing")
        .restores("nothing: the budget has room again by itself")
}

fn narrow(case: &Case<'_>) -> Offer {
    let facts = case.facts;
    let own = &facts.budget.key;
    let others: Vec<&str> = facts
        .others
        .iter()
        .filter(|other| facts.pods.iter().any(|pod| other.covers(&pod.row)))
        .map(|other| other.key.name.as_str())
        .collect();
    let why = if others.is_empty() { "this one covers too much".to_owned() } else { others.join(", ") };
    let mut offer = Offer::new(Remedy::Narrow, "none; the budget that stays goes on protecting")
        .needs(Condition::check("another budget covers the same pods", !others.is_empty(), why))
        .types(format!("kubectl -n {} edit pdb {}", own.namespace, own.name));
    for other in others {
        offer = offer.types(format!("kubectl -n {} edit pdb {other}", own.namespace));
    }
    offer
        .beware("to remove the stricter one weakens the protection: compare both first")
        .beware("the source of the manifests has to change too, or the overlap comes back")
        .restores("nothing: this is meant to stay")
}

/// The ones that cost most, told so that they are not done by guess.
pub(super) fn last_resorts(case: &Case<'_>) -> Vec<Offer> {
    let mut offers = Vec::new();
    let key = &case.facts.budget.key;
    if case.has(Class::NotTheBudget) {
        for pod in case.facts.targets().filter(|pod| pod.row.deleting.is_some()).take(1) {
            let (namespace, name) = (&pod.row.key.namespace, &pod.row.key.name);
            let offer =
                Offer::new(Remedy::ForceDelete, "two copies of the pod may run at once: data may be lost")
                    .types(format!("kubectl -n {namespace} delete pod {name} --grace-period=0 --force"))
                    .beware(
                        "only with the node proven off (power, cloud console), never because it is NotReady",
                    )
                    .restores(
                        "the taint node.kubernetes.io/out-of-service, where it was set, after the return",
                    );
            let finalizers = pod.row.finalizers.join(", ");
            offers.push(if finalizers.is_empty() {
                offer
            } else {
                offer.beware(format!("a finalizer holds it: {finalizers}: find who has to remove it"))
            });
        }
        return offers;
    }
    offers.push(
        Offer::new(Remedy::DeleteBudget, "the protection is gone, for every node that is drained later too")
            .types(format!("kubectl -n {} get pdb {} -o yaml > {}.yaml", key.namespace, key.name, key.name))
            .types(format!("kubectl -n {} delete pdb {}", key.namespace, key.name))
            .types(format!("kubectl create -f {}.yaml", key.name))
            .beware("only its owner may decide that; pitstop does not do it")
            .restores("by hand, from the saved manifest"),
    );
    offers
}
