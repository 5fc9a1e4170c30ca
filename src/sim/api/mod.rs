//! The simulated cluster's Kubernetes API: an axum router over the store.
//!
//! A request becomes a [`request::Call`]; scripted faults and the state of etcd come first, then access rules, then the
//! verb. Every answer that is not an object is a `Status` of the API server's wording. Requests that change something
//! are noted in the store's audit.

mod access;
mod admission;
mod answer;
mod apply;
mod control;
mod create;
mod deletion;
mod discovery;
mod endpoint;
mod events;
mod eviction;
pub mod faults;
mod fields;
mod forward;
mod health;
mod openapi;
mod paging;
mod patch;
mod protobuf;
mod proxy;
mod read;
mod request;
mod roles;
mod scale;
pub mod selector;
mod strategic;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod typed;
mod validation;
mod watch;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::sync::watch as signal;

use super::store::{Audit, Status, Store};
pub use endpoint::Endpoint;
pub use faults::Faults;
pub use forward::{Held, Loopbacks};
pub use proxy::Network;
pub use request::UserInfo;
use request::{Call, Place};
pub use tally::Counted;

/// What the API server is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// `gitVersion` of `/version`, for example `v1.33.4`.
    pub version: String,
    /// Whether etcd has quorum; none means always.
    pub quorum: Option<signal::Receiver<bool>>,
    /// How long a request waits for etcd before it fails.
    pub etcd_timeout: Duration,
    /// How often a watch that allows bookmarks gets one.
    pub bookmark_every: Duration,
    /// What lies between the server and the pods behind Services.
    pub network: Network,
    /// Where port-forwards to pods of the host's network end.
    pub loopbacks: Loopbacks,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            version: "v1.33.4".to_owned(),
            quorum: None,
            etcd_timeout: Duration::from_secs(7),
            bookmark_every: Duration::from_mins(1),
            network: Network::default(),
            loopbacks: Loopbacks::default(),
        }
    }
}

/// The API server; clones are the same server.
#[derive(Debug, Clone)]
pub struct Api {
    store: Store,
    faults: Faults,
    options: Arc<Options>,
    chunks: Arc<paging::Chunks>,
    tally: tally::Tally,
}

impl Api {
    /// An API server over a store.
    pub fn new(store: Store, faults: Faults, options: Options) -> Api {
        Api {
            store,
            faults,
            options: Arc::new(options),
            chunks: Arc::default(),
            tally: tally::Tally::default(),
        }
    }

    /// Where port-forwards to pods of the host's network end.
    pub fn loopbacks(&self) -> &Loopbacks {
        &self.options.loopbacks
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Every request so far, counted by who asked what and how it was answered.
    pub fn tally(&self) -> Vec<Counted> {
        self.tally.all()
    }

    /// The scripted faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The server as a router. A request extension [`UserInfo`] says who asks; without it that is `kubernetes-admin`.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer_request).with_state(self.clone())
    }

    /// The server as a service whose connections can fail (see [`Endpoint`]), for clients in memory.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.router(), self.faults.clone())
    }

    /// Whether etcd has quorum now.
    fn has_quorum(&self) -> bool {
        self.options.quorum.as_ref().is_none_or(|quorum| *quorum.borrow())
    }

    /// Waits for etcd as a request does: until it answers, or fails.
    async fn reach_etcd(&self) -> Result<(), Status> {
        let Some(mut quorum) = self.options.quorum.clone() else { return Ok(()) };
        let reached = tokio::time::timeout(self.options.etcd_timeout, quorum.wait_for(|has| *has)).await;
        match reached {
            Ok(_) => Ok(()),
            Err(_) => Err(Status::new(500, "", "etcdserver: request timed out")),
        }
    }
}

async fn answer_request(State(api): State<Api>, request: Request) -> Response {
    let call = match Call::read(request).await {
        Ok(call) => call,
        Err(status) => return answer::failure(&status),
    };
    let result = match &call.place {
        Place::Control(rest) => return control::answer(&api, &call, rest),
        _ => respond(&api, &call).await,
    };
    let code = code(&result);
    api.tally.count(&call, code);
    note(&api, &call, &result, code);
    let mut response = result.unwrap_or_else(Refusal::into_response);
    // the simulation's own clock, which a test may have moved
    let date = api.store.clock().timestamp().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = date.parse() {
        response.headers_mut().insert(http::header::DATE, date);
    }
    response
}

/// Why a request got no object.
enum Refusal {
    Status(Box<Status>),
    /// An answer that is not a Status, as priority and fairness gives.
    Raw(Response),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal::Status(Box::new(status))
    }
}

impl Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::Status(status) => answer::failure(&status),
            Refusal::Raw(response) => response,
        }
    }
}

async fn respond(api: &Api, call: &Call) -> Result<Response, Refusal> {
    api.faults.meet(call).await?;
    match &call.place {
        Place::Health(check) => return Ok(health::answer(api, check, call)),
        Place::Discovery => return discovery::answer(api, call).map_err(Refusal::from),
        Place::OpenApi(rest) => return openapi::answer(rest, call).map_err(Refusal::from),
        Place::Review(kind) => return access::review(api, call, kind).map_err(Refusal::from),
        Place::Unknown => return Ok(answer::text(404, "404 page not found\n")),
        Place::NoResource => return Err(Status::no_such_path().into()),
        Place::Proxy(to) => {
            api.faults.authorize(call)?;
            return proxy::answer(api, call, to).await.map_err(Refusal::from);
        }
        Place::Objects(_) | Place::Control(_) => {}
    }
    let Place::Objects(target) = &call.place else { return Err(Status::no_such_path().into()) };
    api.faults.authorize(call)?;
    if !(call.is_watch() || call.reads_from_cache()) {
        api.reach_etcd().await?;
    }
    let result = match (call.verb, target.subresource.as_deref()) {
        ("get" | "create", Some("portforward")) => forward::answer(api, call, target),
        ("create", Some("eviction")) => eviction::create(api, call, target).await,
        ("get" | "update" | "patch", Some("scale")) => scale::answer(api, call, target),
        ("get", None | Some("status")) => read::get(api, call, target),
        ("list", None) => read::list(api, call, target),
        ("watch", None) => watch::watch(api, call, target),
        ("create", None) => create::create(api, call, target),
        ("update", None | Some("status")) => write::update(api, call, target),
        ("patch", None | Some("status")) => write::patch(api, call, target),
        ("delete", None) => deletion::delete(api, call, target),
        ("deletecollection", None) => deletion::delete_collection(api, call, target),
        _ => Err(method_not_allowed()),
    };
    result.map_err(Refusal::from)
}

fn method_not_allowed() -> Status {
    Status {
        details: Some(serde_json::json!({})),
        ..Status::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }
}

fn code(result: &Result<Response, Refusal>) -> u16 {
    match result {
        Ok(response) | Err(Refusal::Raw(response)) => response.status().as_u16(),
        Err(Refusal::Status(status)) => status.code,
    }
}

fn note(api: &Api, call: &Call, result: &Result<Response, Refusal>, code: u16) {
    if !call.changes_something() {
        return;
    }
    let message = match result {
        Ok(_) | Err(Refusal::Raw(_)) => String::new(),
        Err(Refusal::Status(status)) => status.message.clone(),
    };
    api.store.audit(Audit {
        time: api.store.now_micro(),
        verb: call.verb.to_owned(),
        path: call.path.clone(),
        query: call.raw_query.clone(),
        user: call.user.name.clone(),
        agent: call.agent().to_owned(),
        code,
        message,
        body: call.logged_body(),
    });
}
