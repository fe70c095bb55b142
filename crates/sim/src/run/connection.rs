//! One stream connection: read and cut into messages, written from a queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls_pki_types::ServerName;
use sip::{Flow, FlowId, Frame, Framer, Limits, Target, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::{Dialler, Inbox, Incoming};

/// Time to connect and shake hands.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a connection and serves it.
pub(super) async fn dial(id: FlowId, target: Target, dialler: Dialler, inbox: Inbox) {
    let remote = SocketAddr::new(target.host.parse().unwrap_or(dialler.ip), target.port);
    let opened = tokio::time::timeout(PATIENCE, connect(&target, remote, &dialler)).await;
    let why = match opened {
        Ok(Ok((stream, local))) => {
            let flow = Flow {
                id,
                transport: target.transport,
                local,
                remote,
            };
            return serve(stream, flow, inbox).await;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no connection to {remote} in 5 s"),
    };
    let _ = inbox.send(Incoming::Failed(id, why));
}

/// Either kind of stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(
    target: &Target,
    remote: SocketAddr,
    dialler: &Dialler,
) -> std::io::Result<(Box<dyn Stream>, SocketAddr)> {
    let socket = if remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if !dialler.from.is_unspecified() && dialler.from.is_ipv4() == remote.is_ipv4() {
        socket.bind(SocketAddr::new(dialler.from, 0))?;
    }
    let tcp = socket.connect(remote).await?;
    tcp.set_nodelay(true)?;
    let local = tcp.local_addr()?;
    if target.transport != Transport::Tls {
        return Ok((Box::new(tcp), local));
    }
    let config = dialler
        .tls
        .clone()
        .ok_or_else(|| std::io::Error::other("no TLS here"))?;
    let name = ServerName::try_from(target.host.clone()).map_err(std::io::Error::other)?;
    let tls = tokio_rustls::TlsConnector::from(config)
        .connect(name, tcp)
        .await?;
    Ok((Box::new(tls), local))
}

/// Shakes hands on an accepted connection, where TLS is spoken, and serves it.
pub(super) async fn accept(
    tcp: TcpStream,
    flow: Flow,
    tls: Option<Arc<rustls::ServerConfig>>,
    inbox: Inbox,
) {
    let _ = tcp.set_nodelay(true);
    let Some(config) = tls else {
        return serve(Box::new(tcp), flow, inbox).await;
    };
    match tokio::time::timeout(
        PATIENCE,
        tokio_rustls::TlsAcceptor::from(config).accept(tcp),
    )
    .await
    {
        Ok(Ok(stream)) => serve(Box::new(stream), flow, inbox).await,
        Ok(Err(error)) => {
            let _ = inbox.send(Incoming::Nonsense(flow, format!("TLS handshake: {error}")));
        }
        Err(_) => {
            let _ = inbox.send(Incoming::Nonsense(
                flow,
                "TLS handshake: not done in 5 s".into(),
            ));
        }
    }
}

/// Reads messages until the far side closes, writes what the queue brings until it is dropped.
async fn serve(stream: Box<dyn Stream>, flow: Flow, inbox: Inbox) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (queue, mut queued) = mpsc::unbounded_channel::<Bytes>();
    let pong = queue.downgrade();
    if inbox.send(Incoming::Opened(flow, queue)).is_err() {
        return;
    }
    let writing = async move {
        while let Some(bytes) = queued.recv().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    };
    let reading = async {
        let mut framer = Framer::new(Limits::default());
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let Ok(length @ 1..) = reader.read(&mut buffer).await else {
                return;
            };
            framer.push(&buffer[..length]);
            while let Some(frame) = framer.next() {
                match frame {
                    Frame::Message(message) => {
                        let _ = inbox.send(Incoming::Message(flow, message));
                    }
                    Frame::Pong => {}
                    Frame::Ping => {
                        if let Some(pong) = pong.upgrade() {
                            let _ = pong.send(Bytes::from_static(b"\r\n"));
                        }
                    }
                    Frame::Malformed(malformed) => {
                        let _ = inbox.send(Incoming::Nonsense(flow, malformed.to_string()));
                    }
                    Frame::Broken(malformed) => {
                        let _ = inbox.send(Incoming::Nonsense(flow, malformed.to_string()));
                        return;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
    let _ = inbox.send(Incoming::Closed(flow.id));
}
