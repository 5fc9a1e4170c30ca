//! A Service behind the API server's proxy: how it answers, from wherever the API can be reached.

use super::Cluster;
use super::request::{Ask, next_chunk};
use crate::backend::error::Error;
use std::time::Duration;

impl Cluster {
    /// GET of a path of a Service (`name:port`, or `https:name:port`): the status and the beginning of the body.
    ///
    /// # Errors
    /// The API server cannot be reached, or does not answer within `limit`. A bad status is an answer.
    pub async fn ask_service(
        &self,
        namespace: &str,
        object: &str,
        path: &str,
        limit: Duration,
        most: usize,
    ) -> Result<(u16, String), Error> {
        // the proxy's own separators must not be encoded
        let to = format!("/api/v1/namespaces/{namespace}/services/{object}/proxy{path}");
        let ask = Ask::get("ask the service", format!("{namespace}/{object}"), to).within(limit);
        let whole = async {
            let (parts, mut body) = self.inner.open(&ask).await?.into_parts();
            let mut bytes = Vec::new();
            while bytes.len() < most {
                let Some(Ok(chunk)) = next_chunk(&mut body).await else { break };
                bytes.extend_from_slice(&chunk[..chunk.len().min(most - bytes.len())]);
            }
            Ok((parts.status.as_u16(), String::from_utf8_lossy(&bytes).into_owned()))
        };
        self.inner.in_time(&ask, whole).await
    }
}
