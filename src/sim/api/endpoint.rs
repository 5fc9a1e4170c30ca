//! The API server as a client in memory meets it: a service whose calls fail as connections do.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use tower::{Service, ServiceExt};

use super::Faults;
use super::faults::{Connection, Dropped};
use super::request::UserInfo;

/// A tower service over the router: `kube::Client::new(endpoint, "default")`. While the server is down calls fail with
/// [`io::ErrorKind::ConnectionRefused`]; a dropped request fails with [`io::ErrorKind::ConnectionReset`].
#[derive(Debug, Clone)]
pub struct Endpoint {
    router: Router,
    faults: Faults,
    user: Option<UserInfo>,
}

impl Endpoint {
    pub(super) fn new(router: Router, faults: Faults) -> Endpoint {
        Endpoint { router, faults, user: None }
    }

    /// The same for another user, as if by a certificate of that name.
    #[must_use]
    pub fn as_user(mut self, name: &str) -> Endpoint {
        self.user = Some(UserInfo { name: name.to_owned(), groups: vec!["system:authenticated".to_owned()] });
        self
    }
}

impl<B> Service<Request<B>> for Endpoint
where
    B: axum::body::HttpBody<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(user) = &self.user {
            request.extensions_mut().insert(user.clone());
        }
        let router = self.router.clone();
        let mut connection = self.faults.connection();
        Box::pin(async move {
            if *connection.borrow() == Connection::Down {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused"));
            }
            let reset = || io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer");
            let answering = router.oneshot(request.map(Body::new));
            let response = tokio::select! {
                response = answering => response.unwrap_or_else(|never| match never {}),
                _ = connection.wait_for(|state| *state == Connection::Down) => return Err(reset()),
            };
            if response.extensions().get::<Dropped>().is_some() { Err(reset()) } else { Ok(response) }
        })
    }
}
