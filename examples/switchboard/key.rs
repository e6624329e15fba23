//! The process of one key.
//!
//! It is born with the value that made its key exist and ends when the key does: by `DEL`, by its expiry timer, or by a
//! crash. A crash loses the value, as a restart runs `init`: the next life begins without one.
//!
//! It hibernates between requests: among 100,000 keys most are at rest, and one at rest is a few hundred bytes in place of
//! several thousand. That is faster, too. A process that wakes runs in a shell that another has just left, which the
//! processor still has at hand; one that kept its own would have to be fetched from memory piece by piece.
//!
//! There are two versions of it, and a process changes between them while it runs: this one, and [`Counted`](crate::counted).
//! So the state is data alone. What cannot be written down is kept elsewhere: the entry in the table goes with the
//! process ([`start_link`]), and the table itself is asked for again when it is next needed.

use std::sync::Arc;
use std::time::Duration;

use incarnate::gen_server::CodeChange;
use incarnate::handoff::StateVersion;
use incarnate::{
    CallReply, Context, Error, ExitReason, GenServer, Info, Init, Never, Node, Pid, ReplyTo, Result,
    ServerRef, StartError, Then, Timeout, TimerRef, noreply, stop,
};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::CommandError;
use crate::keyspace::{self, KEYSPACE};
use crate::name::Name;
use crate::reply::Reply;
use crate::table::Table;
use crate::value::{KeyOp, Next, UnixMillis, Value};

/// What both versions are called.
pub const MODULE: &str = "key";

/// A life that follows a crash stays so long without a value before it ends: `OTP.INFO` can show it.
pub const LINGER: Duration = Duration::from_secs(60);

/// The longest timer; what is due later is looked at again then.
const FAR: i64 = 1000 * 60 * 60 * 24 * 365;

/// A reference to the process of a key.
pub type KeyRef = ServerRef<Call, Never, Due>;

/// What the process of a key is asked.
pub enum Call {
    /// One operation, at this time of day.
    Apply {
        /// What to do.
        op: KeyOp,
        /// When the request came in.
        now: UnixMillis,
        /// Where the reply goes.
        to: ReplyTo<Reply>,
    },
    /// How often the key was asked for, at this time of day; nil if there is no such key, an error in version 1.
    Hits {
        /// When the request came in.
        now: UnixMillis,
        /// Where the reply goes.
        to: ReplyTo<Reply>,
    },
    /// Crash. It is never answered.
    Crash(ReplyTo<Never>),
}

/// The expiry timer has fired.
pub struct Due;

/// What a process is started with.
pub struct Birth {
    /// Where it enters itself.
    pub table: Arc<Table>,
    /// Its key.
    pub key: Name,
    /// Its value.
    pub value: Value,
    /// What the operation that made the value leaves to do.
    pub next: Next,
}

/// Either version, as what both have in common sees it.
pub trait Version: GenServer<Call = Call, Cast = Never, Info = Due> {}

impl<S: GenServer<Call = Call, Cast = Never, Info = Due>> Version for S {}

/// Starts the process of a key in the version that is in force, linked to the one whose code asks.
pub async fn start_link(birth: Birth) -> Result<KeyRef, StartError> {
    let (table, hash) = (birth.table.clone(), birth.table.hash(&birth.key));
    let enter = move |server: &KeyRef| Ok(Entered { table, hash, server: server.pid() });
    Key::server(birth).register_with(enter).upgradable().start_link().await
}

/// Kept with the process, whatever version runs in it: when it ends without having left the table, it is taken out.
struct Entered {
    table: Arc<Table>,
    hash: u64,
    server: Pid,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.table.lost(self.hash, self.server);
    }
}

/// The state of the process, version 1.
#[derive(Serialize, Deserialize)]
pub struct Key {
    value: Value,
    place: Place,
    /// The timer itself stays with the process.
    timer: Option<TimerRef>,
    /// Timers that had fired when they were to be cancelled, and whose messages have not come yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    overdue: u32,
}

/// The process's entry in the table.
#[derive(Serialize, Deserialize)]
struct Place {
    /// Not there after a handoff: whoever needs it [asks for it](Place::find_table) again.
    #[serde(skip)]
    table: Option<Arc<Table>>,
    key: Name,
    life: u32,
    present: bool,
    /// Whether the table was told that the value is long.
    #[serde(skip)]
    long: bool,
}

