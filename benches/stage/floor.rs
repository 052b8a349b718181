//! The floor of a fan-out: one thread that writes a prepared frame to each socket. It is a separate process,
//! so that it is measured like a node.

use std::{
    io::{self, BufRead as _, BufReader, IoSlice, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    process::{Child, Command, Stdio},
};

use super::{process::measured, sockets::stamp};

/// Bytes of an order to write: the number of a conversation, and a stamp of the time.
const ORDER: usize = 4 + 18;

/// The work of a floor.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Sockets in all, and of each conversation.
    pub sockets: usize,
    pub each: usize,
    /// Bytes of a frame without its header.
    pub frame: usize,
    /// Frames that a socket gets at the beginning.
    pub missed: usize,
    /// Whether all queued frames of a conversation are written with one writev(2) for each socket, instead of one
    /// write(2) for each frame.
    pub queued: bool,
}

/// A running floor. Dropping this value stops it.
pub struct Floor {
    child: Child,
    control: TcpStream,
    pub address: SocketAddr,
}

impl Floor {
    pub fn start(plan: Plan) -> Self {
        let Plan { sockets, each, frame, missed, queued } = plan;
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("floor").args([sockets, each, frame, missed, usize::from(queued)].map(|n| n.to_string()));
        let mut child = measured(|| command.stdout(Stdio::piped()).spawn()).expect("this program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = (Ipv4Addr::LOCALHOST, line.trim().parse().expect("a port")).into();
        let control = TcpStream::connect(address).expect("it listens");
        control.set_nodelay(true).expect("a socket");
        Self { child, control, address }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Orders the floor to write a frame to all sockets of a conversation.
    pub fn say(&self, conversation: usize) {
        let order = [&(conversation as u32).to_be_bytes(), stamp().as_bytes()].concat();
        (&self.control).write_all(&order).expect("the floor listens");
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may already have ended.
        drop(self.child.kill());
        self.child.wait().expect("a child of ours");
    }
}

/// If this process was started as a floor, serves as one to the end and returns `true`.
pub fn serve_if_asked() -> bool {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some("floor") {
        return false;
    }
    let numbers: Vec<usize> = args.map(|n| n.parse().expect("a number")).collect();
    let [sockets, each, frame, missed, queued] = numbers[..] else { panic!("five numbers") };
    serve(Plan { sockets, each, frame, missed, queued: queued == 1 }).expect("a floor");
    true
}

fn serve(plan: Plan) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let_all_wait(&listener)?;
    println!("{}", listener.local_addr()?.port());
    let (mut control, _) = listener.accept()?;

    let mut welcome = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
    welcome.extend(frame(br#"{"op":"ready","cursor":"none"}"#));
    for _ in 0..plan.missed {
        welcome.extend(event(plan.frame, &stamp()));
    }
    welcome.extend(frame(br#"{"op":"caught_up","cursor":"none"}"#));
    let mut sockets = Vec::with_capacity(plan.sockets);
    for _ in 0..plan.sockets {
        let (mut socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        let read = socket.read(&mut [0; 2048])?;
        assert!(read > 0, "a client asks before it goes");
        socket.write_all(&welcome)?;
        sockets.push(socket);
    }

    let mut orders = [0; ORDER * 512];
    let mut unread = 0;
    loop {
        let read = control.read(&mut orders[unread..])?;
        if read == 0 {
            return Ok(());
        }
        let (whole, _) = orders[..unread + read].as_chunks::<ORDER>();
        let mut frames: Vec<(usize, Vec<u8>)> = whole
            .iter()
            .map(|order| {
                let conversation = u32::from_be_bytes([order[0], order[1], order[2], order[3]]);
                (conversation as usize, event(plan.frame, &String::from_utf8_lossy(&order[4..])))
            })
            .collect();
        let used = whole.len() * ORDER;
        orders.copy_within(used..unread + read, 0);
        unread = unread + read - used;
        frames.sort_by_key(|(conversation, _)| *conversation);
        for same in frames.chunk_by(|(one, _), (other, _)| one == other) {
            let first = same[0].0 * plan.each;
            for socket in &sockets[first..first + plan.each] {
                write(socket, same, plan.queued)?;
            }
        }
    }
}

/// Lets thousands of connections wait in the kernel, so that none has to retry after a second.
#[allow(unsafe_code)] // The standard library has a fixed backlog.
fn let_all_wait(listener: &TcpListener) -> io::Result<()> {
    // SAFETY: a plain system call on a socket that listens already, of which it changes nothing else.
    let answer = unsafe { libc::listen(listener.as_raw_fd(), 65_535) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn write(mut socket: &TcpStream, frames: &[(usize, Vec<u8>)], queued: bool) -> io::Result<()> {
    if !queued {
        return frames.iter().try_for_each(|(_, frame)| socket.write_all(frame));
    }
    let slices: Vec<IoSlice<'_>> = frames.iter().map(|(_, frame)| IoSlice::new(frame)).collect();
    let written = socket.write_vectored(&slices)?;
    let length: usize = frames.iter().map(|(_, frame)| frame.len()).sum();
    assert_eq!(written, length, "the kernel takes all from who waits for it");
    Ok(())
}

/// An event of `length` bytes that ends with its time, like the events of a node.
fn event(length: usize, stamp: &str) -> Vec<u8> {
    let (begin, end) = (r#"{"op":"event","data":{"text":""#, format!("{stamp}\"}}}}"));
    let filling = "a".repeat(length.saturating_sub(begin.len() + end.len()));
    frame(format!("{begin}{filling}{end}").as_bytes())
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        length @ ..=125 => frame.push(length as u8),
        length => {
            frame.push(126);
            frame.extend_from_slice(&u16::try_from(length).expect("a frame of a chat").to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
