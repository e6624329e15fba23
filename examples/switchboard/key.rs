//! The process of one key.
//!
//! It is born with the value that made its key exist and ends when the key does: by `DEL`, by its expiry timer, or by a
//! crash. A crash loses the value, as a restart runs `init`: the next life begins without one.
//!
//! It hibernates between requests: among 100,000 keys most are at rest, and one at rest is a few hundred bytes in place of
//! several thousand. That is faster, too. A process that wakes runs in a shell that another has just left, which the
//! processor still has at hand; one that kept its own would have to be fetched from memory piece by piece.

use std::sync::Arc;
use std::time::Duration;

use incarnate::{
    CallReply, Context, Error, ExitReason, GenServer, Info, Init, Never, Node, ReplyTo, Result, ServerRef,
    Then, TimerRef, noreply, stop,
};

use crate::clock;
use crate::name::Name;
use crate::reply::Reply;
use crate::table::Table;
use crate::value::{KeyOp, Next, UnixMillis, Value};

/// The version of this code and of the state that it keeps.
pub const VSN: u32 = 1;

/// A life that follows a crash stays so long without a value before it ends: `OTP.INFO` can show it.
const LINGER: Duration = Duration::from_secs(60);

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

/// The state of the process.
pub struct Key {
    value: Value,
    place: Place,
    timer: Option<TimerRef>,
}

/// The process's entry in the table, which goes with it.
struct Place {
    table: Arc<Table>,
    key: Name,
    life: u32,
    present: bool,
    long: bool,
    held: bool,
}

impl Place {
    /// Leaves the table, if nothing waits in the mailbox.
    fn retire(&mut self, cx: &Context<Key>) -> bool {
        let idle = || cx.node().process_info(cx.pid()).is_some_and(|info| info.mailbox_len == 0);
        let retired = self.table.retire(&self.key, idle);
        self.held &= !retired;
        retired
    }

    fn mark(&mut self, present: bool) {
        if self.present != present {
            self.present = present;
            self.table.mark(&self.key, present);
        }
    }

    fn mark_long(&mut self, long: bool) {
        if long && !self.long {
            self.long = true;
            self.table.mark_long(&self.key);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.held {
            self.table.lost(&self.key);
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
        let Birth { table, key, value, next } = birth;
        let present = next != Next::End;
        // Another was faster: the request goes to that one.
        let long = value.is_long();
        let Some(life) = table.claim(&key, cx.server(), present, long) else { return Ok(Init::Ignore) };
        let place = Place { table, key, life, present, long, held: true };
        let mut server = Key { value, place, timer: None };
        server.set_timer(next, clock::now(), cx);
        Ok(if present { Init::Hibernate(server) } else { Init::Timeout(server, LINGER) })
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        let (op, now, to) = match call {
            Call::Apply { op, now, to } => (op, now, to),
            Call::Crash(to) => {
                drop(to);
                return Err(Error::msg("crashed by OTP.CRASH"));
            }
        };
        let (reply, next) = self.value.apply(op, now);
        self.place.mark_long(self.value.is_long());
        if next == Next::Live {
            return to.reply(reply).hibernate();
        }
        // Before the answer: who has it finds the key gone.
        let follow = self.follow(next, now, cx);
        match follow {
            Follow::Stay => to.reply(reply).hibernate(),
            Follow::Linger => to.reply(reply).timeout(LINGER),
            Follow::End => to.reply(reply).stop(ExitReason::Normal),
        }
    }

    async fn handle_info(&mut self, info: Info<Due>, cx: &mut Context<Self>) -> Result<incarnate::Next> {
        let now = clock::now();
        let next = self.value.timer_fired(now);
        if let Info::Timeout = info
            && next == Next::End
        {
            // It has lingered long enough.
            return if self.place.retire(cx) { stop(ExitReason::Normal) } else { noreply() };
        }
        match self.follow(next, now, cx) {
            Follow::Stay => noreply().hibernate(),
            Follow::Linger => noreply().timeout(LINGER),
            Follow::End => stop(ExitReason::Normal),
        }
    }
}

/// Whether the process goes on.
enum Follow {
    Stay,
    Linger,
    End,
}

impl Key {
    fn follow(&mut self, next: Next, now: UnixMillis, cx: &Context<Self>) -> Follow {
        self.place.mark(next != Next::End);
        self.set_timer(next, now, cx);
        match next {
            Next::End if self.place.life > 1 => Follow::Linger,
            // What waits in the mailbox comes first, and may bring the key back.
            Next::End if self.place.retire(cx) => Follow::End,
            _ => Follow::Stay,
        }
    }

    fn set_timer(&mut self, next: Next, now: UnixMillis, cx: &Context<Self>) {
        if next == Next::Live {
            return;
        }
        if let Some(timer) = self.timer.take() {
            cx.cancel_timer(timer);
        }
        if let Next::Arm(at) = next {
            let millis = at.0.saturating_sub(now.0).clamp(1, FAR);
            self.timer = Some(cx.send_after(Duration::from_millis(millis.unsigned_abs()), Due));
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
        number(VSN.into()),
        Reply::text("mailbox-length"),
        number(info.mailbox_len),
        Reply::text("messages-handled"),
        number(info.messages_handled),
        Reply::text("restarts"),
        number(u64::from(life) - 1),
    ]))
}
