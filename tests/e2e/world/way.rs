//! A connection to a server that can be blocked: then nothing passes, nothing is lost, and no peer is told.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinSet,
};

pub struct Way {
    pub address: SocketAddr,
    is_free: watch::Sender<bool>,
    _ways: JoinSet<()>,
}

impl Way {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let is_free = watch::Sender::new(true);
        let free = is_free.subscribe();
        let mut ways = JoinSet::new();
        ways.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let free = free.clone();
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    // When one direction ends, the other one ends too.
                    tokio::select! {
                        () = carry(from_client, to_server, free.clone()) => {}
                        () = carry(from_server, to_client, free) => {}
                    }
                });
            }
        });
        Self { address, is_free, _ways: ways }
    }

    pub fn block(&self) {
        self.is_free.send_replace(false);
    }

    pub fn clear(&self) {
        self.is_free.send_replace(true);
    }
}

async fn carry(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut free: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if free.wait_for(|free| *free).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