/// Left out of what is written, as a format has no field more than it needs.
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl StateVersion for Key {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl CodeChange for Key {
    const MODULE: &'static str = MODULE;
    // Both versions understand all requests: this one knows of hits that it does not count them.
}

impl Place {
    /// The table. It never changes during the life of a process: with its owner all keys end.
    #[cold]
    async fn find_table(&mut self) -> Result<()> {
        // Without a limit: to give up would be to lose the value.
        self.table = Some(KEYSPACE.call_timeout(keyspace::Call::Table, Timeout::Infinity).await?);
        Ok(())
    }

    /// Leaves the table, if nothing waits in the mailbox.
    fn retire<S: Version>(&self, cx: &Context<S>) -> bool {
        let idle = || cx.node().process_info(cx.pid()).is_some_and(|info| info.mailbox_len == 0);
        self.table.as_ref().is_some_and(|table| table.retire(&self.key, idle))
    }

    fn mark(&mut self, present: bool) {
        if self.present != present {
            self.present = present;
            if let Some(table) = &self.table {
                table.mark(&self.key, present);
            }
        }
    }

    /// Whoever makes a value long has said so before; without the table it is said another time.
    fn mark_long(&mut self, long: bool) {
        if long
            && !self.long
            && let Some(table) = &self.table
        {
            self.long = true;
            table.mark_long(&self.key);
        }
    }
}

impl GenServer for Key {
    type Args = Birth;
    type Call = Call;
    type Cast = Never;
    type Info = Due;
    type Continue = Never;

    async fn init(birth: Birth, cx: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(match Key::begin(birth, cx) {
            None => Init::Ignore,
            Some(key) if key.exists() => Init::Hibernate(key),
            Some(key) => Init::Timeout(key, LINGER),
        })
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Apply { op, now, to } => {
                let (reply, follow) = self.apply(op, now, cx);
                match follow {
                    // Boxed: it is needed once after a change, and would have its room in every life.
                    Follow::Adrift(next) => Box::pin(self.after_all(reply, next, now, to, cx)).await,
                    follow => follow.after(to.reply(reply)),
                }
            }
            Call::Hits { now, to } => Box::pin(self.show(CommandError::NotCounted.into(), now, to, cx)).await,
            Call::Crash(to) => crash(to),
        }
    }

    async fn handle_info(&mut self, info: Info<Due>, cx: &mut Context<Self>) -> Result<incarnate::Next> {
        self.woken(info, cx).await
    }
}

/// The crash that was asked for.
pub fn crash(to: ReplyTo<Never>) -> Result<CallReply> {
    drop(to);
    Err(Error::msg("crashed by OTP.CRASH"))
}

/// Whether the process goes on.
pub enum Follow {
    Stay,
    Linger,
    End,
    /// It has to find the table first.
    Adrift(Next),
}

impl Follow {
    /// What follows an answer.
    pub fn after(self, answered: Result<CallReply>) -> Result<CallReply> {
        match self {
            Follow::Stay | Follow::Adrift(_) => answered.hibernate(),
            Follow::Linger => answered.timeout(LINGER),
            Follow::End => answered.stop(ExitReason::Normal),
        }
    }
}

/// What both versions do.
impl Key {
    /// A process begins. `None`: another was faster, the request goes to that one.
    pub fn begin<S: Version>(birth: Birth, cx: &Context<S>) -> Option<Self> {
        let Birth { table, key, value, next } = birth;
        let present = next != Next::End;
        let long = value.is_long();
        let life = table.claim(&key, cx.server(), present, long)?;
        let place = Place { table: Some(table), key, life, present, long };
        let mut server = Key { value, place, timer: None, overdue: 0 };
        server.set_timer(next, clock::now(), cx);
        Some(server)
    }

    /// Whether there is a value; a deadline that has passed meanwhile is not seen here.
    pub fn exists(&self) -> bool {
        self.value.exists()
    }

