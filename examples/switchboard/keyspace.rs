//! The process that owns the table of keys, as in Erlang a process owns an ETS table: others read it, and it goes with
//! its owner. Those that came after it in the tree are then started anew, with another table.

use std::sync::Arc;

use incarnate::{CallReply, Context, GenServer, Init, Name, Never, ReplyTo, Result};

use crate::table::Table;

/// What it is asked.
pub enum Call {
    /// The table.
    Table(ReplyTo<Arc<Table>>),
}

/// Where it is found.
pub const KEYSPACE: Name<Call> = Name::new("keyspace");

/// The owner of the table.
#[derive(Default)]
pub struct Keyspace {
    table: Arc<Table>,
}

impl GenServer for Keyspace {
    type Args = ();
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Keyspace::default()))
    }

    async fn handle_call(&mut self, call: Call, _: &mut Context<Self>) -> Result<CallReply> {
        let Call::Table(caller) = call;
        caller.reply(self.table.clone())
    }
}
