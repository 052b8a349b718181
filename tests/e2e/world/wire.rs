//! A TCP proxy between a node and a server, which a story can cut and repair.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

pub struct Wire {
    is_whole: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Wire {
    /// A wire to the server of a URL with a port.
    pub async fn to(url: &str) -> (Self, String) {
        let place =
            url.rsplit('@').next().expect("an address").split('/').next().expect("host and port").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_whole, seen) = watch::channel(true);
        let mut task = JoinSet::new();
        let through = url.replace(&place, &address.to_string());
        task.spawn(hand_through(listener, place, seen));
        (Self { is_whole, _task: task }, through)
    }

    /// Ends all connections, and refuses new ones.
    pub fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}

async fn hand_through(listener: TcpListener, place: String, mut is_whole: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (mut client, _) = accepted.expect("a connection");
                if *is_whole.borrow()
                    && let Ok(mut server) = TcpStream::connect(&place).await
                {
                    connections.spawn(async move {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    });
                }
            }
            changed = is_whole.changed() => match changed {
                Ok(()) => {
                    if !*is_whole.borrow() {
                        connections.abort_all();
                    }
                }
                Err(_) => return,
            },
        }
    }
}
