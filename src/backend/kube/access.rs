//! What we may do here: asked of the server, not guessed from a refusal in the middle of a run.

use super::Cluster;
use super::request::Ask;
use crate::backend::error::Error;
use crate::domain::access::{Answer, Right};
use crate::domain::text::clean;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Verdict,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Verdict {
    allowed: bool,
    reason: String,
    evaluation_error: String,
}

impl Cluster {
    /// Asks the server whether we may (SelfSubjectAccessReview); `Some(why)` = no, with the missing rule in words.
    /// Empty `group` = the core group; empty `subresource` and `namespace` = none.
    ///
    /// # Errors
    /// It could not be asked.
    pub async fn answer(&self, right: &Right) -> Result<Option<String>, Error> {
        let place = if right.in_namespace { self.maintenance_namespace() } else { "" };
        // a role may name the one lease that there is; creating cannot be restricted to a name
        let name = if right.is_of_lease() && right.verb != "create" { super::lease::NAME } else { "" };
        let Right { verb, group, resource, subresource, .. } = right;
        self.may_named([verb, group, resource, subresource, place, name]).await
    }

    /// All of these, at once.
    ///
    /// # Errors
    /// One could not be asked.
    pub async fn answers(&self, rights: Vec<Right>) -> Result<Vec<Answer>, Error> {
        let asked = rights.into_iter().map(|right| async move {
            let answer = self.answer(&right).await?;
            Ok((right, answer))
        });
        futures::future::join_all(asked).await.into_iter().collect()
    }

    /// The same for any attributes.
    pub async fn may(
        &self,
        verb: &str,
        group: &str,
        resource: &str,
        subresource: &str,
        namespace: &str,
    ) -> Result<Option<String>, Error> {
        self.may_named([verb, group, resource, subresource, namespace, ""]).await
    }

    /// Verb, group, resource, subresource, namespace, name.
    async fn may_named(&self, asked: [&str; 6]) -> Result<Option<String>, Error> {
        let [verb, group, resource, subresource, namespace, name] = asked;
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace,
                "name": name,
            }},
        });
        let to = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned();
        let review: Review = self.inner.fetch(&Ask::post("ask for permission", "", to, &body)).await?;
        if review.status.allowed {
            return Ok(None);
        }
        let dot = if group.is_empty() { String::new() } else { format!(".{group}") };
        let slash = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        let place = if namespace.is_empty() { String::new() } else { format!(" in namespace {namespace}") };
        let mut words = format!("may not {verb} {resource}{slash}{dot}{place}");
        for reason in [review.status.reason, review.status.evaluation_error] {
            if !reason.is_empty() {
                words.push_str(": ");
                words.push_str(&clean(&reason));
            }
        }
        Ok(Some(words))
    }
}
