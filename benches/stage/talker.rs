//! A user who sends messages while others make load. The talker is a separate process: in the process of the load, it
//! would wait for thousands of sockets before it receives its own messages.

use std::{io::stdin, net::SocketAddr, process::Stdio, time::Duration};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::spawn_blocking,
};
use verbatim::domain::ConversationId;

use super::{
    rest::{Person, Rest},
    sockets::{Audience, Visit},
    talk::{paced, spent},
};

/// Messages a second.
const RATE: u32 = 20;
/// Connections that are open before the first message.
const CONNECTIONS: usize = 64;

/// A running talker. It ends when this value is dropped.
pub struct Talker {
    _child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Talker {
    /// Starts a talker: the first of a pair sends, and the second listens.
    pub async fn start(
        address: SocketAddr,
        [one, other]: &[Person; 2],
        conversation: ConversationId,
    ) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("talker")
            .args([address.to_string(), conversation.to_string(), one.id.to_string()])
            .args([&*one.token, &*other.token])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program runs");
        let orders = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut talker = Self { _child: child, orders, answers };
        assert_eq!(talker.answer().await, "ready");
        talker
    }

    /// Sends for `lasting`, and returns the sorted times from the send of each message to its delivery.
    pub async fn talk(&mut self, lasting: Duration) -> Vec<Duration> {
        let order = format!("{}\n", lasting.as_nanos());
        self.orders.write_all(order.as_bytes()).await.expect("it listens");
        self.answer().await.split(' ').map(nanos).collect()
    }

    async fn answer(&mut self) -> String {
        self.answers.next_line().await.expect("its output").expect("it runs")
    }
}

fn nanos(number: &str) -> Duration {
    Duration::from_nanos(number.parse().expect("a number"))
}

/// If this process was started as a talker, serves as one to the end and returns `true`.
pub fn serve_if_asked() -> bool {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some("talker") {
        return false;
    }
    let args: Vec<String> = args.collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(serve(&args));
    true
}

async fn serve(args: &[String]) {
    let [address, conversation, id, token, other] = args else { panic!("five arguments") };
    let address: SocketAddr = address.parse().expect("an address");
    let conversation = conversation.parse().expect("an id");
    let person = Person { id: id.parse().expect("an id"), name: String::new(), token: token.as_str().into() };
    let listener = Visit { token: other.as_str().into(), cursor: None };
    let live = Audience::connect(address, vec![listener], 1).await;
    live.settle().await;
    let rest = Rest::to(address, CONNECTIONS);
    println!("ready");
    // A separate thread waits for orders, so that the listener can answer pings meanwhile.
    let order = || spawn_blocking(|| stdin().lines().next());
    while let Some(order) = order().await.expect("a thread") {
        let lasting = nanos(&order.expect("an order"));
        // The connections are opened before, because a new one would queue behind those of all reconnecting clients.
        let open = (0..CONNECTIONS).map(|_| rest.ask("GET", "/v1/me", &person.token, None));
        join_all(open).await;
        let say = async |_| {
            rest.say(&person, conversation).await;
        };
        let talk = async || paced(RATE, lasting, say).await;
        let heard: Vec<String> = spent(&live, std::process::id(), talk)
            .await
            .latencies
            .iter()
            .map(|after| after.as_nanos().to_string())
            .collect();
        println!("{}", heard.join(" "));
    }
}
