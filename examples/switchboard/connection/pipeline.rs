//! A batch of requests: each is sent to its key's process without waiting for the one before, and the answers are
//! collected in order.
//!
//! Two requests for one key keep their order, because its mailbox does. Requests for different keys are carried out in
//! any order, as nobody can tell; what looks at many keys at once waits for all before it.
//!
//! A request that its process took along in a crash is sent again, to the key's next life. It is applied once to any state
//! that there is: what an earlier attempt may have done is gone with the process. To keep the order here too, no request
//! goes to a later life of a key before those that went to an earlier one are answered.

use std::time::{Duration, Instant};

use bytes::Bytes;
use incarnate::Timeout;
use incarnate::process::Request;

use super::output::FLUSH;
use crate::command::{Command, Gather};
use crate::error::CommandError;
use crate::keys::{Keys, Reached, Sent};
use crate::reply::Reply;
use crate::resp::{Arguments, Decoder};
use crate::value::{Expiry, KeyOp, SetWhen, UnixMillis};

/// Operations that are under way for one connection at most, however many keys a command names.
const MOST_ASKED: usize = 512;

/// How long requests of a batch are sent again whose process has crashed. Not a number of attempts: somebody else may
/// crash the key all the time, and whoever waits behind that has done nothing wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often one is sent again at least, and at once.
const TRIES: u32 = 8;

/// The longest pause before a further attempt: it may be the request itself that crashes the process.
const PAUSE: Duration = Duration::from_millis(50);

/// The requests of one batch.
pub struct Pipeline {
    keys: Keys,
    now: UnixMillis,
    /// The operations, in order.
    asked: Vec<Asked>,
    /// How many of them are answered for good.
    settled: usize,
    /// What each request makes of the operations.
    shapes: Vec<Shape>,
    /// How many processes had crashed when the first one that is not settled was sent, or before.
    crashes: u64,
    /// About how many bytes the replies are, as far as that is known.
    size: usize,
}

enum Asked {
    Answered(Reply),
    /// Under way, for the key with this hash.
    Waits(Request<Reply>, Origin, u64),
    /// Its process crashed.
    Lost(Origin),
}

/// Where an operation is to be read again: which request, and which of its keys.
#[derive(Clone, Copy)]
struct Origin {
    place: usize,
    key: usize,
}

#[derive(Clone, Copy)]
enum Shape {
    One,
    Gather(Gather, usize),
    /// OK for all of them, or the first error.
    AllOk(usize),
}

impl Pipeline {
    /// An empty one.
    pub fn new(keys: Keys) -> Self {
        let (now, asked, shapes) = (UnixMillis(0), Vec::new(), Vec::new());
        Pipeline { keys, now, asked, settled: 0, shapes, crashes: 0, size: 0 }
    }

    /// A batch begins, at this time.
    pub fn begin(&mut self, now: UnixMillis) {
        self.now = now;
        self.crashes = self.keys.table().crashes();
    }

    /// When the batch came.
    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// The keys that it talks to.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Gives memory back that a command with very many keys has needed. The batch must be empty.
    pub fn give_back(&mut self) {
        if self.asked.capacity() > 2 * MOST_ASKED {
            self.asked = Vec::new();
        }
    }

    /// How many requests are in the batch.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether the replies have to be written before there are more.
    pub fn is_full(&self) -> bool {
        self.shapes.len() >= MOST_ASKED || self.size >= FLUSH
    }

    /// Adds a request that is answered.
    pub fn push(&mut self, reply: Reply) {
        self.size += reply.size();
        self.asked.push(Asked::Answered(reply));
        self.shapes.push(Shape::One);
    }

    /// Adds an operation on one key.
    pub async fn one(&mut self, decoder: &Decoder, place: usize, key: &[u8], op: KeyOp) {
        self.send(decoder, Origin { place, key: 0 }, key, op).await;
        self.shapes.push(Shape::One);
    }

    /// Adds the same operation on several keys.
    pub async fn each(
        &mut self,
        decoder: &Decoder,
        place: usize,
        keys: Arguments<'_>,
        op: KeyOp,
        gather: Gather,
    ) {
        for (number, key) in keys.iter().enumerate() {
            self.send(decoder, Origin { place, key: number }, key, op.clone()).await;
        }
        self.shapes.push(Shape::Gather(gather, keys.len()));
    }

    /// Adds `MSET`.
    pub async fn set_each(&mut self, decoder: &Decoder, place: usize, pairs: Arguments<'_>) {
        for (number, (key, value)) in pairs.pairs().enumerate() {
            self.send(decoder, Origin { place, key: number }, key, set(value)).await;
        }
        self.shapes.push(Shape::AllOk(pairs.len() / 2));
    }

