//! The parts together: what a machine takes with it, connections in memory, the loopback service and its files.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use russh::client;
use russh::keys::PrivateKeyWithHashAlg;
use tokio::time::sleep;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tower::ServiceExt as _;

use super::host::Sudo;
use super::{Cluster, Pace, Scenario, serve};
use crate::proto::StatusRequest;
use crate::proto::maintenance_client::MaintenanceClient;

fn cluster(scenario: &str) -> Arc<Cluster> {
    Arc::new(Cluster::start(Scenario::parse(scenario).unwrap(), Pace::default()).unwrap())
}

fn etcd_tls(cluster: &Cluster) -> ClientTlsConfig {
    let credentials = cluster.credentials();
    ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(credentials.etcd_ca()))
        .identity(Identity::from_pem(&credentials.etcd_client.cert, &credentials.etcd_client.key))
        .domain_name("127.0.0.1")
}

struct KnownHost(russh::keys::PublicKey);

impl client::Handler for KnownHost {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        Ok(key.key_data() == self.0.key_data())
    }
}

#[tokio::test(start_paused = true)]
async fn etcd_is_reached_through_a_host() {
    let cluster = cluster("");
    let stream = cluster.dial("10.0.0.12:22").await.unwrap();
    let key = cluster.credentials().host_key("cp-2").unwrap().public_key().clone();
    let mut session = client::connect_stream(Arc::default(), stream, KnownHost(key)).await.unwrap();
    let operator = PrivateKeyWithHashAlg::new(Arc::new(cluster.credentials().operator_key().unwrap()), None);
    assert!(session.authenticate_publickey("ops", operator).await.unwrap().success());
    let session = Arc::new(session);
    let endpoint = Endpoint::from_static("https://etcd.invalid:2379").tls_config(etcd_tls(&cluster)).unwrap();
    let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
        let session = Arc::clone(&session);
        async move {
            let channel = session.channel_open_direct_tcpip("127.0.0.1", 2379, "127.0.0.1", 0).await?;
            Ok::<_, russh::Error>(TokioIo::new(channel.into_stream()))
        }
    }));
    let status = MaintenanceClient::new(channel).status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(Some(status.header.unwrap().member_id), cluster.ensemble().member_id("cp-2"));
}

