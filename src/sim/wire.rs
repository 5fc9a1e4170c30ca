//! Byte streams that break when the machine at their far end goes away.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes that one side of an in-memory connection may be ahead of the other.
const WINDOW: usize = 256 * 1024;

/// Opens a connection to a service of the simulated cluster, or says why there is none.
pub type Dial = Arc<dyn Fn() -> io::Result<DuplexStream> + Send + Sync>;

/// Both ends of an in-memory connection.
pub fn pair() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(WINDOW)
}

/// The answer of a machine that is not there or has nothing on the port.
pub fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

/// A stream that is reset once its token is cancelled.
pub struct Severable<S> {
    stream: S,
    cut: CancellationToken,
    read_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    write_cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Severable<S> {
    /// `stream`, until `cut` is cancelled.
    pub fn new(stream: S, cut: CancellationToken) -> Self {
        let read_cut = Box::pin(cut.clone().cancelled_owned());
        let write_cut = Box::pin(cut.clone().cancelled_owned());
        Self { stream, cut, read_cut, write_cut }
    }

    fn poll_write_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.cut.is_cancelled() || self.write_cut.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Severable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.is_cancelled() || self.read_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Severable<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_cut(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_cut(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_stream_fails_both_ways_and_wakes_a_waiting_reader() {
        let (near, mut far) = pair();
        let cut = CancellationToken::new();
        let mut near = Severable::new(near, cut.clone());
        far.write_all(b"hello").await.unwrap();
        let mut word = [0; 5];
        near.read_exact(&mut word).await.unwrap();
        let (read, ()) = tokio::join!(near.read(&mut word), async { cut.cancel() });
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(near.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        drop(near);
        assert_eq!(far.read(&mut word).await.unwrap(), 0);
    }
}
