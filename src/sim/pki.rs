//! The certificates of one control plane, as kubeadm lays them out.

use super::tls::{Pair, Subject};
use super::{Credentials, Error};

/// Certificates that a control plane's programs show.
#[derive(Clone, Debug)]
pub struct ControlPlanePki {
    /// The API server's.
    pub apiserver: Pair,
    /// The API server's for kubelets.
    pub apiserver_kubelet_client: Pair,
    /// The API server's for etcd.
    pub apiserver_etcd_client: Pair,
    /// The aggregation layer's.
    pub front_proxy_client: Pair,
    /// The etcd member's for clients.
    pub etcd_server: Pair,
    /// The etcd member's for its peers.
    pub etcd_peer: Pair,
    /// The liveness probe's for etcd.
    pub etcd_healthcheck_client: Pair,
}

impl ControlPlanePki {
    /// Issues the certificates for the control plane `name` at `address`; `api_names` are further names of the API.
    pub fn issue(
        credentials: &Credentials,
        name: &str,
        address: &str,
        api_names: &[String],
    ) -> Result<Self, Error> {
        let own: Vec<String> = ["localhost", "127.0.0.1", "::1", name, address].map(str::to_owned).to_vec();
        let api: Vec<String> = own.iter().chain(api_names).cloned().collect();
        let server = |common_name, names, client| Subject {
            common_name,
            organization: None,
            names,
            server: true,
            client,
        };
        let client = |common_name, organization| Subject {
            common_name,
            organization,
            names: &[],
            server: false,
            client: true,
        };
        let (api_ca, etcd_ca) = (&credentials.api_authority, &credentials.etcd_authority);
        let masters = Some("system:masters");
        Ok(Self {
            apiserver: api_ca.issue(&server("kube-apiserver", &api, false))?,
            apiserver_kubelet_client: api_ca.issue(&client("kube-apiserver-kubelet-client", masters))?,
            apiserver_etcd_client: etcd_ca.issue(&client("kube-apiserver-etcd-client", None))?,
            front_proxy_client: credentials
                .front_proxy_authority
                .issue(&client("front-proxy-client", None))?,
            etcd_server: etcd_ca.issue(&server(name, &own, true))?,
            etcd_peer: etcd_ca.issue(&server(name, &own, true))?,
            etcd_healthcheck_client: etcd_ca.issue(&client("kube-etcd-healthcheck-client", None))?,
        })
    }
}
