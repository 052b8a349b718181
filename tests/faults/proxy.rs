//! A bad network: a TCP proxy that delays, holds back and cuts. It is in front of each gateway for its clients, and
//! between the nodes and their servers.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// A small buffer, so that a peer that does not read has an effect soon.
const BUFFER: u32 = 64 * 1024;

/// The state of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Weather {
    Fair,
    /// Everything takes this much longer, in each direction.
    Delayed(Duration),
    /// Nothing passes, and no peer is told. The bytes held back pass afterwards.
    BlackHole,
    /// Connections from before this moment end. Connections that speak WebSocket end in the middle of a frame.
    Cut(Instant),
}

/// Counts of the effects of the network.
#[derive(Debug, Default)]
pub struct Done {
    pub connections: AtomicU64,
    pub delayed_bytes: AtomicU64,
    pub held_bytes: AtomicU64,
    /// Ends of connections that stay open although the machine at the other end is lost.
    pub left_alone: AtomicU64,
    pub cut: AtomicU64,
    pub cut_in_frame: AtomicU64,
}

pub struct Proxy {
    pub address: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    weather: watch::Sender<Weather>,
    /// Connections from before this moment have lost the machine at one end.
    lost: watch::Sender<Option<Instant>>,
    done: Arc<Done>,
    _task: JoinSet<()>,
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_send_buffer_size(BUFFER)?;
        socket.set_recv_buffer_size(BUFFER)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(1024)?;
        let address = listener.local_addr()?;
        let to = Arc::new(Mutex::new(target));
        let (weather, seen) = watch::channel(Weather::Fair);
        let (lost, mourned) = watch::channel(None);
        let done = Arc::<Done>::default();
        let mut task = JoinSet::new();
        task.spawn(accept(listener, to.clone(), seen, mourned, done.clone()));
        Ok(Self { address, to, weather, lost, done, _task: task })
    }

    /// Sets the target of new connections.
    pub fn leads_to(&self, target: SocketAddr) {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Lets the machine at one end vanish: on the current connections, nothing passes ever again, and the other
    /// end is not told, whatever happens to the process on that machine.
    pub fn loses_a_machine(&self) {
        self.lost.send_replace(Some(Instant::now()));
    }

    /// One of the counts so far.
    pub fn done(&self, of: impl Fn(&Done) -> &AtomicU64) -> u64 {
        of(&self.done).load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    to: Arc<Mutex<SocketAddr>>,
    weather: watch::Receiver<Weather>,
    lost: watch::Receiver<Option<Instant>>,
    done: Arc<Done>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let target = *to.lock().unwrap_or_else(PoisonError::into_inner);
        connections.spawn(carry(client, target, weather.clone(), lost.clone(), done.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(
    client: TcpStream,
    to: SocketAddr,
    mut weather: watch::Receiver<Weather>,
    lost: watch::Receiver<Option<Instant>>,
    done: Arc<Done>,
) {
    if weather.wait_for(|weather| *weather != Weather::BlackHole).await.is_err() {
        return;
    }
    let connected = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(BUFFER)?;
        let server = socket.connect(to).await?;
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        io::Result::Ok(server)
    };
    let Ok(server) = connected.await else { return };
    done.connections.fetch_add(1, Ordering::Relaxed);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let born = Instant::now();
    let up = Pump { weather: weather.clone(), lost: lost.clone(), done: done.clone(), frames: None, born };
    let down = Pump { weather, lost, done, frames: Some(Frames::default()), born };
    // When one direction is cut, so is the other. A direction that ends by itself does not affect the other.
    let mut both = JoinSet::new();
    both.spawn(up.run(from_client, to_server));
    both.spawn(down.run(from_server, to_client));
    while let Some(ended) = both.join_next().await {
        if !matches!(ended, Ok(Ok(()))) {
            return;
        }
    }
}

/// One direction of one connection.
struct Pump {
    weather: watch::Receiver<Weather>,
    lost: watch::Receiver<Option<Instant>>,
    done: Arc<Done>,
    /// The frames that pass from server to client.
    frames: Option<Frames>,
    born: Instant,
}

impl Pump {
    fn is_lost(&self) -> bool {
        self.lost.borrow().is_some_and(|at| self.born < at)
    }

    async fn run(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer).await;
            if self.is_lost() {
                // Neither the bytes read nor the end of the stream is passed on, and both sockets stay open.
                self.done.left_alone.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            let read = read?;
            if read == 0 {
                let _ = to.shutdown().await;
                return Ok(());
            }
            let mut chunk = &buffer[..read];
            let weather = *self.weather.borrow();
            match weather {
                Weather::Delayed(by) => {
                    self.done.delayed_bytes.fetch_add(read as u64, Ordering::Relaxed);
                    sleep(by).await;
                }
                Weather::BlackHole => {
                    self.done.held_bytes.fetch_add(read as u64, Ordering::Relaxed);
                    let cleared = self.weather.wait_for(|weather| *weather != Weather::BlackHole).await;
                    cleared.map_err(io::Error::other)?;
                }
                Weather::Fair | Weather::Cut(_) => {}
            }
            if let Weather::Cut(at) = weather
                && self.born < at
                && let Some(frames) = &mut self.frames
            {
                let (until, in_frame) = frames.cut_within(chunk);
                chunk = &chunk[..until];
                to.write_all(chunk).await?;
                self.done.cut.fetch_add(1, Ordering::Relaxed);
                self.done.cut_in_frame.fetch_add(u64::from(in_frame), Ordering::Relaxed);
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if let Some(frames) = &mut self.frames {
                frames.pass(chunk);
            }
            to.write_all(chunk).await?;
        }
    }
}

/// Finds the frames in the stream from server to client. Before the 101 there are none.
#[derive(Debug, Default)]
struct Frames {
    head: Vec<u8>,
    is_websocket: bool,
    /// The incomplete header of a frame.
    header: Vec<u8>,
    /// Bytes of the current frame that are still to come.
    left: usize,
}

impl Frames {
    /// The number of bytes after which to cut, and whether that is in the middle of a frame.
    fn cut_within(&mut self, chunk: &[u8]) -> (usize, bool) {
        for (index, byte) in chunk.iter().enumerate() {
            self.pass(std::slice::from_ref(byte));
            if index + 1 >= chunk.len() / 2 && self.is_in_frame() {
                return (index + 1, true);
            }
        }
        (chunk.len(), self.is_in_frame())
    }

    fn is_in_frame(&self) -> bool {
        self.left > 0 || !self.header.is_empty()
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            bytes = rest;
            if !self.is_websocket {
                self.pass_head(*first);
            } else {
                self.header.push(*first);
                if let Some(length) = length(&self.header) {
                    self.left = length;
                    self.header.clear();
                }
            }
        }
    }

    fn pass_head(&mut self, byte: u8) {
        // A stream that is not upgraded within 4 KiB never will be.
        if self.head.len() < 4096 {
            self.head.push(byte);
            self.is_websocket = self.head.starts_with(b"HTTP/1.1 101") && self.head.ends_with(b"\r\n\r\n");
        }
    }
}

/// The length of the payload, if the header of an unmasked frame is complete.
fn length(header: &[u8]) -> Option<usize> {
    let extended = match header.get(1)? & 0x7f {
        126 => header.get(2..4)?,
        127 => header.get(2..10)?,
        short => return Some(usize::from(short)),
    };
    Some(extended.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_cut_lies_in_the_middle_of_a_frame() {
        let long = [&[0x81, 126, 1, 0][..], &[b'x'; 256]].concat();
        let stream = [b"HTTP/1.1 101 Switching\r\n\r\n\x81\x02hi", &long[..], b"\x81\x00"].concat();
        let mut frames = Frames::default();
        frames.pass(&stream);
        assert!(frames.is_websocket && !frames.is_in_frame());
        assert_eq!(frames.cut_within(b"\x81\x04abcd"), (3, true));
        let mut frames = Frames::default();
        frames.pass(&stream[..stream.len() - 10]);
        assert!(frames.is_in_frame());
    }

    #[tokio::test]
    async fn whoever_was_connected_to_a_lost_machine_is_not_told() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let proxy = Proxy::to(listener.local_addr().expect("its address")).await.expect("a proxy");
        let mut machine = TcpStream::connect(proxy.address).await.expect("the proxy");
        let (mut server, _) = listener.accept().await.expect("the server");
        machine.write_all(b"hello").await.expect("sent");
        server.read_exact(&mut [0; 5]).await.expect("received");

        proxy.loses_a_machine();
        drop(machine);
        let left_alone = async {
            while proxy.done(|done| &done.left_alone) == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), left_alone).await.expect("the end of the machine is kept to itself");
        server.write_all(b"are you there?").await.expect("it stands");
        let told = server.try_read(&mut [0; 1]).expect_err("neither bytes nor an end");
        assert_eq!(told.kind(), io::ErrorKind::WouldBlock);
        let mut another = TcpStream::connect(proxy.address).await.expect("the proxy");
        let (mut served, _) = listener.accept().await.expect("the server");
        another.write_all(b"hi").await.expect("sent");
        served.read_exact(&mut [0; 2]).await.expect("whoever comes later is served");
    }

    #[test]
    fn an_answer_without_upgrade_has_no_frames() {
        let mut frames = Frames::default();
        let (_, in_frame) = frames.cut_within(b"HTTP/1.1 200 OK\r\n\r\n{}");
        assert!(!in_frame);
    }
}
