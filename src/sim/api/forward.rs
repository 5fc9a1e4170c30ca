//! `pods/NAME/portforward` over a WebSocket: two channels for each port, data and error.
//!
//! Sources: kubelet `pkg/kubelet/cri/streaming/portforward/websocket.go` (channels, their first frames), apimachinery's
//! `pkg/util/proxy/upgradeaware.go` and containerd's `internal/cri/server/podsandbox_portforward_linux.go` (errors). The
//! SPDY form, which kubectl asks for, is not spoken here.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Api;
use super::request::{Call, Target};
use crate::sim::store::Status;
use crate::sim::store::resources::PODS;
use crate::sim::wire::{Dial, refused};

const PROTOCOL: &str = "v4.channel.k8s.io";
/// Bytes read from a port at once.
const CHUNK: usize = 16 * 1024;

/// What listens on the loopback interfaces of nodes, by node and port; clones are the same.
#[derive(Clone, Default)]
pub struct Loopbacks(Arc<Mutex<BTreeMap<(String, u16), Dial>>>);

impl fmt::Debug for Loopbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loopbacks")
    }
}

impl Loopbacks {
    /// Lets something listen on a node.
    pub fn listen(&self, node: &str, ports: &BTreeMap<u16, Dial>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(ports.iter().map(|(port, dial)| ((node.to_owned(), *port), Arc::clone(dial))));
    }

    fn dial(&self, node: &str, port: u16) -> io::Result<DuplexStream> {
        let key = (node.to_owned(), port);
        let dial = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        dial.map_or_else(|| Err(refused()), |dial| dial())
    }
}

/// Kept by whoever still uses a connection that was handed over.
#[derive(Clone, Debug)]
pub struct Held {
    _end: mpsc::Sender<()>,
}

impl Held {
    /// Something to hand on, and what ends when nobody holds it any more.
    pub fn new() -> (Self, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self { _end: sender }, receiver)
    }
}

/// Takes the connection over.
pub(super) fn answer(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    let pod = api
        .store
        .get(&PODS, target.namespace(), target.name())
        .ok_or_else(|| Status::not_found(&PODS, target.name()))?;
    let offered = call.header("sec-websocket-protocol").unwrap_or_default();
    let is_spoken = offered.split(',').any(|protocol| protocol.trim() == PROTOCOL);
    let key = call.header("sec-websocket-key").filter(|_| is_spoken);
    let (Some(key), Some((upgrade, held))) = (key, call.take_upgrade()) else {
        return Err(Status::bad_request(format!("unable to upgrade: only {PROTOCOL} is spoken here")));
    };
    let given = call.param("ports").unwrap_or_default();
    let ports: Vec<u16> = given.split(',').filter_map(|port| port.parse().ok()).collect();
    if ports.is_empty() {
        return Err(Status::bad_request("query parameter \"port\" is required"));
    }
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let node = text("/spec/nodeName");
    if !api.options.network.reaches(&node) {
        let message = format!(
            "error dialing backend: dial tcp {}:10250: connect: no route to host",
            text("/status/hostIP")
        );
        return Err(Status::new(500, "InternalError", message));
    }
    let is_on_host = pod["spec"]["hostNetwork"] == true;
    let dial =
        |port: &u16| if is_on_host { api.options.loopbacks.dial(&node, *port) } else { Err(refused()) };
    let streams: Vec<(u16, io::Result<DuplexStream>)> =
        ports.iter().map(|port| (*port, dial(port))).collect();
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            carry(socket, streams).await;
        }
        drop(held);
    });
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    headers.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        accept.map_err(|_| Status::bad_request("the key of the WebSocket is none"))?,
    );
    Ok(response)
}

/// Carries bytes until the client goes away, or nothing more can come from any port.
async fn carry(
    socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    streams: Vec<(u16, io::Result<DuplexStream>)>,
) {
    let (mut sink, mut source) = socket.split();
    let (sender, mut frames) = mpsc::channel::<Bytes>(16);
    let mut writers: Vec<Option<WriteHalf<DuplexStream>>> = Vec::new();
    for (channel, (port, stream)) in (0_u8..).step_by(2).zip(streams) {
        for channel in [channel, channel + 1] {
            // fails only when nobody is there any more
            let _ = sender.send(frame(channel, &port.to_le_bytes())).await;
        }
        match stream {
            Ok(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                tokio::spawn(read(reader, channel, sender.clone()));
                writers.push(Some(writer));
            }
            Err(error) => {
                let words = format!(
                    "failed to connect to localhost:{port} inside the host's namespace: dial tcp4 127.0.0.1:{port}: connect: {error}"
                );
                let _ = sender.send(frame(channel + 1, words.as_bytes())).await;
                writers.push(None);
            }
        }
    }
    drop(sender);
    loop {
        tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => if sink.send(Message::Binary(frame)).await.is_err() { return },
                None => break,
            },
            message = source.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    let Some((channel, data)) = bytes.split_first() else { continue };
                    let writer = writers.get_mut(usize::from(channel / 2)).and_then(Option::as_mut);
                    if let Some(writer) = writer.filter(|_| channel % 2 == 0) {
                        // who does not read any more is noticed by the reader
                        let _ = writer.write_all(data).await;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    // the client may be gone
    let _ = sink.send(Message::Close(None)).await;
}

async fn read(mut reader: ReadHalf<DuplexStream>, channel: u8, frames: mpsc::Sender<Bytes>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = reader.read(&mut chunk).await {
        if frames.send(frame(channel, &chunk[..count])).await.is_err() {
            return;
        }
    }
}

fn frame(channel: u8, data: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(channel);
    bytes.put_slice(data);
    bytes.freeze()
}
