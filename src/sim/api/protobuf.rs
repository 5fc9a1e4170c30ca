//! Request bodies in protobuf: `kubectl create …` and `kubectl auth …` send them.
//!
//! A body is the four bytes `k8s\0` and a `runtime.Unknown` with kind and raw message. The tables below name the
//! fields of the messages that kubectl's subcommands build (numbers from the API's `generated.proto` files). Other
//! kinds, and fields that are not in a table, are refused rather than lost. Empty texts and zero counts are how Go
//! writes "not set" and are left out.

use serde_json::{Map, Value, json};

/// How a field is written and what it means.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Bool,
    /// A number that counts when it is there.
    Int,
    /// A number whose zero means "not set".
    Count,
    Texts,
    TextMap,
    IntOrString,
    One(&'static Message),
    Many(&'static Message),
    /// What the server does not take from clients: times, status.
    Ignored,
}

/// A message: number, JSON name and type of each field.
struct Message(&'static [(u64, &'static str, Type)]);

use Type::{Bool, Count, Ignored, Int, IntOrString, Many, One, Text, TextMap, Texts};

static METADATA: Message = Message(&[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (4, "selfLink", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Count),
    (8, "creationTimestamp", Ignored),
    (11, "labels", TextMap),
    (12, "annotations", TextMap),
    (13, "ownerReferences", Many(&OWNER)),
    (14, "finalizers", Texts),
    (17, "managedFields", Ignored),
]);
static OWNER: Message = Message(&[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Bool),
    (7, "blockOwnerDeletion", Bool),
]);
static REQUIREMENT: Message = Message(&[(1, "key", Text), (2, "operator", Text), (3, "values", Texts)]);
static SELECTOR: Message =
    Message(&[(1, "matchLabels", TextMap), (2, "matchExpressions", Many(&REQUIREMENT))]);
static NAMESPACE: Message =
    Message(&[(1, "metadata", One(&METADATA)), (2, "spec", Ignored), (3, "status", Ignored)]);
static CONFIG_MAP: Message =
    Message(&[(1, "metadata", One(&METADATA)), (2, "data", TextMap), (4, "immutable", Bool)]);
static SERVICE_ACCOUNT: Message = Message(&[(1, "metadata", One(&METADATA))]);
static BUDGET: Message =
    Message(&[(1, "metadata", One(&METADATA)), (2, "spec", One(&BUDGET_SPEC)), (3, "status", Ignored)]);
static BUDGET_SPEC: Message = Message(&[
    (1, "minAvailable", IntOrString),
    (2, "selector", One(&SELECTOR)),
    (3, "maxUnavailable", IntOrString),
    (4, "unhealthyPodEvictionPolicy", Text),
]);
static PRIORITY_CLASS: Message = Message(&[
    (1, "metadata", One(&METADATA)),
    (2, "value", Int),
    (3, "globalDefault", Bool),
    (4, "description", Text),
    (5, "preemptionPolicy", Text),
]);
static EVICTION: Message =
    Message(&[(1, "metadata", One(&METADATA)), (2, "deleteOptions", One(&DELETE_OPTIONS))]);
static DELETE_OPTIONS: Message = Message(&[
    (1, "gracePeriodSeconds", Int),
    (2, "preconditions", One(&PRECONDITIONS)),
    (3, "orphanDependents", Bool),
    (4, "propagationPolicy", Text),
    (5, "dryRun", Texts),
]);
static PRECONDITIONS: Message = Message(&[(1, "uid", Text), (2, "resourceVersion", Text)]);
static ACCESS_REVIEW: Message =
    Message(&[(1, "metadata", Ignored), (2, "spec", One(&ACCESS_SPEC)), (3, "status", Ignored)]);
static ACCESS_SPEC: Message = Message(&[
    (1, "resourceAttributes", One(&ATTRIBUTES)),
    (2, "nonResourceAttributes", One(&PATH_ATTRIBUTES)),
]);
static ATTRIBUTES: Message = Message(&[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
]);
static PATH_ATTRIBUTES: Message = Message(&[(1, "path", Text), (2, "verb", Text)]);
static RULES_REVIEW: Message =
    Message(&[(1, "metadata", Ignored), (2, "spec", One(&RULES_SPEC)), (3, "status", Ignored)]);
static RULES_SPEC: Message = Message(&[(1, "namespace", Text)]);
static SELF_REVIEW: Message = Message(&[(1, "metadata", Ignored), (2, "status", Ignored)]);
static DEPLOYMENT: Message =
    Message(&[(1, "metadata", One(&METADATA)), (2, "spec", One(&DEPLOYMENT_SPEC)), (3, "status", Ignored)]);
