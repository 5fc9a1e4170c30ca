//! Tests of kubeconfig loading.
