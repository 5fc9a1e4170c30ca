//! From a scenario to the objects of a store.

use serde_json::{Value, json};

use super::workload::{Budget, Kind, Policy, Workload};
use super::{NamespaceSpec, Scenario, system};
use crate::sim::machine::Machine;
use crate::sim::store::resources::{
    CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, JOBS, NAMESPACES, NODES,
    PERSISTENT_VOLUME_CLAIMS, POD_DISRUPTION_BUDGETS, PODS, Resource, SERVICES, STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
};
use crate::sim::store::{Deletion, Store, clock};
use crate::sim::world::desk::Desk;
use crate::sim::world::pods::{self, BEHAVIOUR};
use crate::sim::world::{attachments, nodes, settle};

/// Pods per generated Deployment.
const PER_DEPLOYMENT: u32 = 10;

/// Fills a store with the scenario's cluster, settled: as if it had been up for the scenario's age.
pub fn populate(store: &Store, scenario: &Scenario, machines: &[Machine]) {
    let desk = Desk::new(store.clone(), machines, scenario, crate::sim::pace::Pace::default()).settling();
    for namespace in system::NAMESPACES_OF_EVERY_CLUSTER {
        put_namespace(&desk, namespace);
    }
    for (place, (name, spec)) in desk.specs.iter().enumerate() {
        if let Some(machine) = desk.machines.get(name).filter(|_| !spec.is_spare()) {
            let node = nodes::object(spec, machine, &desk.cluster, place, &desk.stamp(name));
            desk.create(&NODES, node);
        }
    }
    system::put(&desk);
    for namespace in &scenario.namespaces {
        put_namespace(&desk, &namespace.name);
    }
    for workload in &scenario.workloads {
        put_workload(&desk, workload);
    }
    for workload in generated(scenario.size.pods) {
        put_workload(&desk, &workload);
    }
    for budget in &scenario.budgets {
        put_budget(&desk, budget);
    }
    settle(store, machines, scenario);
    for namespace in scenario.namespaces.iter().filter(|namespace| namespace.terminating) {
        terminate(store, namespace);
    }
}

/// Deployments of ten pods, each under a budget of one, in namespaces of ten Deployments.
fn generated(pods: u32) -> Vec<Workload> {
    let count = pods.div_ceil(PER_DEPLOYMENT);
    (0..count)
        .map(|number| {
            let budget = Budget { max_unavailable: Some(super::Amount::Count(1)), ..Budget::default() };
            let mut workload = Workload::new(
                Kind::Deployment,
                &format!("load-{:02}", number / 10),
                &format!("app-{number:03}"),
            );
            workload.replicas = PER_DEPLOYMENT.min(pods - number * PER_DEPLOYMENT);
            workload.budget = Some(budget);
            workload
        })
        .collect()
}

fn put_namespace(desk: &Desk, name: &str) {
    let namespace = json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
        "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
    });
    desk.create(&NAMESPACES, namespace);
}

/// Begins the deletion of a namespace that a foreign finalizer holds.
fn terminate(store: &Store, namespace: &NamespaceSpec) {
    let held = store.modify(&NAMESPACES, "", &namespace.name, |object| {
        object["spec"]["finalizers"] = json!(["kubernetes", "sim.pitstop.dev/held"]);
    });
    if held.is_ok() {
        let _ = store.delete(&NAMESPACES, "", &namespace.name, &Deletion::default());
    }
}

