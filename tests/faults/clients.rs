//! The people of a run and their actions: they send, retry, read, and are added and removed.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use verbatim::domain::{ConversationId, UserId};

use crate::{
    chance::Chance,
    device::{Device, Handle, NOWHERE, Wish},
    history::{Change, Key, What},
    person::{Outcome, Person},
    world::World,
};

/// How long a send is retried.
const PERSISTENCE: Duration = Duration::from_secs(60);
/// The members of a group at the beginning.
const MEMBERS: usize = 8;
/// Devices of each person.
const DEVICES: usize = 2;
/// The number of people whose accounts are erased.
const LEAVING: usize = 3;

/// A person with devices.
pub struct Client {
    pub person: Person,
    pub devices: Vec<Handle>,
    pub conversations: Vec<ConversationId>,
    /// The number of messages that the person has begun to send.
    sent: AtomicUsize,
}

/// A group: its owner, and the guest, who is removed and added again.
struct Group {
    id: ConversationId,
    owner: usize,
    guest: usize,
}

/// All people of a run.
pub struct Crowd {
    /// People who stay. They have to receive all events, and every login of theirs has to succeed.
    pub clients: Vec<Arc<Client>>,
    /// People whose accounts are erased. They own no group, and nobody adds them to one again.
    pub leaving: Vec<Arc<Client>>,
    groups: Vec<Group>,
    pub storm: watch::Sender<u64>,
    chance: Chance,
    /// Devices live until the end.
    lives: JoinSet<()>,
}

