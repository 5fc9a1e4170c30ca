//! `get` and `list`, as objects, tables or metadata only.

use axum::body::Body;
use axum::response::Response;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::answer::{self, Form};
use super::paging::{self, Page};
use super::request::{Call, Target};
use super::selector::Selection;
use super::{Api, events, table};
use crate::sim::store::{Object, Status};

/// `get` of one object.
pub(super) fn get(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    let object = api
        .store
        .get(target.stored, target.namespace(), target.name())
        .ok_or_else(|| Status::not_found(target.served, target.name()))?;
    Ok(object_answer(api, call, target, 200, &object))
}

/// An object in the form the client asked for.
pub(super) fn object_answer(api: &Api, call: &Call, target: &Target, code: u16, object: &Value) -> Response {
    let shown = events::shown(target, object);
    match answer::form(call) {
        Form::Object => answer::json(code, &shown),
        Form::Partial => answer::json(code, &answer::partial(&shown)),
        Form::Table => {
            let revision = object["metadata"]["resourceVersion"].clone();
            let options = table::Options::of(call);
            let table = table::table(
                api,
                target,
                std::slice::from_ref(object),
                &options,
                &json!({ "resourceVersion": revision }),
            );
            answer::json(code, &table)
        }
    }
}

/// `list` of a kind.
pub(super) fn list(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    let selection = Selection::new(call.param("labelSelector"), call.param("fieldSelector"), target)?;
    let page = paging::page(api, call, target, &selection)?;
    Ok(list_answer(api, call, target, &page))
}

/// A list in the form the client asked for.
pub(super) fn list_answer(api: &Api, call: &Call, target: &Target, page: &Page) -> Response {
    let mut metadata = json!({ "resourceVersion": page.revision.to_string() });
    if let Some(more) = &page.more {
        metadata["continue"] = json!(more);
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    let form = answer::form(call);
    if form == Form::Table {
        return answer::json(
            200,
            &table::table(api, target, &page.items, &table::Options::of(call), &metadata),
        );
    }
    let (kind, api_version) = answer::list_kind(target.served, form);
    let items = page.items.iter().map(|object| Item { object, target, form }).collect();
    let list = List { kind, api_version, metadata, items };
    match serde_json::to_string(&list) {
        Ok(text) => answer::build(200, "application/json", Body::from(text)),
        Err(error) => answer::failure(&Status::internal(error)),
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: String,
    api_version: String,
    metadata: Value,
    items: Vec<Item<'a>>,
}

/// An object in a list: the server leaves out its kind and apiVersion.
struct Item<'a> {
    object: &'a Object,
    target: &'a Target,
    form: Form,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = events::shown(self.target, self.object);
        if self.form == Form::Partial {
            return answer::partial(&shown).serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        for (field, value) in shown.as_object().into_iter().flatten() {
            if field != "kind" && field != "apiVersion" {
                map.serialize_entry(field, value)?;
            }
        }
        map.end()
    }
}
