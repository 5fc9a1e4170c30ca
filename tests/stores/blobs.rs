//! As much of Azure Blob Storage and of Google Cloud Storage as copies need: blocks and lists of blocks, parts of uploads, blobs.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// The account; keys are not reckoned with, only their absence.
pub const ACCOUNT: &str = "planted";

#[derive(Default)]
struct World {
    blocks: BTreeMap<String, Bytes>,
    blobs: BTreeMap<String, Bytes>,
    is_strange: bool,
}

/// A server on loopback.
#[derive(Clone, Default)]
pub struct Blobs(Arc<Mutex<World>>);

impl Blobs {
    /// Serves; returns `http://127.0.0.1:PORT`.
    pub async fn serve(&self) -> String {
        let router =
            Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        format!("http://{address}")
    }

    /// From now on no key is the right one.
    pub fn refuse(&self) {
        self.0.lock().expect("lock").is_strange = true;
    }

    /// The blobs, by their path.
    pub fn blobs(&self) -> BTreeMap<String, Bytes> {
        self.0.lock().expect("lock").blobs.clone()
    }
}

fn failed(status: StatusCode, code: &str) -> Response {
    (status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>x</Message></Error>"))
        .into_response()
}

fn stored() -> Response {
    let about = [(header::ETAG, "\"1\""), (header::LAST_MODIFIED, "Fri, 20 Nov 2026 12:00:00 GMT")];
    (StatusCode::CREATED, about).into_response()
}

/// A blob of the blocks in a list, in its order.
fn assemble(world: &mut World, path: String, list: &[u8]) -> Response {
    let list = String::from_utf8_lossy(list).into_owned();
    let mut blob = Vec::new();
    for item in list.split("<Uncommitted>").skip(1) {
        let id = item.split('<').next().unwrap_or_default();
        let Some(block) = world.blocks.remove(id) else {
            return failed(StatusCode::BAD_REQUEST, "InvalidBlockList");
        };
        blob.extend_from_slice(&block);
    }
    world.blobs.insert(path, blob.into());
    stored()
}

fn shown(blob: Option<&Bytes>) -> Response {
    let about = [(header::ETAG, "\"1\""), (header::LAST_MODIFIED, "Fri, 20 Nov 2026 12:00:00 GMT")];
    match blob {
        Some(blob) => (about, blob.clone()).into_response(),
        None => failed(StatusCode::NOT_FOUND, "BlobNotFound"),
    }
}

async fn answer(
    State(blobs): State<Blobs>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = blobs.0.lock().expect("lock");
    let signed = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Google's client is told that nobody asks
    let is_known = !uri.path().starts_with(&format!("/{ACCOUNT}/"))
        || signed.starts_with(&format!("SharedKey {ACCOUNT}:"));
    if world.is_strange || !is_known {
        return failed(StatusCode::FORBIDDEN, "AuthenticationFailed");
    }
    let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default().to_owned());
    let asked = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    match (method, asked("comp").or(asked("uploadId")).or(asked("uploads"))) {
        (Method::POST, Some("")) => {
            "<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>"
                .into_response()
        }
        (Method::PUT, Some("7")) => {
            let part: usize = asked("partNumber").expect("a part has a number").parse().expect("a number");
            world.blocks.insert(format!("{part:05}"), body);
            stored()
        }
        (Method::POST, Some("7")) => {
            let blob = std::mem::take(&mut world.blocks).into_values().collect::<Vec<_>>().concat();
            world.blobs.insert(path, blob.into());
            "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>".into_response()
        }
        (Method::PUT, Some("block")) => {
            let id = asked("blockid").expect("a block has an id").replace("%3D", "=");
            world.blocks.insert(id, body);
            stored()
        }
        (Method::PUT, Some("blocklist")) => assemble(&mut world, path, &body),
        (Method::PUT, None) => {
            world.blobs.insert(path, body);
            stored()
        }
        (Method::GET, None) => shown(world.blobs.get(&path)),
        (Method::DELETE, None) => match world.blobs.remove(&path) {
            Some(_) => StatusCode::ACCEPTED.into_response(),
            None => failed(StatusCode::NOT_FOUND, "BlobNotFound"),
        },
        (method, _) => panic!("{method} {uri} is not known here"),
    }
}
