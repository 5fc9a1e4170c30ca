//! To a bucket: in parts, read back, then the sidecar.

use super::client::Connector;
use super::location::Scheme;
use super::{Bucket, Copied, OP, Original, S3Options, aws, fault};
use crate::backend::error::Error;
use crate::backend::store::part::hex;
use crate::domain::report::FailureKind;
use bytes::{Bytes, BytesMut};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, MultipartUpload, ObjectStore, ObjectStoreExt, RetryConfig};
use ring::digest::{Context, SHA256};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// One part of an upload; S3 takes 5 MiB at least, and 10,000 parts at most: 80 GB are enough for an etcd.
const PART: usize = 8 * 1024 * 1024;
/// Parts under way.
const AT_ONCE: usize = 3;
/// How long an answer may be quiet while it is read back.
const QUIET: Duration = Duration::from_secs(30);
/// For taking back what was sent.
const TIDY: Duration = Duration::from_secs(10);

/// How often a request that failed on the way is sent again.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_mins(1),
    }
}

/// A client; nothing is contacted yet.
pub(super) fn open(bucket: &Bucket, s3: &S3Options) -> Result<Box<dyn ObjectStore>, Error> {
    let connector = Connector { ca: aws::ca(s3) };
    let built: object_store::Result<Box<dyn ObjectStore>> = match bucket.scheme {
        Scheme::S3 => aws::builder(&bucket.name, s3)
            .with_http_connector(connector)
            .with_retry(retries())
            .build()
            .map(|store| Box::new(store) as _),
        Scheme::Gs => GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(&bucket.name)
            .with_http_connector(connector)
            .with_retry(retries())
            .build()
            .map(|store| Box::new(store) as _),
        Scheme::Az => MicrosoftAzureBuilder::from_env()
            .with_container_name(&bucket.name)
            .with_http_connector(connector)
            .with_retry(retries())
            .build()
            .map(|store| Box::new(store) as _),
    };
    built.map_err(|error| fault::of("open", bucket, &error))
}

/// Sends, reads back, and only then writes the sidecar.
pub(super) async fn copy(
    original: &Original<'_>,
    bucket: &Bucket,
    store: &dyn ObjectStore,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
    cancel: &CancellationToken,
) -> Result<Copied, Error> {
    let key = Key::from(bucket.key(&original.name));
    let sidecar = Key::from(bucket.key(&format!("{}.json", original.name)));
    let transfer = Transfer { original, bucket, store, progress };
    let cancelled = || Error::new(FailureKind::Cancelled, OP, bucket.to_string(), "cancelled");
    let at = format!("{bucket}/{}", original.name);
    match cancel.run_until_cancelled(transfer.there(&sidecar)).await {
        None => return Err(cancelled()),
        Some(found) => match found? {
            None => {}
            // an earlier try sent it: it counts when it is read back whole now
            Some(known) if known == original.sidecar => {
                let compared = cancel.run_until_cancelled(transfer.compare(&key)).await;
                compared.unwrap_or_else(|| Err(cancelled()))?;
                return Ok(Copied { at, size: original.expected.size });
            }
            Some(_) => {
                let why = "another object of that name exists already; it is not overwritten";
                return Err(Error::new(FailureKind::Conflict, OP, at, why));
            }
        },
    }
    transfer.send(&key, cancel).await?;
    let finishing = async {
        transfer.compare(&key).await?;
        transfer.describe(&sidecar).await
    };
    let finished = cancel.run_until_cancelled(finishing).await.unwrap_or_else(|| Err(cancelled()));
    if let Err(error) = finished {
        // without its sidecar it does not count; it is taken away as well where that works
        let _ = timeout(TIDY, store.delete(&key)).await;
        return Err(error);
    }
    Ok(Copied { at, size: original.expected.size })
}

struct Transfer<'a> {
    original: &'a Original<'a>,
    bucket: &'a Bucket,
    store: &'a dyn ObjectStore,
    progress: &'a (dyn Fn(u64, u64) + Send + Sync),
}

