//! Responses: objects, lists, `Status`, text; and what the client asked for in `Accept`.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::request::Call;
use crate::sim::store::{Resource, Status, meta};

/// The form in which a client wants objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Object,
    /// As rows for people.
    Table,
    /// Only their metadata.
    Partial,
}

/// Picks the first form in `Accept` that the server has. What it does not know, protobuf among it, gets JSON.
pub(super) fn form(call: &Call) -> Form {
    let accept = call.header(header::ACCEPT.as_str()).unwrap_or_default();
    for choice in accept.split(',') {
        let mut parts = choice.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        if !matches!(kind, "application/json" | "application/*" | "*/*") {
            continue;
        }
        let params: Vec<(&str, &str)> = parts.filter_map(|p| p.split_once('=')).collect();
        let value = |name: &str| params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        match (value("as"), value("g"), value("v")) {
            (None, ..) => return Form::Object,
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) => return Form::Table,
            (
                Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                Some("meta.k8s.io"),
                Some("v1"),
            ) => {
                return Form::Partial;
            }
            _ => {}
        }
    }
    Form::Object
}

/// An answer in JSON.
pub(super) fn json(code: u16, value: &Value) -> Response {
    build(code, "application/json", Body::from(value.to_string()))
}

/// An answer in plain text.
pub(super) fn text(code: u16, text: impl Into<String>) -> Response {
    build(code, "text/plain; charset=utf-8", Body::from(text.into()))
}

/// An answer of some content type.
pub(super) fn build(code: u16, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("cache-control", HeaderValue::from_static("no-cache, private"));
    headers.insert("audit-id", audit_id());
    response
}

fn audit_id() -> HeaderValue {
    HeaderValue::from_str(&meta::new_uid()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A refusal. `Retry-After` is sent only when it is above zero (`responsewriters/writers.go`).
pub(super) fn failure(status: &Status) -> Response {
    let mut response = json(status.code, &status.to_value());
    let headers = response.headers_mut();
    if status.retry_after > 0 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(status.retry_after));
    }
    for (name, value) in &status.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    response
}

/// A `Status` of success.
pub(super) fn success(code: u16, details: Option<Value>) -> Response {
    let mut body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
    match details {
        Some(details) => body["details"] = details,
        None => body["code"] = json!(code),
    }
    json(code, &body)
}

/// An object cut down to its metadata.
pub(super) fn partial(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

/// Kind and version of a list of `r` in the given form.
pub(super) fn list_kind(r: &Resource, form: Form) -> (String, String) {
    match form {
        Form::Partial => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        Form::Object | Form::Table => (format!("{}List", r.kind), r.api_version()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accept_decides_the_form() {
        let form_of = async |accept: &str| {
            let request =
                http::Request::get("/api/v1/pods").header("accept", accept).body(Body::empty()).unwrap();
            form(&Call::read(request).await.unwrap())
        };
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(form_of(kubectl).await, Form::Table);
        assert_eq!(form_of("application/vnd.kubernetes.protobuf").await, Form::Object);
        assert_eq!(form_of("application/vnd.kubernetes.protobuf,application/json").await, Form::Object);
        let partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(form_of(partial).await, Form::Partial);
        assert_eq!(form_of("application/json;as=Table;v=v1beta1;g=meta.k8s.io,*/*").await, Form::Object);
    }
}