/// Creates a workload and what belongs to it.
pub fn put_workload(desk: &Desk, workload: &Workload) {
    put_namespace(desk, &workload.namespace);
    let (resource, mut object) = object(desk, workload);
    if let Some(manager) = &workload.managed_by {
        object["metadata"]["managedFields"] =
            written_by(desk, manager, resource, &json!({ "f:replicas": {} }));
    }
    desk.create(resource, object);
    if let Some(port) = workload.port {
        put_service(desk, workload, port);
        if workload.webhook {
            put_webhook(desk, workload, port);
        }
    }
    if let Some(bounds) = &workload.autoscale {
        let scaler = json!({
            "metadata": { "name": workload.name, "namespace": workload.namespace },
            "spec": {
                "minReplicas": bounds.min, "maxReplicas": bounds.max,
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": resource.kind, "name": workload.name },
                "metrics": [{ "type": "Resource", "resource": {
                    "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } }],
            },
        });
        desk.create(&HORIZONTAL_POD_AUTOSCALERS, scaler);
    }
    if let Some(budget) = &workload.budget {
        let mut budget = budget.clone();
        budget.namespace.clone_from(&workload.namespace);
        if budget.name.is_empty() {
            budget.name.clone_from(&workload.name);
        }
        if budget.managed_by.is_none() {
            budget.managed_by.clone_from(&workload.managed_by);
        }
        budget.selector.insert("app".to_owned(), workload.name.clone());
        put_budget(desk, &budget);
    }
}

/// `managedFields` of an object whose spec has fields of one writer.
fn written_by(desk: &Desk, manager: &str, resource: &Resource, spec: &Value) -> Value {
    json!([{
        "manager": manager, "operation": "Update", "apiVersion": resource.api_version(),
        "time": desk.stamp(manager), "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": spec },
    }])
}

/// The owner reference of a pod of an operator: `GROUP/VERSION KIND NAME`.
fn operator_reference(text: &str) -> Value {
    let mut words = text.split_whitespace();
    let mut next = || words.next().unwrap_or_default();
    let (api_version, kind, name) = (next(), next(), next());
    json!([{ "apiVersion": api_version, "kind": kind, "name": name, "uid": format!("uid-of-{name}"),
             "controller": true, "blockOwnerDeletion": true }])
}

fn object(desk: &Desk, workload: &Workload) -> (&'static Resource, Value) {
    let metadata = json!({
        "name": workload.name, "namespace": workload.namespace, "labels": { "app": workload.name },
    });
    let template = template(workload);
    let selector = json!({ "matchLabels": { "app": workload.name } });
    match workload.kind {
        Kind::Deployment => (
            &DEPLOYMENTS,
            json!({ "metadata": metadata, "spec": {
            "replicas": workload.replicas, "selector": selector, "template": template, "strategy": strategy(workload),
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        } }),
        ),
        Kind::StatefulSet => (&STATEFUL_SETS, stateful_set(workload, &metadata, &selector, &template)),
        Kind::DaemonSet => (
            &DAEMON_SETS,
            json!({ "metadata": metadata, "spec": {
            "selector": selector, "template": template, "revisionHistoryLimit": 10,
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } },
        } }),
        ),
        Kind::Job => (
            &JOBS,
            json!({ "metadata": metadata, "spec": {
            "completions": workload.replicas, "parallelism": 1, "backoffLimit": 6, "template": template,
            "selector": selector, "completionMode": "NonIndexed", "suspend": false,
        } }),
        ),
        Kind::CronJob => (&CRON_JOBS, cron_job(desk, workload, &metadata, &template)),
        Kind::Pod => {
            let mut pod = json!({ "metadata": template["metadata"], "spec": template["spec"],
                                  "status": { "phase": "Pending", "qosClass": "BestEffort" } });
            pod["metadata"]["name"] = workload.name.clone().into();
            pod["metadata"]["namespace"] = workload.namespace.clone().into();
            if let Some(owner) = &workload.owned_by {
                pod["metadata"]["ownerReferences"] = operator_reference(owner);
            }
            pods::complete_spec(desk, &mut pod["spec"]);
            if workload.claim {
                let spec = claim_spec();
                let name = format!("{}-data", workload.name);
                desk.create(
                    &PERSISTENT_VOLUME_CLAIMS,
                    attachments::bound_claim(&workload.namespace, &name, &spec),
                );
            }
            (&PODS, pod)
        }
    }
}

fn cron_job(desk: &Desk, workload: &Workload, metadata: &Value, template: &Value) -> Value {
    let ago = |span: super::Span| {
        let seconds = i64::try_from(span.0.as_secs()).unwrap_or_default();
        clock::seconds(clock::shifted(desk.store.clock().timestamp(), -seconds))
    };
    let mut cron = json!({ "metadata": metadata, "spec": {
        "schedule": workload.schedule.as_deref().unwrap_or("0 3 * * *"), "concurrencyPolicy": "Forbid", "suspend": false,
        "jobTemplate": { "spec": { "backoffLimit": 1, "template": template } },
    }, "status": {} });
    if let Some(succeeded) = workload.succeeded.map(ago) {
        cron["status"] = json!({ "lastScheduleTime": succeeded, "lastSuccessfulTime": succeeded });
    }
    cron
}