#[tokio::test(start_paused = true)]
async fn a_machine_takes_its_services_with_it_and_brings_them_back_in_order() {
    let cluster = cluster("");
    for port in ["22", "2379", "6443"] {
        assert!(cluster.dial(&format!("cp-1:{port}")).await.is_ok());
    }
    assert!(cluster.dial("worker-1:2379").await.is_err(), "nothing listens there");
    cluster.machine("cp-1").unwrap().reboot();
    sleep(Duration::from_secs(7)).await;
    for port in ["22", "2379", "6443"] {
        assert!(cluster.dial(&format!("10.0.0.11:{port}")).await.is_err());
        assert!(cluster.dial(&format!("cp-2:{port}")).await.is_ok());
    }
    let mut order = Vec::new();
    for port in ["22", "2379", "6443"] {
        let since = tokio::time::Instant::now();
        while cluster.dial(&format!("cp-1:{port}")).await.is_err() {
            sleep(Duration::from_millis(100)).await;
            assert!(since.elapsed() < Duration::from_mins(1), "{port} does not come back");
        }
        order.push(since.elapsed().as_secs());
    }
    assert!(order[0] >= 15 && order[1] >= 5 && order[2] >= 2, "SSH, then etcd, then the API: {order:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_from_the_start_comes_from_the_scenario() {
    let text = r#"
        [etcd]
        leader = "cp-2"
        size_kib = 400
        [[node]]
        name = "cp-3"
        etcd = { learner = true }
        host = { sudo = "reboot-only", kexec_loaded = true }
    "#;
    let cluster = cluster(text);
    assert_eq!(cluster.ensemble().leader().as_deref(), Some("cp-2"));
    let host = cluster.host("cp-3").unwrap();
    assert_eq!(host.faults().sudo, Sudo::RebootOnly);
    assert_eq!(host.run("cat /sys/kernel/kexec_loaded").await.stdout, b"1\n");
    assert!(Scenario::parse("[[node]]\nname = \"cp-1\"\nhost = { sudoo = \"all\" }").is_err());
}

#[tokio::test(start_paused = true)]
async fn trouble_of_members_and_hosts_comes_by_the_clock() {
    let text = r#"
        [[event]]
        at = "10s"
        action = { do = "etcd-member", node = "cp-1", faults = { hang = true } }
        [[event]]
        at = "20s"
        action = { do = "etcd-member", node = "cp-1" }
        [[event]]
        at = "5s"
        action = { do = "host", node = "worker-1", faults = { reboot_inhibited = true } }
    "#;
    let cluster = cluster(text);
    sleep(Duration::from_secs(6)).await;
    let host = cluster.host("worker-1").unwrap();
    assert_eq!(host.run("sudo -n systemctl reboot").await.status, 1);
    assert!(!cluster.ensemble().hangs("cp-1"));
    sleep(Duration::from_secs(5)).await;
    assert!(cluster.ensemble().hangs("cp-1"));
    sleep(Duration::from_secs(10)).await;
    assert!(!cluster.ensemble().hangs("cp-1"));
}

/// Code and text of a request through the API server's service proxy, and how long it took.
async fn ask(cluster: &Cluster, service: &str) -> (u16, String, Duration) {
    let path = format!("/api/v1/namespaces/shop/services/{service}/proxy/healthz");
    let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    let began = tokio::time::Instant::now();
    let response = cluster.router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (code, String::from_utf8_lossy(&body).into_owned(), began.elapsed())
}

const WEB: &str = r#"
    [[workload]]
    kind = "Deployment"
    namespace = "shop"
    name = "web"
    replicas = 2
    port = 8080
"#;

#[tokio::test(start_paused = true)]
async fn a_service_answers_from_its_ready_pods_and_ails_by_the_clock() {
    let ails = r#"
        [[event]]
        at = "10s"
        action = { do = "service", namespace = "shop", name = "web", latency = "800ms", failing = 50, code = 502, for = "20s" }
    "#;
    let cluster = cluster(&format!("{WEB}{ails}"));
    let mut pods = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let (code, text, took) = ask(&cluster, "web:8080").await;
        assert_eq!(code, 200, "{text}");
        assert!((4..=8).contains(&took.as_millis()), "{took:?}");
        pods.insert(text.split(' ').next().unwrap_or_default().to_owned());
    }
    assert_eq!(pods.len(), 2, "both take part: {pods:?}");
    sleep(Duration::from_secs(11)).await;
    let mut codes = Vec::new();
    for _ in 0..10 {
        let (code, _, took) = ask(&cluster, "http:web:main").await;
        assert!(took >= Duration::from_millis(800), "{took:?}");
        codes.push(code);
    }
    assert!(codes.contains(&200) && codes.contains(&502), "{codes:?}");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(ask(&cluster, "web").await.0, 200);
    assert_eq!(ask(&cluster, "web:81").await.0, 503);
    assert_eq!(ask(&cluster, "nobody").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_service_without_a_pod_that_is_there_is_unavailable() {
    let cluster = cluster(WEB);
    for worker in ["worker-1", "worker-2", "worker-3"] {
        cluster.machine(worker).unwrap().power_off();
    }
    let (code, text, _) = ask(&cluster, "web").await;
    assert_eq!(code, 503);
    assert!(text.contains("no route to host"), "its endpoint still stands: {text}");
    sleep(Duration::from_mins(1)).await;
    let (code, text, _) = ask(&cluster, "web").await;
    assert_eq!(code, 503);
    assert!(text.contains(r#"no endpoints available for service \"web\""#), "{text}");
}

#[tokio::test]
async fn serves_kubernetes_on_loopback_and_remembers_keys_and_ports() {
    let dir = tempfile::tempdir().unwrap();
    let first = cluster("");
    let served = serve(&first, dir.path()).await.unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&served.kubeconfig), mode(&served.identity)), (0o600, 0o600));
    let kubeconfig = kube::config::Kubeconfig::read_from(&served.kubeconfig).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
            .await
            .unwrap();
    let client = kube::Client::try_from(config.clone()).unwrap();
    assert_eq!(client.apiserver_version().await.unwrap().git_version, first.scenario().cluster.version);
    let port = served.api.port();
    served.end().await;
    drop(first);
    let second = cluster("");
    let served = serve(&second, dir.path()).await.unwrap();
    assert_eq!(served.api.port(), port);
    let client = kube::Client::try_from(config).unwrap();
    assert!(client.apiserver_version().await.is_ok(), "a client of the first run finds the second");
    for machine in ["cp-1", "cp-2", "cp-3"] {
        second.machine(machine).unwrap().power_off();
    }
    tokio::task::yield_now().await;
    let gone = tokio::time::timeout(Duration::from_secs(5), async {
        while client.apiserver_version().await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    assert!(gone.await.is_ok(), "no API server is left");
}
