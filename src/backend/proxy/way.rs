//! Connections of our own HTTP clients: straight to the server, or through the proxy that the environment names for it.
//!
//! A server with TLS is reached by CONNECT, so the proxy sees its name only; one without gets its requests from the proxy. What a
//! proxy's address holds of credentials is never part of an error.

use super::{Environment, complete};
use http::{HeaderMap, HeaderValue, Uri, header};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Until one stands through a proxy, which has to make one too.
const THROUGH: Duration = Duration::from_secs(10);

/// Makes connections.
#[derive(Clone)]
pub(in crate::backend) struct Way {
    tcp: HttpConnector,
    environment: Arc<Environment>,
}

/// A connection, and whether a proxy at its other end wants whole addresses in requests.
pub(in crate::backend) struct Line {
    stream: TokioIo<TcpStream>,
    is_proxied: bool,
}

impl Way {
    /// As the environment says now.
    pub(in crate::backend) fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self { tcp, environment: Arc::new(Environment::read()) }
    }

    fn proxy(&self, server: &Uri) -> io::Result<Option<Intercept>> {
        let Some(text) = self.environment.proxy_for(server) else { return Ok(None) };
        let matcher = Matcher::builder().all(complete(&text)).build();
        matcher.intercept(server).map(Some).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the address of the proxy in the environment cannot be read",
            )
        })
    }

    /// Adds what the proxy wants to know of us, where it reads the requests themselves.
    pub(in crate::backend) fn authorize(&self, server: &Uri, headers: &mut HeaderMap) {
        if server.scheme_str() == Some("http")
            && let Ok(Some(proxy)) = self.proxy(server)
            && let Some(auth) = proxy.basic_auth()
        {
            headers.insert(header::PROXY_AUTHORIZATION, auth.clone());
        }
    }
}

impl Service<Uri> for Way {
    type Response = Line;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Line>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_ready(context).map_err(io::Error::other)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let tcp = self.tcp.clone();
        let proxy = self.proxy(&server);
        Box::pin(async move {
            let Some(proxy) = proxy? else { return straight(tcp, server).await };
            let name = proxy.uri().authority().map(ToString::to_string).unwrap_or_default();
            let through = async {
                match timeout(THROUGH, through(tcp, server, &proxy)).await {
                    Ok(line) => line,
                    Err(_) => Err(format!("no answer within {} s", THROUGH.as_secs())),
                }
            };
            through.await.map_err(|why| io::Error::other(format!("through the proxy {name}: {why}")))
        })
    }
}

async fn straight(mut tcp: HttpConnector, to: Uri) -> io::Result<Line> {
    let stream = tcp.call(to).await.map_err(|error| root(&error))?;
    Ok(Line { stream, is_proxied: false })
}

/// The innermost cause keeps its kind: who asks tells a refused connection from others by it.
fn root(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(found) => io::Error::new(found.kind(), found.to_string()),
        None => io::Error::other(cause.to_string()),
    }
}

async fn through(mut tcp: HttpConnector, server: Uri, proxy: &Intercept) -> Result<Line, String> {
    let words = |error: &(dyn std::error::Error + 'static)| root(error).to_string();
    let is_proxied = proxy.uri().scheme_str() == Some("http") && server.scheme_str() == Some("http");
    let stream = match proxy.uri().scheme_str() {
        Some("http") if is_proxied => tcp.call(proxy.uri().clone()).await.map_err(|error| words(&error))?,
        Some("http") => {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(HeaderValue::clone(auth));
            }
            tunnel.call(server).await.map_err(|error| words(&error))?
        }
        Some("socks5") => {
            let mut socks = SocksV5::new(proxy.uri().clone(), tcp);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            socks.call(server).await.map_err(|error| words(&error))?
        }
        other => {
            return Err(format!(
                "{}:// is not a kind of proxy that is known here",
                other.unwrap_or_default()
            ));
        }
    };
    Ok(Line { stream, is_proxied })
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.is_proxied)
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
