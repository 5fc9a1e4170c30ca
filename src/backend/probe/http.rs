//! One page over HTTP/1.1, each time on a connection of its own.

use super::{Failure, MOST_BODY, words};
use crate::backend::dial::{Dialer, Stream};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// What is asked for, and how it is reached. Shown to nobody: the address may hold a token.
pub(super) struct Page {
    dialer: Dialer,
    /// `host:port`.
    address: String,
    /// The value of the `Host` header.
    host: String,
    /// Path and query.
    path: String,
    login: Option<Zeroizing<String>>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Page {
    /// From its address.
    ///
    /// # Errors
    /// It is none, or the certificate authorities cannot be read. The words do not hold the address.
    pub(super) fn new(url: &str, ca: Option<&Path>, dialer: &Dialer) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("it is no address")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (login, host) =
            authority.rsplit_once('@').map_or((None, authority), |(login, host)| (Some(login), host));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let uri: Uri =
            format!("{scheme}://{host}{path}").parse().map_err(|_| "its address cannot be read")?;
        let is_tls = scheme == "https";
        let name = uri.host().ok_or("its address has no host")?.to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if is_tls {
            let server = ServerName::try_from(bare).map_err(|_| "its host is no name for TLS")?;
            Some((TlsConnector::from(Arc::new(config(ca)?)), server))
        } else {
            None
        };
        Ok(Self {
            dialer: dialer.clone(),
            address: format!("{name}:{port}"),
            host: host.to_owned(),
            path,
            login: login.map(|login| Zeroizing::new(format!("Basic {}", STANDARD.encode(decoded(login))))),
            tls,
        })
    }

    /// Asks for it and reads it; 200 to 399 is good.
    pub(super) async fn get(&self) -> Result<(), Failure> {
        let stream = self.dialer.dial(&self.address).await.map_err(|error| words(&error))?;
        let stream: Stream = match &self.tls {
            None => stream,
            Some((tls, name)) => {
                Box::new(tls.connect(name.clone(), stream).await.map_err(|error| words(&error))?)
            }
        };
        let closed = |_| "the connection was closed".to_owned();
        let (mut sender, connection) =
            http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(closed)?;
        let request = self.request()?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(closed)?;
            let status = answer.status();
            let mut body = answer.into_body();
            let mut read = 0;
            while let Some(frame) = body.frame().await {
                read += frame.map_err(closed)?.data_ref().map_or(0, Bytes::len);
                if read > MOST_BODY {
                    break;
                }
            }
            match status.as_u16() {
                200..=399 => Ok(()),
                code => Err(format!("answered {code}")),
            }
        };
        let mut exchange = std::pin::pin!(exchange);
        let mut connection = std::pin::pin!(connection);
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                answer = &mut exchange => return answer,
                _ = &mut connection, if is_open => is_open = false,
            }
        }
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, Failure> {
        let mut request = Request::get(&self.path)
            .header(header::HOST, &self.host)
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, concat!("pitstop/", env!("CARGO_PKG_VERSION")));
        if let Some(login) = &self.login {
            request = request.header(header::AUTHORIZATION, login.as_str());
        }
        request.body(Empty::new()).map_err(|_| "the request cannot be built".to_owned())
    }
}

/// `%40` → `@`; what is no escape stays as it is.
fn decoded(text: &str) -> Zeroizing<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escape = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let value = escape.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let (byte, step) = value.filter(|_| *byte == b'%').map_or((*byte, 1), |value| (value, 3));
        out.push(byte);
        at += step;
    }
    Zeroizing::new(out)
}

fn config(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match ca {
        None => builder
            .with_native_roots()
            .map_err(|error| format!("the machine's certificate authorities cannot be read: {error}"))?,
        Some(path) => builder.with_root_certificates(roots(path)?),
    };
    Ok(builder.with_no_client_auth())
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let fail = |why: String| format!("the authorities in {}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))? {
        let cert = cert.map_err(|error| fail(error.to_string()))?;
        roots.add(cert).map_err(|error| fail(error.to_string()))?;
    }
    if roots.is_empty() { Err(fail("no certificate in PEM".to_owned())) } else { Ok(roots) }
}
