//! Byte streams to an address: TCP, or whatever a test hands in.

use futures::future::BoxFuture;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection of any sort.
pub type Stream = Box<dyn Duplex>;

type Connect = dyn Fn(String) -> BoxFuture<'static, io::Result<Stream>> + Send + Sync;

/// Opens connections to `host:port`. Has no deadline of its own: callers give one.
#[derive(Clone)]
pub struct Dialer(Arc<Connect>);

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialer")
    }
}

impl Dialer {
    /// Plain TCP, without Nagle's delay.
    pub fn tcp() -> Self {
        Self::new(|address| {
            Box::pin(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as Stream)
            })
        })
    }

    /// Connections made by a function.
    pub fn new(
        connect: impl Fn(String) -> BoxFuture<'static, io::Result<Stream>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(connect))
    }

    /// Opens one connection to `host:port` (an IPv6 host in brackets).
    pub async fn dial(&self, address: &str) -> io::Result<Stream> {
        (self.0)(address.to_owned()).await
    }
}
