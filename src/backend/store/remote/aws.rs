//! Credentials for S3 where AWS's own tools look for them: the environment, then the shared files with their profiles.
//! (A web identity, a task's role and a machine's role are left to the client, which asks for them.)

use super::S3Options;
use object_store::aws::AmazonS3Builder;
use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

/// What the shared files say of a profile.
#[derive(Default, PartialEq, Eq)]
struct Profile {
    key_id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A client of a bucket, with everything but its HTTP.
pub(super) fn builder(bucket: &str, options: &S3Options) -> AmazonS3Builder {
    let named = options.profile.clone().or_else(|| set("AWS_PROFILE"));
    let has_keys = set("AWS_ACCESS_KEY_ID").is_some() && set("AWS_SECRET_ACCESS_KEY").is_some();
    let profile = read(named.as_deref().unwrap_or("default"), options.credentials.as_deref());
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    // what was named in the configuration wins over keys in the environment
    if (!has_keys || options.profile.is_some() || options.credentials.is_some())
        && let (Some(key_id), Some(secret)) = (&profile.key_id, &profile.secret)
    {
        builder = builder.with_access_key_id(key_id).with_secret_access_key(secret);
        if let Some(token) = &profile.token {
            builder = builder.with_token(token);
        }
    }
    let region = options
        .region
        .clone()
        .or_else(|| set("AWS_REGION"))
        .or_else(|| set("AWS_DEFAULT_REGION"))
        .or(profile.region);
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    let endpoint = options
        .endpoint
        .clone()
        .or_else(|| set("AWS_ENDPOINT_URL_S3"))
        .or_else(|| set("AWS_ENDPOINT_URL"))
        .or(profile.endpoint);
    if let Some(endpoint) = endpoint {
        let is_plain = endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
    }
    builder
}

/// Authorities to trust instead of the machine's own.
pub(super) fn ca(options: &S3Options) -> Option<PathBuf> {
    options.ca.clone().or_else(|| set("AWS_CA_BUNDLE").map(PathBuf::from))
}

fn read(profile: &str, named: Option<&Path>) -> Profile {
    let usual = |variable: &str, usual: &str| {
        set(variable).map(PathBuf::from).or_else(|| Some(PathBuf::from(set("HOME")?).join(usual)))
    };
    let text =
        |path: Option<PathBuf>| path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let named = named.map(Path::to_owned);
    let credentials = text(named.or_else(|| usual("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")));
    let config = text(usual("AWS_CONFIG_FILE", ".aws/config"));
    merge(&section(&credentials, &[profile]), &section(&config, &[&format!("profile {profile}"), profile]))
}

/// The credentials file wins over the configuration.
fn merge(credentials: &BTreeMap<String, String>, config: &BTreeMap<String, String>) -> Profile {
    let get = |key: &str| credentials.get(key).or_else(|| config.get(key)).cloned();
    Profile {
        key_id: get("aws_access_key_id"),
        secret: get("aws_secret_access_key"),
        token: get("aws_session_token"),
        region: get("region"),
        endpoint: get("endpoint_url"),
    }
}

/// The keys of the first section of one of these names. Indented lines belong to a nested setting and are left out.
fn section(text: &str, names: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut is_in = false;
    for line in text.lines() {
        if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_in = names.contains(&name.trim());
        } else if is_in
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = line.split_once('=')
        {
            found.entry(key.trim().to_ascii_lowercase()).or_insert_with(|| value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_as_the_tools_write_them() {
        let credentials = "[default]\naws_access_key_id = A\n# x\naws_secret_access_key=B\n[ops]\naws_access_key_id=C\naws_secret_access_key=D=E\naws_session_token = T\n";
        let config = "[default]\nregion = eu-west-1\n[profile ops]\nregion=eu-north-1\ns3 =\n  endpoint_url = nested\nendpoint_url = https://store\n";
        let of = |name: &str| {
            merge(&section(credentials, &[name]), &section(config, &[&format!("profile {name}"), name]))
        };
        let ops = of("ops");
        assert_eq!((ops.key_id.as_deref(), ops.secret.as_deref()), (Some("C"), Some("D=E")));
        assert_eq!((ops.token.as_deref(), ops.region.as_deref()), (Some("T"), Some("eu-north-1")));
        assert_eq!(ops.endpoint.as_deref(), Some("https://store"));
        assert_eq!(of("default").region.as_deref(), Some("eu-west-1"));
        assert!(of("none") == Profile::default());
    }
}