    /// Carries out an operation.
    pub fn apply<S: Version>(&mut self, op: KeyOp, now: UnixMillis, cx: &Context<S>) -> (Reply, Follow) {
        let (reply, next) = self.value.apply(op, now);
        self.place.mark_long(self.value.is_long());
        // Before the answer: who has it finds the key gone.
        let goes_on = next == Next::Live && self.place.present;
        (reply, if goes_on { Follow::Stay } else { self.follow(next, now, cx) })
    }

    /// Answers an operation that has been carried out, when the table is found.
    pub async fn after_all<S: Version>(
        &mut self,
        reply: Reply,
        next: Next,
        now: UnixMillis,
        to: ReplyTo<Reply>,
        cx: &mut Context<S>,
    ) -> Result<CallReply> {
        self.place.find_table().await?;
        self.follow(next, now, cx).after(to.reply(reply))
    }

    /// Answers with `shown` if the key exists, or nil.
    pub async fn show<S: Version>(
        &mut self,
        shown: Reply,
        now: UnixMillis,
        to: ReplyTo<Reply>,
        cx: &mut Context<S>,
    ) -> Result<CallReply> {
        let (exists, follow) = self.apply(KeyOp::Exists, now, cx);
        let reply = if exists == Reply::yes(true) { shown } else { Reply::Nil };
        match follow {
            Follow::Adrift(next) => Box::pin(self.after_all(reply, next, now, to, cx)).await,
            follow => follow.after(to.reply(reply)),
        }
    }

    /// The expiry timer has fired, or a life without a value has lasted long enough.
    pub async fn woken<S: Version>(
        &mut self,
        info: Info<Due>,
        cx: &mut Context<S>,
    ) -> Result<incarnate::Next> {
        if let Info::Timer(timer, _) = info
            && self.timer.take_if(|mine| *mine == timer).is_none()
        {
            self.overdue = self.overdue.saturating_sub(1);
        }
        if self.place.table.is_none() {
            Box::pin(self.place.find_table()).await?;
        }
        let now = clock::now();
        let next = self.value.timer_fired(now);
        if let Info::Timeout = info
            && next == Next::End
        {
            // It has lingered long enough.
            return if self.place.retire(cx) { stop(ExitReason::Normal) } else { noreply().timeout(LINGER) };
        }
        match self.follow(next, now, cx) {
            Follow::Stay | Follow::Adrift(_) => noreply().hibernate(),
            Follow::Linger => noreply().timeout(LINGER),
            Follow::End => stop(ExitReason::Normal),
        }
    }

    fn follow<S: Version>(&mut self, next: Next, now: UnixMillis, cx: &Context<S>) -> Follow {
        if self.place.table.is_none() {
            return Follow::Adrift(next);
        }
        self.place.mark(next != Next::End);
        self.set_timer(next, now, cx);
        match next {
            Next::End if self.place.life == 1 && self.overdue == 0 && self.place.retire(cx) => Follow::End,
            // What waits in the mailbox or is on its way there comes first, and may bring the key back. It need not be a
            // request: a change of the code waits there too, and nothing might come after it.
            Next::End => Follow::Linger,
            _ => Follow::Stay,
        }
    }

    fn set_timer<S: Version>(&mut self, next: Next, now: UnixMillis, cx: &Context<S>) {
        if next == Next::Live {
            return;
        }
        if let Some(timer) = self.timer.take()
            && cx.cancel_timer(timer).is_none()
        {
            self.overdue += 1;
        }
        if let Next::Arm(at) = next {
            let millis = at.0.saturating_sub(now.0).clamp(1, FAR);
            self.timer = Some(cx.start_timer(Duration::from_millis(millis.unsigned_abs()), Due));
        }
    }
}

/// The node's view of a key's process, for `OTP.INFO`.
pub fn inspect(node: &Node, server: &KeyRef, life: u32) -> Option<Reply> {
    let info = node.process_info(server.pid())?;
    let number = |number: u64| Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    Some(Reply::Array(vec![
        Reply::text("pid"),
        Reply::Bulk(info.pid.to_string().into()),
        Reply::text("incarnation"),
        number(life.into()),
        Reply::text("version"),
        number(info.code.map_or(0, |code| code.vsn().into())),
        Reply::text("mailbox-length"),
        number(info.mailbox_len),
        Reply::text("messages-handled"),
        number(info.messages_handled),
        Reply::text("restarts"),
        number(u64::from(life) - 1),
    ]))
}
