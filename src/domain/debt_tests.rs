//! What is owed, in words and in the journal.

use super::*;

fn spec(demand: Demand, unhealthy: Option<UnhealthyPolicy>) -> BudgetSpec {
    BudgetSpec { demand, unhealthy }
}

fn relaxed(before: BudgetSpec, ours: BudgetSpec) -> Debt {
    let budget = BudgetKey { namespace: "shop".into(), name: "web".into() };
    Debt::BudgetChanged { budget, uid: "u1".into(), before, ours, why: "one eviction".into() }
}

fn owner(kind: &str, api_version: &str) -> ObjectKey {
    ObjectKey {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: "shop".into(),
        name: "web".into(),
        uid: "u2".into(),
    }
}

#[test]
fn the_command_puts_back_exactly_what_was_there() {
    let min = |count| spec(Demand::MinAvailable(Amount::Pods(count)), None);
    let debt = relaxed(min(3), min(2));
    assert_eq!(
        debt.words(),
        "budget shop/web asks for min 2 instead of min 3: kubectl -n shop patch pdb web --type merge -p \
         '{\"spec\":{\"minAvailable\":3}}'"
    );
    let share = spec(Demand::MinAvailable(Amount::Percent(100)), None);
    let one = spec(Demand::MaxUnavailable(Amount::Pods(1)), None);
    assert!(
        relaxed(share, one)
            .command()
            .ends_with(r#"'{"spec":{"maxUnavailable":null,"minAvailable":"100%"}}'"#),
        "{}",
        relaxed(share, one).command()
    );
    let allows = spec(share.demand, Some(UnhealthyPolicy::AlwaysAllow));
    assert!(
        relaxed(share, allows).command().ends_with(r#"'{"spec":{"unhealthyPodEvictionPolicy":null}}'"#),
        "{}",
        relaxed(share, allows).command()
    );
    let scaled = Debt::OwnerScaled { owner: owner("Deployment", "apps/v1"), before: 1, ours: 2 };
    assert_eq!(
        scaled.words(),
        "Deployment shop/web is scaled to 2 instead of 1: kubectl -n shop scale deployment/web \
         --current-replicas=2 --replicas=1"
    );
    let autoscaler = owner("HorizontalPodAutoscaler", "autoscaling/v2");
    let raised = Debt::HpaRaised { autoscaler, before: None, ours: 3 };
    assert!(raised.command().ends_with(r#"patch hpa web --type merge -p '{"spec":{"minReplicas":null}}'"#));
}

#[test]
fn a_debt_survives_the_journal() {
    let spec =
        |count| spec(Demand::MinAvailable(Amount::Pods(count)), Some(UnhealthyPolicy::IfHealthyBudget));
    let debts = [
        relaxed(spec(3), spec(2)),
        Debt::OwnerScaled { owner: owner("Deployment", "apps/v1"), before: 1, ours: 2 },
        Debt::HpaRaised {
            autoscaler: owner("HorizontalPodAutoscaler", "autoscaling/v2"),
            before: Some(2),
            ours: 3,
        },
    ];
    for (index, debt) in debts.iter().enumerate() {
        let text = serde_json::to_string(debt).unwrap();
        assert_eq!(&serde_json::from_str::<Debt>(&text).unwrap(), debt, "{text}");
        for (other, known) in debts.iter().enumerate() {
            assert_eq!(debt.is_about_the_same(known), index == other);
        }
    }
}
