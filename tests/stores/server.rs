//! An S3 server over a directory, and a line to it that can break or alter what passes.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const KEY_ID: &str = "AKIAPLANTEDKEYID";
pub const SECRET: &str = "planted-secret-access-key";
pub const BUCKET: &str = "backups";

/// Serves the directory's subdirectories as buckets; returns `http://127.0.0.1:PORT`.
pub async fn serve(root: &Path) -> String {
    std::fs::create_dir_all(root.join(BUCKET)).expect("a bucket");
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).expect("a directory"));
    builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    format!("http://{address}")
}

/// What a line does to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The first so many connections break when 100 kB have gone up.
    Breaks(usize),
    /// One byte of what comes down is changed, once 1 MB has come down on a connection.
    Alters,
}

/// A line to a server; returns its address, and counts the connections.
pub async fn line(to: &str, line: Line) -> (String, Arc<AtomicUsize>) {
    let to = to.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("address");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let Ok(far) = TcpStream::connect(&to).await else { return };
            tokio::spawn(pass(near, far, line, number));
        }
    });
    (format!("http://{address}"), count)
}

async fn pass(near: TcpStream, far: TcpStream, line: Line, number: usize) {
    let (mut near_in, mut near_out) = near.into_split();
    let (mut far_in, mut far_out) = far.into_split();
    let up = async {
        let (mut buffer, mut sent) = (vec![0; 64 * 1024], 0);
        while let Ok(count @ 1..) = near_in.read(&mut buffer).await {
            sent += count;
            if matches!(line, Line::Breaks(first) if number < first && sent > 100_000) {
                return;
            }
            if far_out.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let (mut buffer, mut came) = (vec![0; 64 * 1024], 0);
        let mut is_altered = false;
        while let Ok(count @ 1..) = far_in.read(&mut buffer).await {
            came += count;
            if line == Line::Alters && came > 1_000_000 && !is_altered {
                buffer[count / 2] ^= 1;
                is_altered = true;
            }
            if near_out.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
