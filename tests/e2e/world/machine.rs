//! A separate machine, as far as the network is concerned: a namespace that two cables connect to this one. When a
//! cable is pulled, packets are lost without notice. Killing a process does not have this effect, because the kernel
//! closes its connections.
//!
//! This needs the permission to create namespaces. Without it, stories say so and are skipped.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const PREFIX: &str = "verbatim-";
/// The MAC addresses at the two ends of any cable.
const HERE: &str = "02:00:00:00:00:01";
const THERE: &str = "02:00:00:00:00:02";

/// The machine, the two cables, and the addresses at their ends.
pub struct Machine {
    name: String,
    /// The cable to the database.
    pub database: Cable,
    /// The cable to everything else.
    pub rest: Cable,
}

/// The only connection between two addresses.
pub struct Cable {
    machine: String,
    link: String,
    /// The address at this end.
    pub here: Ipv4Addr,
    /// The address at the end of the machine.
    pub there: Ipv4Addr,
}

impl Machine {
    /// Creates a machine. The error is the reason why that is impossible.
    pub fn new() -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        clear_away()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        ip(&["netns", "add", &name])?;
        // From here on, dropping it removes everything.
        let network = (std::process::id() * 8 + number * 2) % (1 << 15);
        let machine = Self {
            database: Cable::between(&name, network),
            rest: Cable::between(&name, (network + 1) % (1 << 15)),
            name,
        };
        ip(&["-n", &machine.name, "link", "set", "lo", "up"])?;
        machine.database.lay()?;
        machine.rest.lay()?;
        Ok(machine)
    }

    /// A command that runs on the machine.
    pub fn command(&self, program: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// The address at which the machine reaches a server that listens only on loopback. The proxy in between still
    /// acknowledges packets for the machine when a cable is pulled.
    pub async fn reaches(&self, server: SocketAddr, proxies: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind((self.rest.here, 0)).await.expect("a port at the cable");
        let address = listener.local_addr().expect("its address");
        proxies.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        address
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for cable in [&self.database, &self.rest] {
            let _ = ip(&["link", "del", &cable.link]);
        }
        let _ = ip(&["netns", "del", &self.name]);
    }
}

impl Cable {
    /// Uses the networks that are reserved for benchmarks (RFC 2544), with four addresses for each cable.
    fn between(machine: &str, network: u32) -> Self {
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + network * 4;
        Self {
            machine: machine.to_owned(),
            link: format!("vb{base:x}"),
            here: Ipv4Addr::from(base + 1),
            there: Ipv4Addr::from(base + 2),
        }
    }

    fn lay(&self) -> Result<(), String> {
        let Self { machine, link, here, there } = self;
        let peer = ["type", "veth", "peer", "name", link, "address", THERE, "netns", machine];
        ip(&[&["link", "add", link, "address", HERE], &peer[..]].concat())?;
        ip(&["addr", "add", &format!("{here}/30"), "dev", link])?;
        ip(&["-n", machine, "addr", "add", &format!("{there}/30"), "dev", link])?;
        self.join()
    }

    /// Each end has a static entry for the other one, so it sends no ARP requests. Nobody would answer them once the
    /// cable is pulled, and the kernel would report an error to senders.
    fn join(&self) -> Result<(), String> {
        let Self { machine, link, here, there } = self;
        ip(&["link", "set", link, "up"])?;
        ip(&["-n", machine, "link", "set", link, "up"])?;
        let known = |of: &Ipv4Addr, at: &'static str| {
            [of.to_string(), "lladdr".into(), at.into(), "dev".into(), link.clone()]
        };
        let (there, here) = (known(there, THERE), known(here, HERE));
        let replace = |before: &[&str], neighbour: &[String; 5]| {
            let neighbour = neighbour.each_ref().map(String::as_str);
            ip(&[before, &["neigh", "replace"], &neighbour[..], &["nud", "permanent"]].concat())
        };
        replace(&[], &there)?;
        replace(&["-n", machine], &here)
    }

    /// Pulls the cable out of the machine. Packets sent to it from here are lost.
    pub fn pull_there(&self) {
        ip(&["-n", &self.machine, "link", "set", &self.link, "down"]).expect("the link goes down");
    }

    /// Pulls this end. Packets from the machine are lost.
    pub fn pull_here(&self) {
        ip(&["link", "set", &self.link, "down"]).expect("the link goes down");
    }

    /// Plugs both ends in again.
    pub fn plug_in(&self) {
        self.join().expect("the links come up");
    }

    /// The address at which a server has to listen to be reachable through this cable.
    pub fn address(&self) -> IpAddr {
        self.here.into()
    }
}

/// Removes everything that a killed run has left behind.
fn clear_away() -> Result<(), String> {
    for line in output(&["netns", "list"])?.lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        let of = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if of.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            ip(&["netns", "del", name])?;
        }
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    output(arguments).map(drop)
}

fn output(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output().map_err(|e| format!("ip: {e}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("ip {}: {}", arguments.join(" "), said.trim()))
        }
    }
}