fn stateful_set(workload: &Workload, metadata: &Value, selector: &Value, template: &Value) -> Value {
    let update = if workload.on_delete {
        json!({ "type": "OnDelete" })
    } else {
        json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } })
    };
    let mut set = json!({ "metadata": metadata, "spec": {
        "replicas": workload.replicas, "selector": selector, "template": template, "serviceName": workload.name,
        "podManagementPolicy": if workload.parallel { "Parallel" } else { "OrderedReady" },
        "updateStrategy": update, "revisionHistoryLimit": 10,
    } });
    if workload.claim {
        set["spec"]["volumeClaimTemplates"] =
            json!([{ "metadata": { "name": "data" }, "spec": claim_spec() }]);
    }
    set
}

fn claim_spec() -> Value {
    json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "20Gi" } } })
}

fn strategy(workload: &Workload) -> Value {
    let share = || Value::from("25%");
    let surge = workload.max_surge.as_ref().map_or_else(share, Value::from);
    let unavailable = workload.max_unavailable.as_ref().map_or_else(share, Value::from);
    json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable } })
}

fn template(workload: &Workload) -> Value {
    let mut labels = json!({ "app": workload.name });
    for (key, value) in &workload.labels {
        labels[key] = value.clone().into();
    }
    let mut metadata = json!({ "labels": labels });
    for (key, value) in annotations(workload) {
        metadata["annotations"][key] = value.into();
    }
    if let Some(finalizer) = &workload.finalizer {
        metadata["finalizers"] = json!([finalizer]);
    }
    json!({ "metadata": metadata, "spec": pod_spec(workload) })
}

fn annotations(workload: &Workload) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        workload.annotations.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (stage, span) in [
        ("start", workload.start),
        ("ready", workload.ready),
        ("stop", workload.stop),
        ("runs", workload.runs),
    ] {
        if let Some(span) = span {
            all.push((format!("{BEHAVIOUR}{stage}"), format!("{}ms", span.0.as_millis())));
        }
    }
    if workload.local {
        all.push((attachments::LOCAL.to_owned(), "true".to_owned()));
    }
    if workload.crash {
        all.push((format!("{BEHAVIOUR}crash"), "true".to_owned()));
        all.push((format!("{BEHAVIOUR}restarts"), "17".to_owned()));
    }
    all
}

fn pod_spec(workload: &Workload) -> Value {
    let default_image = format!("registry.example.net/{}:1.0", workload.name);
    let image = workload.image.as_ref().unwrap_or(&default_image);
    let mut container = json!({ "name": workload.name, "image": image, "imagePullPolicy": "IfNotPresent" });
    if !workload.command.is_empty() {
        container["command"] = json!(workload.command);
    }
    if let Some(port) = workload.port {
        container["ports"] = json!([{ "containerPort": port, "protocol": "TCP" }]);
        container["readinessProbe"] = json!({ "tcpSocket": { "port": port }, "periodSeconds": 10 });
    }
    let mut volumes = Vec::new();
    let mut mounts = Vec::new();
    if workload.empty_dir {
        volumes.push(json!({ "name": "scratch", "emptyDir": {} }));
        mounts.push(json!({ "name": "scratch", "mountPath": "/scratch" }));
    }
    if workload.claim && workload.kind != Kind::StatefulSet {
        let claim = json!({ "claimName": format!("{}-data", workload.name) });
        volumes.push(json!({ "name": "data", "persistentVolumeClaim": claim }));
    }
    if workload.claim {
        mounts.push(json!({ "name": "data", "mountPath": "/data" }));
    }
    container["volumeMounts"] = mounts.into();
    for (resource, quantity) in [("cpu", &workload.cpu), ("memory", &workload.memory)] {
        if let Some(quantity) = quantity {
            container["resources"]["requests"][resource] = quantity.clone().into();
        }
    }
    let mut spec = json!({
        "containers": [container], "volumes": volumes,
        "terminationGracePeriodSeconds": workload.grace.unwrap_or(30),
        "restartPolicy": if matches!(workload.kind, Kind::Job | Kind::CronJob) { "OnFailure" } else { "Always" },
    });
    if !workload.node_selector.is_empty() {
        spec["nodeSelector"] = json!(workload.node_selector);
    }
    if let Some(class) = &workload.priority_class {
        spec["priorityClassName"] = class.clone().into();
    }
    if workload.host_network {
        spec["hostNetwork"] = true.into();
    }
    place(workload, &mut spec);
    spec
}