    async fn send(&mut self, decoder: &Decoder, origin: Origin, key: &[u8], mut op: KeyOp) {
        if self.asked.len() - self.settled >= MOST_ASKED {
            self.settle(decoder).await;
        }
        let asked = loop {
            let in_order = |hash, crashes| crashes == self.crashes || !self.waits_for(hash);
            match self.keys.ask_in_order(key, op, self.now, in_order) {
                Ok(Sent { request, hash, long }) => {
                    self.size += if long { FLUSH } else { 0 };
                    break Asked::Waits(request, origin, hash);
                }
                // What the process took along comes first.
                Err(absent) if absent.crashed && self.settled < self.asked.len() => {
                    self.settle(decoder).await;
                    op = absent.request;
                }
                Err(absent) => match self.keys.without(key, absent, self.now).await {
                    Reached::Asked(request) => {
                        break Asked::Waits(request, origin, self.keys.table().hash(key));
                    }
                    Reached::Answered(reply) => break Asked::Answered(reply),
                },
            }
        };
        self.asked.push(asked);
    }

    /// Whether a request for the key with this hash is not answered yet.
    fn waits_for(&self, hash: u64) -> bool {
        let waits = |asked: &Asked| matches!(asked, Asked::Waits(.., waiting) if *waiting == hash);
        self.asked[self.settled..].iter().any(waits)
    }

    /// Waits until all that is under way is answered.
    pub async fn settle(&mut self, decoder: &Decoder) {
        // From behind: when the last one is answered, most others are, so that this process is woken once or twice and
        // not for each answer.
        let mut lost = false;
        for asked in self.asked[self.settled..].iter_mut().rev() {
            let Asked::Waits(_, origin, _) = *asked else { continue };
            if let Asked::Waits(request, ..) = std::mem::replace(asked, Asked::Lost(origin)) {
                match request.receive(Timeout::Infinity).await {
                    Ok(reply) => *asked = Asked::Answered(reply),
                    Err(_) => lost = true,
                }
            }
        }
        if lost {
            self.send_again(decoder).await;
        }
        self.settled = self.asked.len();
        self.crashes = self.keys.table().crashes();
    }

    /// Sends what was lost once more, one after the other.
    async fn send_again(&mut self, decoder: &Decoder) {
        let until = Instant::now() + PATIENCE;
        for number in self.settled..self.asked.len() {
            if let Asked::Lost(origin) = self.asked[number] {
                let reply = once_more(&self.keys, decoder, origin, self.now, until).await;
                self.asked[number] = Asked::Answered(reply);
            }
        }
    }

    /// The replies, one for each request; the batch is empty then. All must be settled.
    pub fn replies(&mut self) -> impl Iterator<Item = Reply> {
        (self.settled, self.size) = (0, 0);
        let mut answers = self.asked.drain(..).map(|asked| match asked {
            Asked::Answered(reply) => reply,
            Asked::Waits(..) | Asked::Lost(_) => CommandError::Crashed.into(),
        });
        self.shapes.drain(..).filter_map(move |shape| match shape {
            Shape::One => answers.next(),
            Shape::Gather(gather, count) => Some(gathered(gather, answers.by_ref().take(count).collect())),
            Shape::AllOk(count) => {
                let replies: Vec<_> = answers.by_ref().take(count).collect();
                let error = replies.into_iter().find(|reply| matches!(reply, Reply::Error(_)));
                Some(error.unwrap_or(Reply::Ok))
            }
        })
    }
}

/// One reply out of many; an error if one of them is.
fn gathered(gather: Gather, replies: Vec<Reply>) -> Reply {
    match replies.iter().find(|reply| matches!(reply, Reply::Error(_))) {
        Some(error) => error.clone(),
        None => gather.fold(replies),
    }
}

fn set(value: &[u8]) -> KeyOp {
    let value = Bytes::copy_from_slice(value);
    KeyOp::Set { value, when: SetWhen::Always, expiry: Expiry::Never, get: false }
}

/// Reads an operation again out of the request that it came in, and has it carried out. A process may crash over that, too;
/// an operation that crashes
/// every one is given up.
async fn once_more(keys: &Keys, decoder: &Decoder, origin: Origin, now: UnixMillis, until: Instant) -> Reply {
    let mut again = decoder.replay(origin.place);
    let request = again.next_request().ok().flatten();
    let (key, op) = match request.and_then(|request| Command::parse(request, now).ok()) {
        Some(Command::One(key, op)) => (Some(key), op),
        Some(Command::Each { keys, op, .. }) => (keys.get(origin.key), op),
        Some(Command::SetEach(pairs)) => {
            (pairs.get(2 * origin.key), set(pairs.get(2 * origin.key + 1).unwrap_or_default()))
        }
        _ => (None, KeyOp::Get),
    };
    let Some(key) = key else { return CommandError::Crashed.into() };
    for tried in 1.. {
        let reached = match keys.ask(key, op.clone(), now) {
            Ok(request) => Reached::Asked(request),
            Err(absent) => keys.without(key, absent, now).await,
        };
        match reached {
            Reached::Answered(reply) => return reply,
            Reached::Asked(request) => {
                if let Ok(reply) = request.receive(Timeout::Infinity).await {
                    return reply;
                }
            }
        }
        if tried >= TRIES {
            if Instant::now() >= until {
                break;
            }
            tokio::time::sleep(PAUSE.min(Duration::from_millis(u64::from(tried - TRIES)))).await;
        }
    }
    CommandError::Crashed.into()
}