impl Transfer<'_> {
    fn fail(&self, error: &object_store::Error) -> Error {
        fault::of(OP, self.bucket, error)
    }

    fn tell(&self, done: u64) {
        (self.progress)(done, self.original.expected.size.saturating_mul(2));
    }

    /// What a sidecar holds that is there already, as far as may be known. Asked with GET, not HEAD: a refusal of HEAD has
    /// no body that says why.
    async fn there(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        let found = async { self.store.get(key).await?.bytes().await };
        match found.await {
            Ok(text) => Ok(Some(text)),
            Err(error) => match self.fail(&error) {
                error if error.kind == FailureKind::NotFound && !fault::is_no_bucket(&error) => Ok(None),
                // who may not list a bucket is told this of every key that is not there
                error if error.kind == FailureKind::Forbidden => Ok(None),
                error => Err(error),
            },
        }
    }

    /// In parts; what was sent is taken back on a failure.
    async fn send(&self, key: &Key, cancel: &CancellationToken) -> Result<(), Error> {
        let opening = self.store.put_multipart(key);
        let cancelled = || Error::new(FailureKind::Cancelled, OP, self.bucket.to_string(), "cancelled");
        let mut upload = match cancel.run_until_cancelled(opening).await {
            None => return Err(cancelled()),
            Some(opened) => opened.map_err(|error| self.fail(&error))?,
        };
        let sent = cancel.run_until_cancelled(self.send_parts(upload.as_mut())).await;
        let sent = sent.unwrap_or_else(|| Err(cancelled()));
        if sent.is_err() {
            let _ = timeout(TIDY, upload.abort()).await;
        }
        sent
    }

    async fn send_parts(&self, upload: &mut dyn MultipartUpload) -> Result<(), Error> {
        let local = |error: std::io::Error| {
            Error::new(FailureKind::Local, OP, self.original.path.display().to_string(), error.to_string())
        };
        let mut file = tokio::fs::File::open(self.original.path).await.map_err(local)?;
        let (mut hash, mut size, mut sent) = (Context::new(&SHA256), 0, 0);
        let mut under_way = FuturesUnordered::new();
        loop {
            let part = next_part(&mut file).await.map_err(local)?;
            if part.is_empty() {
                break;
            }
            hash.update(&part);
            size += part.len() as u64;
            let length = part.len() as u64;
            let sending = upload.put_part(part.into());
            under_way.push(async move { sending.await.map(|()| length) });
            if under_way.len() >= AT_ONCE
                && let Some(length) = under_way.try_next().await.map_err(|error| self.fail(&error))?
            {
                sent += length;
                self.tell(sent);
            }
        }
        while let Some(length) = under_way.try_next().await.map_err(|error| self.fail(&error))? {
            sent += length;
            self.tell(sent);
        }
        if size != self.original.expected.size || hex(hash.finish().as_ref()) != self.original.expected.sha256
        {
            return Err(self.original.changed());
        }
        upload.complete().await.map(|_| ()).map_err(|error| self.fail(&error))
    }

    /// Reads it back as a whole.
    async fn compare(&self, key: &Key) -> Result<(), Error> {
        let expected = &self.original.expected;
        let answer = self.store.get(key).await.map_err(|error| self.fail(&error))?;
        let mut stream = answer.into_stream();
        let (mut hash, mut size) = (Context::new(&SHA256), 0);
        loop {
            let Ok(next) = timeout(QUIET, stream.next()).await else {
                let why = format!("while it was read back, nothing came for {} s", QUIET.as_secs());
                return Err(Error::new(FailureKind::Timeout, OP, self.bucket.to_string(), why));
            };
            let Some(bytes) = next else { break };
            let bytes = bytes.map_err(|error| self.fail(&error))?;
            hash.update(&bytes);
            size += bytes.len() as u64;
            self.tell(expected.size.saturating_add(size));
        }
        let sha256 = hex(hash.finish().as_ref());
        if (size, &sha256) == (expected.size, &expected.sha256) {
            return Ok(());
        }
        let why = format!(
            "what came back is not what was sent: {size} bytes with SHA-256 {sha256}, not {} with {}",
            expected.size, expected.sha256
        );
        Err(Error::new(FailureKind::Unexpected, OP, self.bucket.to_string(), why))
    }

    /// The sidecar, which makes the copy count.
    async fn describe(&self, key: &Key) -> Result<(), Error> {
        let text = Bytes::from(self.original.sidecar.clone());
        self.store.put(key, text.clone().into()).await.map_err(|error| self.fail(&error))?;
        let back = async { self.store.get(key).await?.bytes().await };
        let back = back.await.map_err(|error| self.fail(&error))?;
        if back == text {
            return Ok(());
        }
        let _ = timeout(TIDY, self.store.delete(key)).await;
        let why = "the sidecar that came back is not the one that was sent";
        Err(Error::new(FailureKind::Unexpected, OP, self.bucket.to_string(), why))
    }
}

/// The next part of a file; empty at its end.
async fn next_part(file: &mut tokio::fs::File) -> std::io::Result<Bytes> {
    let mut part = BytesMut::with_capacity(PART);
    while part.len() < PART {
        let room = PART - part.len();
        if (&mut *file).take(room as u64).read_buf(&mut part).await? == 0 {
            break;
        }
    }
    Ok(part.freeze())
}