/// What decides where the pods may run.
fn place(workload: &Workload, spec: &mut Value) {
    let mut tolerations: Vec<Value> = Vec::new();
    if workload.tolerate_control_plane {
        tolerations
            .push(json!({ "key": nodes::CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule" }));
    }
    for key in &workload.tolerates {
        tolerations.push(match key.as_str() {
            "*" => json!({ "operator": "Exists" }),
            key => json!({ "key": key, "operator": "Exists" }),
        });
    }
    if !tolerations.is_empty() {
        spec["tolerations"] = tolerations.into();
    }
    let own = json!({ "matchLabels": { "app": workload.name } });
    if workload.spread {
        spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!([{ "labelSelector": own, "topologyKey": "kubernetes.io/hostname" }]);
    }
    if !workload.affinity.is_empty() {
        let need = |(key, values): (&String, &Vec<String>)| json!({ "key": key, "operator": "In", "values": values });
        let needs: Vec<Value> = workload.affinity.iter().map(need).collect();
        spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({ "nodeSelectorTerms": [{ "matchExpressions": needs }] });
    }
    if let Some(label) = &workload.spread_over {
        spec["topologySpreadConstraints"] = json!([{
            "maxSkew": 1, "topologyKey": label, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own,
        }]);
    }
}

fn put_webhook(desk: &Desk, workload: &Workload, port: u16) {
    let webhook = json!({
        "metadata": { "name": workload.name },
        "webhooks": [{
            "name": format!("{}.{}.svc", workload.name, workload.namespace),
            "clientConfig": {
                "service": { "name": workload.name, "namespace": workload.namespace, "path": "/", "port": port },
            },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
            "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        }],
    });
    desk.create(&VALIDATING_WEBHOOKS, webhook);
}

fn put_service(desk: &Desk, workload: &Workload, port: u16) {
    let service = json!({
        "metadata": { "name": workload.name, "namespace": workload.namespace, "labels": { "app": workload.name } },
        "spec": {
            "selector": { "app": workload.name }, "type": "ClusterIP",
            "clusterIP": system::service_address(&workload.namespace, &workload.name),
            "ports": [{ "name": "main", "port": port, "targetPort": port, "protocol": "TCP" }],
        },
        "status": { "loadBalancer": {} },
    });
    desk.create(&SERVICES, service);
}

fn put_budget(desk: &Desk, budget: &Budget) {
    put_namespace(desk, &budget.namespace);
    let selector =
        if budget.selector.is_empty() { json!({}) } else { json!({ "matchLabels": budget.selector }) };
    let mut spec = if budget.no_selector { json!({}) } else { json!({ "selector": selector }) };
    if let Some(amount) = &budget.min_available {
        spec["minAvailable"] = amount.into();
    }
    if let Some(amount) = &budget.max_unavailable {
        spec["maxUnavailable"] = amount.into();
    }
    if let Some(policy) = budget.unhealthy {
        let policy = match policy {
            Policy::IfHealthyBudget => "IfHealthyBudget",
            Policy::AlwaysAllow => "AlwaysAllow",
        };
        spec["unhealthyPodEvictionPolicy"] = policy.into();
    }
    let mut metadata = json!({ "name": budget.name, "namespace": budget.namespace });
    if let Some(manager) = &budget.managed_by {
        let fields: Value =
            spec.as_object().into_iter().flatten().map(|(key, _)| (format!("f:{key}"), json!({}))).collect();
        metadata["managedFields"] = written_by(desk, manager, &POD_DISRUPTION_BUDGETS, &fields);
    }
    desk.create(&POD_DISRUPTION_BUDGETS, json!({ "metadata": metadata, "spec": spec }));
}
