//! The process of one connection: a state machine that reads requests, has them carried out, and writes the replies in order.
//!
//! | state | |
//! |---|---|
//! | [`Opening`] | looks for the keys |
//! | [`Open`](open::Open) | reads and answers |
//! | [`Closing`] | everything is said: waits until the client has read it |
//!
//! It traps exits. When its supervisor tells it to end, it answers what has come, then ends.

mod open;
mod output;
pub mod pipeline;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use incarnate::gen_statem::{
    Actions, Context, Enter, Event, EventActions, EventOf, GenStatem, Init, StateFunction, StateFunctions,
    StatemRefOf, Transition, keep_state, next_state, stop,
};
use incarnate::{ExitReason, Info, Never, Result, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::keys::Keys;
use crate::service::{Client, Service};
use open::Open;

/// How long a client that has sent more has to read the last reply and to close. Who closes with bytes unread has the kernel
/// throw away what is still on its way to the other side.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read at once to be thrown away.
const THROWN_AWAY: usize = 4 * 1024;

/// A reference to the process of a connection.
pub type ConnectionRef = StatemRefOf<Connection>;

/// What a connection is started with.
pub struct Accepted {
    /// The client.
    pub socket: TcpStream,
    /// The service that it came to.
    pub service: Arc<Service>,
    /// Counts it as long as it is there.
    pub client: Client,
}

/// Starts the process of a connection, linked to the one whose code asks.
pub async fn start_link(accepted: Accepted) -> Result<ConnectionRef, StartError> {
    Connection::start_link(accepted).await
}

/// What all states have.
pub struct Connection {
    socket: OwnedWriteHalf,
    /// While nothing is read.
    half: Option<OwnedReadHalf>,
    service: Arc<Service>,
    client: Client,
}

impl Connection {
    /// Waits for bytes, as long as a client may say nothing.
    fn wait<T: Actions<Self>>(&self, transition: T) -> T {
        match self.service.idle_timeout() {
            Some(after) => transition.event_timeout(after, ()),
            None => transition,
        }
    }

    /// Whether nothing that the client has sent is left behind.
    fn has_read_all(&self) -> bool {
        !matches!(self.socket.as_ref().try_read(&mut [0]), Ok(1..))
    }
}

/// Something was read.
pub struct Read {
    half: OwnedReadHalf,
    bytes: BytesMut,
    read: io::Result<usize>,
}

/// Looks for the keys.
#[derive(PartialEq)]
pub struct Opening;

/// Everything is said.
#[derive(PartialEq)]
pub struct Closing;

incarnate::state_functions! {
    /// Where a connection stands.
    #[derive(PartialEq)]
    pub enum State of Connection { Opening, Open, Closing }
}

impl GenStatem for Connection {
    type Args = Accepted;
    type State = State;
    type Call = Never;
    type Cast = Never;
    type Info = Read;
    type Internal = ();
    type Timer = Never;
    type Mode = StateFunctions;

    const STATE_ENTER: bool = true;

    async fn init(accepted: Accepted, cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        let Accepted { socket, service, client } = accepted;
        let (half, socket) = socket.into_split();
        let connection = Connection { socket, half: Some(half), service, client };
        // The supervisor starts others meanwhile.
        Ok(Init::ready(Opening.into(), connection).next_event(Event::Internal(())))
    }

    async fn terminate(
        &mut self,
        reason: &ExitReason,
        state: &mut State,
        _: &mut Context<Self>,
    ) -> Result<()> {
        if let (ExitReason::Shutdown, State::Open(open)) = (reason, state) {
            // Whether that goes well or not, this is the end.
            let _drained = open.drain(self).await;
        }
        Ok(())
    }
}

impl StateFunction<Connection> for Opening {
    async fn handle(
        &mut self,
        _: EventOf<Connection>,
        _: &mut Connection,
        _: &mut Context<Connection>,
    ) -> Result<Transition<Connection>> {
        // The tree below which this runs holds the keys, so they are there unless everything ends.
        match Keys::connect().await {
            Ok(keys) => next_state(Open::new(keys).into()),
            Err(_) => stop(ExitReason::Normal),
        }
    }
}

impl StateFunction<Connection> for Closing {
    async fn enter(
        &mut self,
        _: Option<&mut State>,
        connection: &mut Connection,
        cx: &mut Context<Connection>,
    ) -> Result<Enter<Connection>> {
        // A client that has gone is no error.
        let _shut = connection.socket.shutdown().await;
        if let Some(half) = connection.half.take() {
            cx.attach(read(half, BytesMut::new(), THROWN_AWAY));
        }
        keep_state().state_timeout(LINGER, ())
    }

    async fn handle(
        &mut self,
        event: EventOf<Connection>,
        _: &mut Connection,
        cx: &mut Context<Connection>,
    ) -> Result<Transition<Connection>> {
        match event {
            // Nobody answers it any more.
            Event::Info(Info::User(Read { half, mut bytes, read: Ok(1..) })) => {
                bytes.clear();
                cx.attach(read(half, bytes, THROWN_AWAY));
                keep_state()
            }
            _ => stop(ExitReason::Normal),
        }
    }
}

/// Reads what there is, at least `room` bytes if they have come. A connection that has sent nothing yet, or has paused, costs
/// no buffer.
async fn read(mut half: OwnedReadHalf, mut bytes: BytesMut, room: usize) -> Read {
    let read = async {
        if bytes.capacity() == 0 {
            half.readable().await?;
        }
        bytes.reserve(room);
        half.read_buf(&mut bytes).await
    };
    let read = read.await;
    Read { half, bytes, read }
}
