//! Compiles the part of etcd's gRPC interface that pitstop speaks, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "src/proto/etcd.proto";
    println!("cargo:rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["src/proto"])?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .bytes(".etcdserverpb.SnapshotResponse")
        .compile_fds(descriptors)?;
    Ok(())
}
