//! The SSH side of a host: public key login, commands, forwarding to local ports.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use russh::keys::PrivateKey;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet, SshId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::commands::Output;
use super::{Host, SESSION_END};
use crate::sim::credentials::SSH_USER;
use crate::sim::wire::{Severable, refused};

/// Bytes of output in one message.
const CHUNK: usize = 32 * 1024;

/// A server with this host key.
pub fn config(key: PrivateKey) -> Config {
    Config {
        server_id: SshId::Standard("SSH-2.0-OpenSSH_9.6p1".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    }
}

impl Host {
    /// Whether it lets connections in.
    pub fn is_open(&self) -> bool {
        let power = self.machine().power();
        let power = power.borrow();
        power.is_serving() || (power.on && self.faults().no_logins_while_stopping)
    }

    /// Serves `stream` in a task of its own; refused while the machine is off or shutting down.
    pub fn accept<S>(&self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if !self.is_open() {
            return Err(refused());
        }
        let host = self.clone();
        tokio::spawn(async move {
            let cut = host.inner.stop.child_token();
            tokio::select! {
                () = host.serve(stream, &cut) => {}
                () = host.gone() => {}
                () = cut.cancelled() => {}
            }
            cut.cancel();
        });
        Ok(())
    }

    async fn serve<S>(&self, stream: S, cut: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Severable::new(stream, cut.clone());
        if self.faults().hang {
            let _held = stream;
            return std::future::pending().await;
        }
        let login = Login { host: self.clone(), cut: cut.clone() };
        let config = std::sync::Arc::clone(&self.inner.ssh);
        if let Ok(session) = russh::server::run_stream(config, stream, login).await {
            // Ends with an error whenever a client goes away without a word.
            let _ = session.await;
        }
    }

    /// Ends when sessions are cut: a while into the shutdown, or at once with the power.
    async fn gone(&self) {
        let mut power = self.machine().power();
        if power.wait_for(|power| !power.is_serving()).await.is_err() || !self.machine().is_on() {
            return;
        }
        let _ =
            tokio::time::timeout(self.inner.pace.of(SESSION_END), power.wait_for(|power| !power.on)).await;
    }
}

/// One connection.
struct Login {
    host: Host,
    cut: CancellationToken,
}

impl Login {
    fn judge(&self, user: &str, key: &russh::keys::PublicKey) -> Auth {
        if self.host.machine().power().borrow().stopping {
            return Auth::reject();
        }
        if user == SSH_USER && key.key_data() == self.host.inner.operator.key_data() {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }
}

impl Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.host.faults().forwarding_prohibited {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        }
        let machine = self.host.machine();
        let is_here = matches!(host_to_connect, "127.0.0.1" | "localhost" | "::1")
            || host_to_connect == machine.address()
            || host_to_connect == machine.name();
        let port = u16::try_from(port_to_connect).unwrap_or_default();
        let dial = self.host.inner.ports.get(&port).filter(|_| is_here);
        let Some(Ok(mut local)) = dial.map(|dial| dial()) else {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        };
        reply.accept().await;
        let cut = self.cut.clone();
        tokio::spawn(async move {
            let mut remote = channel.into_stream();
            let pump = tokio::io::copy_bidirectional(&mut remote, &mut local);
            // Ends with an error whenever either side breaks off.
            let _ = cut.run_until_cancelled(pump).await;
        });
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let line = String::from_utf8_lossy(data).into_owned();
        let (host, cut, handle) = (self.host.clone(), self.cut.clone(), session.handle());
        tokio::spawn(async move {
            let told = async {
                let output = host.run(&line).await;
                if output.cut {
                    cut.cancel();
                } else {
                    tell(&handle, channel, output).await;
                }
            };
            cut.run_until_cancelled(told).await;
        });
        Ok(())
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let handle = session.handle();
        tokio::spawn(async move {
            let answer =
                Output::failure(1, "This host is simulated: it runs commands, it has no login shell.");
            tell(&handle, channel, answer).await;
        });
        Ok(())
    }
}

/// Sends a command's output and status; stops when the client is gone.
async fn tell(handle: &russh::server::Handle, channel: ChannelId, output: Output) {
    let (mut stdout, mut stderr) = (Bytes::from(output.stdout), Bytes::from(output.stderr));
    while !stdout.is_empty() {
        let chunk = stdout.split_to(stdout.len().min(CHUNK));
        if handle.data(channel, chunk).await.is_err() {
            return;
        }
    }
    while !stderr.is_empty() {
        let chunk = stderr.split_to(stderr.len().min(CHUNK));
        if handle.extended_data(channel, 1, chunk).await.is_err() {
            return;
        }
    }
    let _ = handle.exit_status_request(channel, output.status).await;
    let _ = handle.eof(channel).await;
    let _ = handle.close(channel).await;
}
