//! HTTP for object stores: TLS by the provider that everything else here uses, the proxies of the environment, deadlines on
//! each step.

use crate::backend::proxy::Way;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// From the first byte of a request to the first of its answer: a part of 8 MiB must fit through a slow line.
const ANSWER: Duration = Duration::from_mins(2);

/// Makes clients.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    /// Authorities to trust instead of the machine's own.
    pub(super) ca: Option<PathBuf>,
}

struct Service {
    client: Client<HttpsConnector<Way>, HttpRequestBody>,
    way: Way,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let tls = tls(self.ca.as_deref())
            .map_err(|error| object_store::Error::Generic { store: "TLS", source: Box::new(error) })?;
        let way = Way::new();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(way.clone());
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(HttpClient::new(Service { client, way }))
    }
}

fn tls(ca: Option<&Path>) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match ca {
        None => builder.with_native_roots()?,
        Some(path) => builder.with_root_certificates(roots(path)?),
    };
    Ok(builder.with_no_client_auth())
}

fn roots(path: &Path) -> io::Result<RootCertStore> {
    let fail = |why: String| io::Error::other(format!("the authorities in {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(&pem) {
        let cert = cert.map_err(|error| fail(error.to_string()))?;
        roots.add(cert).map_err(|error| fail(error.to_string()))?;
    }
    if roots.is_empty() { Err(fail("no certificate in PEM".to_owned())) } else { Ok(roots) }
}

#[async_trait::async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let server = request.uri().clone();
        self.way.authorize(&server, request.headers_mut());
        match timeout(ANSWER, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(as_response(response)),
            Ok(Err(error)) => Err(HttpError::new(kind(&error), error)),
            Err(_) => {
                let why = format!("no answer within {} s", ANSWER.as_secs());
                Err(HttpError::new(HttpErrorKind::Timeout, io::Error::new(io::ErrorKind::TimedOut, why)))
            }
        }
    }
}

fn as_response(response: Response<Incoming>) -> HttpResponse {
    response.map(|body| {
        HttpResponseBody::new(body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)))
    })
}

/// Decides what may be tried again.
fn kind(error: &Error) -> HttpErrorKind {
    if error.is_connect() {
        return HttpErrorKind::Connect;
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>()
            && (hyper.is_closed() || hyper.is_incomplete_message() || hyper.is_body_write_aborted())
        {
            return HttpErrorKind::Interrupted;
        }
        if cause.downcast_ref::<io::Error>().is_some() {
            return HttpErrorKind::Interrupted;
        }
        source = cause.source();
    }
    HttpErrorKind::Unknown
}