static DEPLOYMENT_SPEC: Message = Message(&[
    (1, "replicas", Int),
    (2, "selector", One(&SELECTOR)),
    (3, "template", One(&TEMPLATE)),
    (4, "strategy", One(&STRATEGY)),
    (5, "minReadySeconds", Count),
    (6, "revisionHistoryLimit", Int),
    (7, "paused", Bool),
    (9, "progressDeadlineSeconds", Int),
]);
static STRATEGY: Message = Message(&[(1, "type", Text)]);
static JOB: Message =
    Message(&[(1, "metadata", One(&METADATA)), (2, "spec", One(&JOB_SPEC)), (3, "status", Ignored)]);
static JOB_SPEC: Message = Message(&[
    (1, "parallelism", Int),
    (2, "completions", Int),
    (3, "activeDeadlineSeconds", Int),
    (6, "template", One(&TEMPLATE)),
    (7, "backoffLimit", Int),
]);
static TEMPLATE: Message = Message(&[(1, "metadata", One(&METADATA)), (2, "spec", One(&POD_SPEC))]);
static POD_SPEC: Message = Message(&[
    (2, "containers", Many(&CONTAINER)),
    (3, "restartPolicy", Text),
    (4, "terminationGracePeriodSeconds", Int),
    (6, "dnsPolicy", Text),
    (7, "nodeSelector", TextMap),
    (8, "serviceAccountName", Text),
    (9, "serviceAccount", Text),
    (10, "nodeName", Text),
    (11, "hostNetwork", Bool),
    (12, "hostPID", Bool),
    (13, "hostIPC", Bool),
    (16, "hostname", Text),
    (17, "subdomain", Text),
    (19, "schedulerName", Text),
    (24, "priorityClassName", Text),
]);
static CONTAINER: Message = Message(&[
    (1, "name", Text),
    (2, "image", Text),
    (3, "command", Texts),
    (4, "args", Texts),
    (5, "workingDir", Text),
    (6, "ports", Many(&PORT)),
    (7, "env", Many(&VARIABLE)),
    (8, "resources", One(&RESOURCES)),
    (13, "terminationMessagePath", Text),
    (14, "imagePullPolicy", Text),
    (16, "stdin", Bool),
    (17, "stdinOnce", Bool),
    (18, "tty", Bool),
    (20, "terminationMessagePolicy", Text),
]);
static PORT: Message = Message(&[
    (1, "name", Text),
    (2, "hostPort", Count),
    (3, "containerPort", Int),
    (4, "protocol", Text),
    (5, "hostIP", Text),
]);
static VARIABLE: Message = Message(&[(1, "name", Text), (2, "value", Text)]);
static RESOURCES: Message = Message(&[]);

fn message_of(kind: &str) -> Option<&'static Message> {
    Some(match kind {
        "Namespace" => &NAMESPACE,
        "ConfigMap" => &CONFIG_MAP,
        "ServiceAccount" => &SERVICE_ACCOUNT,
        "PodDisruptionBudget" => &BUDGET,
        "PriorityClass" => &PRIORITY_CLASS,
        "Eviction" => &EVICTION,
        "DeleteOptions" => &DELETE_OPTIONS,
        "SelfSubjectAccessReview" => &ACCESS_REVIEW,
        "SelfSubjectRulesReview" => &RULES_REVIEW,
        "SelfSubjectReview" => &SELF_REVIEW,
        "Deployment" => &DEPLOYMENT,
        "Job" => &JOB,
        _ => return None,
    })
}