impl Crowd {
    /// Creates people with accounts, groups and open sockets, while the servers are healthy.
    pub async fn gathers(world: &Arc<World>, sockets: usize, chance: &Chance) -> Self {
        let count = (sockets / DEVICES).max(MEMBERS + 1);
        let stay = count - LEAVING;
        let mut people = Vec::new();
        for numbers in (0..count).collect::<Vec<_>>().chunks(10) {
            people.extend(join_all(numbers.iter().map(|n| Person::registers(world, *n))).await);
        }
        let mut draw = chance.apart("groups", 0);
        let mut conversations = vec![Vec::new(); count];
        let mut groups = Vec::new();
        for number in 0..count / 2 {
            let mut who: Vec<usize> = (0..count).collect();
            draw.shuffle(&mut who);
            who.truncate(MEMBERS + 1);
            who.sort_by_key(|number| *number >= stay);
            let (owner, guest, members) = (who[0], who[1], &who[1..]);
            let ids: Vec<_> = members.iter().map(|member| people[*member].id).collect();
            let id = people[owner].starts(&format!("Group {number}"), &ids).await;
            if number % 2 == 1 {
                let body = Some(json!({ "history": "since_join" }));
                let path = format!("/v1/conversations/{id}");
                people[owner].insists(0, Method::PATCH, &path, body).await.expect("an answer");
            }
            who.iter().for_each(|member| conversations[*member].push(id));
            groups.push(Group { id, owner, guest });
        }
        let (storm, seen) = watch::channel(0);
        let mut lives = JoinSet::new();
        let mut clients = Vec::new();
        for (number, (person, conversations)) in people.into_iter().zip(conversations).enumerate() {
            let mut devices = Vec::new();
            for which in 0..DEVICES {
                let chance = chance.apart("device", number * DEVICES + which);
                let (device, handle) = Device::of(&person, number * DEVICES + which, chance, seen.clone());
                lives.spawn(device.lives());
                devices.push(handle);
            }
            clients.push(Arc::new(Client { person, devices, conversations, sent: AtomicUsize::new(0) }));
        }
        let leaving = clients.split_off(stay);
        let crowd = Self { clients, leaving, groups, storm, chance: chance.clone(), lives };
        let connected = async {
            while crowd.connected() < stay * DEVICES {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(60), connected).await.expect("all sockets open while nothing is wrong");
        crowd
    }

    /// A person who stays.
    pub fn person(&self, id: UserId) -> Option<&Person> {
        self.clients.iter().map(|client| &client.person).find(|person| person.id == id)
    }

    /// The owner, who started the group and never leaves it; `None` if the conversation is not a group of this run.
    pub fn owner_of(&self, conversation: ConversationId) -> Option<&Person> {
        let group = self.groups.iter().find(|group| group.id == conversation)?;
        Some(&self.clients[group.owner].person)
    }

    /// The number of open sockets of people who stay.
    pub fn connected(&self) -> usize {
        let nodes = self.clients.iter().flat_map(|client| &client.devices);
        nodes.filter(|device| device.node.load(Ordering::Relaxed) != NOWHERE).count()
    }

    /// The number of these sockets at a node.
    pub fn connected_to(&self, node: usize) -> usize {
        let nodes = self.clients.iter().flat_map(|client| &client.devices);
        nodes.filter(|device| device.node.load(Ordering::Relaxed) == node).count()
    }

    /// Everybody acts until `stop` is cancelled, and completes the actions in progress.
    pub fn talks(&self, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for (number, client) in self.clients.iter().chain(&self.leaving).enumerate() {
            let (client, chance) = (client.clone(), self.chance.apart("talk", number));
            tasks.spawn(until(stop, move |stop| client.talks(chance, stop)));
        }
        for (number, group) in self.groups.iter().enumerate() {
            let (id, owner) = (group.id, self.clients[group.owner].clone());
            let (guest, chance) = (self.clients[group.guest].clone(), self.chance.apart("guests", number));
            tasks.spawn(until(stop, move |stop| comes_and_goes(id, owner, guest, chance, stop)));
        }
        tasks
    }

    /// Waits until every device of people who stay has everything that it should have. If an event never comes, the
    /// checker reports it.
    pub async fn settles(&self, has_all: impl Fn(&Person, &HashMap<ConversationId, u64>) -> bool) {
        let is_settled = |client: &Arc<Client>| {
            client.devices.iter().all(|device| {
                let reached = device.reached.lock().unwrap_or_else(PoisonError::into_inner);
                has_all(&client.person, &reached)
            })
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && !self.clients.iter().all(is_settled) {
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn goes(mut self) {
        self.lives.shutdown().await;
    }
}

fn until<F: Future<Output = ()>>(stop: &CancellationToken, task: impl FnOnce(CancellationToken) -> F) -> F {
    task(stop.clone())
}

impl Client {
    async fn talks(self: Arc<Self>, mut chance: Chance, stop: CancellationToken) {
        let mut stored: Vec<(Key, String)> = Vec::new();
        while !stop.is_cancelled() {
            sleep(chance.millis(500..=3_500)).await;
            let Some(conversation) = chance.pick(&self.conversations).copied() else { return };
            match chance.below(10) {
                0..=5 => {
                    let (key, text) = self.thinks_of(conversation, &mut chance);
                    if self.says(&key, &text, &mut chance).await {
                        stored.push((key, text));
                    }
                }
                // A retry gets the same answer, however old the message is.
                6 => {
                    if let Some((key, text)) = chance.pick(&stored) {
                        self.says(key, text, &mut chance).await;
                    }
                }
                7 => self.person.looks_at_receipts(chance.below(2), conversation).await,
                _ => self.reads(conversation, &mut chance).await,
            }
        }
    }

    /// Makes up a new message.
    pub fn thinks_of(&self, conversation: ConversationId, chance: &mut Chance) -> (Key, String) {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let key = Key { user: self.person.id, conversation, client_id: format!("message-{number}") };
        let text = format!("{number} {}", "word ".repeat(chance.below(40)));
        self.begins(&key, &text);
        (key, text)
    }

    pub fn begins(&self, key: &Key, text: &str) {
        self.person.world.history.note(What::Sent { key: key.clone(), text: text.to_owned() });
    }

    /// Sends over REST or a socket, and retries until the message is stored or refused. Returns whether it is stored.
    pub async fn says(&self, key: &Key, text: &str, chance: &mut Chance) -> bool {
        let deadline = Instant::now() + PERSISTENCE;
        while Instant::now() < deadline {
            let outcome = match chance.percent(50) {
                true => self.person.sends(chance.below(2), key, text).await,
                false => self.sends_on_socket(key, text, chance).await,
            };
            match outcome {
                Outcome::Stored => return true,
                Outcome::Refused => return false,
                Outcome::Unknown => sleep(chance.millis(50..=500)).await,
            }
        }
        false
    }

    /// The same, over REST only.
    pub async fn says_over_rest(&self, key: &Key, text: &str, chance: &mut Chance) {
        let deadline = Instant::now() + PERSISTENCE;
        while Instant::now() < deadline
            && matches!(self.person.sends(chance.below(2), key, text).await, Outcome::Unknown)
        {
            sleep(chance.millis(50..=500)).await;
        }
    }

    async fn sends_on_socket(&self, key: &Key, text: &str, chance: &mut Chance) -> Outcome {
        let Some(device) = chance.pick(&self.devices) else { return Outcome::Unknown };
        if device.node.load(Ordering::Relaxed) == NOWHERE {
            return Outcome::Unknown;
        }
        let (outcome, came) = oneshot::channel();
        let wish = Wish::Send { key: key.clone(), text: text.to_owned(), outcome };
        if device.wishes.try_send(wish).is_err() {
            return Outcome::Unknown;
        }
        // The device records the outcome, even when nobody waits for it any more.
        match timeout(Duration::from_secs(12), came).await {
            Ok(Ok(outcome)) => outcome,
            _ => {
                let why = "nobody waited longer".to_owned();
                self.person.world.history.note(What::Unknown { key: key.clone(), why });
                Outcome::Unknown
            }
        }
    }

    /// Sends a receipt, on a device picked at random, for the position that this device has reached.
    async fn reads(&self, conversation: ConversationId, chance: &mut Chance) {
        let Some(device) = chance.pick(&self.devices) else { return };
        let reached =
            device.reached.lock().unwrap_or_else(PoisonError::into_inner).get(&conversation).copied();
        if let Some(position) = reached {
            let _ = device.wishes.try_send(Wish::Read { conversation, position });
        }
    }
}

/// Removes the guest of a group and adds them again, in a loop.
async fn comes_and_goes(
    id: ConversationId,
    owner: Arc<Client>,
    guest: Arc<Client>,
    mut chance: Chance,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        for change in [Change::Remove, Change::Add] {
            sleep(chance.millis(1_500..=8_000)).await;
            owner.person.changes(chance.below(2), id, guest.person.id, change).await;
        }
    }
}