/// The object of a protobuf body; an error says what the server cannot read.
pub(super) fn decode(body: &[u8]) -> Result<Value, String> {
    let unknown =
        body.strip_prefix(b"k8s\0").ok_or("provided data does not appear to be a protobuf message")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in fields(unknown)? {
        match field {
            (1, Wire::Bytes(meta)) => {
                for field in fields(meta)? {
                    match field {
                        (1, Wire::Bytes(text)) => api_version = utf8(text)?,
                        (2, Wire::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let message =
        message_of(&kind).ok_or_else(|| format!("{kind} in protobuf is not supported here, send JSON"))?;
    let mut object = Value::Object(read(message, raw, &kind)?);
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    Ok(object)
}

/// A field's content as it stands on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields(mut data: &[u8]) -> Result<Vec<(u64, Wire<'_>)>, String> {
    let mut all = Vec::new();
    while !data.is_empty() {
        let tag = number(&mut data)?;
        let content = match tag & 7 {
            0 => Wire::Number(number(&mut data)?),
            2 => {
                let length = usize::try_from(number(&mut data)?).map_err(|_| truncated())?;
                let (bytes, rest) = data.split_at_checked(length).ok_or_else(truncated)?;
                data = rest;
                Wire::Bytes(bytes)
            }
            other => return Err(format!("protobuf wire type {other} is not supported here")),
        };
        all.push((tag >> 3, content));
    }
    Ok(all)
}

fn truncated() -> String {
    "unexpected EOF".to_owned()
}

fn number(data: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = data.split_first().ok_or_else(truncated)?;
        *data = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("integer overflow".to_owned())
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "string field contains invalid UTF-8".to_owned())
}

fn read(message: &Message, data: &[u8], place: &str) -> Result<Map<String, Value>, String> {
    let mut object = Map::new();
    for (tag, content) in fields(data)? {
        let Some((_, name, kind)) = message.0.iter().find(|(number, ..)| *number == tag) else {
            // Go writes empty messages for fields that are not set.
            if matches!(content, Wire::Bytes([]) | Wire::Number(0)) {
                continue;
            }
            return Err(format!("field {tag} of {place} in protobuf is not supported here, send JSON"));
        };
        take(&mut object, name, *kind, &content, place)?;
    }
    Ok(object)
}

fn take(
    object: &mut Map<String, Value>,
    name: &str,
    kind: Type,
    content: &Wire<'_>,
    place: &str,
) -> Result<(), String> {
    let path = || format!("{place}.{name}");
    match (kind, content) {
        (Ignored, _) | (Text, Wire::Bytes([])) | (Count, Wire::Number(0)) => {}
        (Text, Wire::Bytes(bytes)) => {
            object.insert(name.to_owned(), json!(utf8(bytes)?));
        }
        (Bool, Wire::Number(value)) => {
            object.insert(name.to_owned(), json!(*value != 0));
        }
        (Int | Count, Wire::Number(value)) => {
            object.insert(name.to_owned(), json!(value.cast_signed()));
        }
        (Texts, Wire::Bytes(bytes)) => push(object, name, json!(utf8(bytes)?)),
        (Many(message), Wire::Bytes(bytes)) => {
            push(object, name, Value::Object(read(message, bytes, &path())?));
        }
        (One(message), Wire::Bytes(bytes)) => {
            object.insert(name.to_owned(), Value::Object(read(message, bytes, &path())?));
        }
        (TextMap, Wire::Bytes(bytes)) => {
            let (mut key, mut value) = (String::new(), String::new());
            for field in fields(bytes)? {
                match field {
                    (1, Wire::Bytes(text)) => key = utf8(text)?,
                    (2, Wire::Bytes(text)) => value = utf8(text)?,
                    _ => {}
                }
            }
            let map = object.entry(name.to_owned()).or_insert_with(|| json!({}));
            map[key] = json!(value);
        }
        (IntOrString, Wire::Bytes(bytes)) => {
            let (mut is_text, mut int, mut text) = (false, 0, String::new());
            for field in fields(bytes)? {
                match field {
                    (1, Wire::Number(kind)) => is_text = kind == 1,
                    (2, Wire::Number(value)) => int = value.cast_signed(),
                    (3, Wire::Bytes(bytes)) => text = utf8(bytes)?,
                    _ => {}
                }
            }
            object.insert(name.to_owned(), if is_text { json!(text) } else { json!(int) });
        }
        _ => return Err(format!("{}: unexpected wire type", path())),
    }
    Ok(())
}

fn push(object: &mut Map<String, Value>, name: &str, value: Value) {
    let list = object.entry(name.to_owned()).or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut() {
        list.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [bytes(1, b"policy/v1"), bytes(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), bytes(1, &meta), bytes(2, raw)].concat()
    }

    #[test]
    fn a_budget_is_read() {
        let label = [bytes(1, b"app"), bytes(2, b"web")].concat();
        let spec = [bytes(1, &[8, 0, 16, 2, 26, 0]), bytes(2, &bytes(1, &label))].concat();
        let raw = [bytes(1, &bytes(1, b"b")), bytes(2, &spec), bytes(3, &[8, 0])].concat();
        assert_eq!(
            decode(&envelope("PodDisruptionBudget", &raw)).unwrap(),
            json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "b" },
                "spec": { "minAvailable": 2, "selector": { "matchLabels": { "app": "web" } } },
            })
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(decode(b"{}").is_err());
        assert!(decode(&envelope("Pod", &[])).unwrap_err().contains("Pod in protobuf is not supported"));
        assert!(decode(&envelope("Namespace", &bytes(9, b"x"))).unwrap_err().contains("field 9"));
        assert_eq!(decode(&envelope("Namespace", &[10, 9, 1])), Err("unexpected EOF".into()));
    }
}
