//! What nodes say to each other about shards.

use std::sync::Arc;

use incarnate_shards::{
    Asked, Mail, Member, Record, Reply, Request, SessionId, ShardId, Streamed, ToOwner, ToStandby,
};
use serde::{Deserialize, Serialize};

use super::address::Body;
use super::manager;
use super::shared::Shared;
use super::states::States;
use crate::process::AnyProcess;
use crate::process::elsewhere::{Intake, NotTaken, Sort, intake};
use crate::process::wire;
use crate::term::Never;

/// The name that shards have on each node.
pub(super) const NAME: &str = "incarnate_shards";

/// Messages about shards, in order, and who has sent them.
#[derive(Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) from: Member,
    pub(super) packets: Vec<(ShardId, Packet)>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum Packet {
    ToStandby(Streamed<ToStandby<States>>),
    ToOwner(Streamed<ToOwner>),
    Asks(Asks),
    Reply(u64, Reply<Body>),
    Mail(Mail<Body>),
    /// This is in force, or was.
    Record(Record),
}

/// What a client asks of an owner.
#[derive(Serialize, Deserialize)]
pub(super) enum Asks {
    Open { nonce: u64 },
    Renew { nonce: u64, session: SessionId },
    Request(Request<Body>),
}

impl From<Asked<Body>> for Asks {
    fn from(asked: Asked<Body>) -> Self {
        match asked {
            Asked::Open { nonce } => Asks::Open { nonce },
            Asked::Renew { nonce, session } => Asks::Renew { nonce, session },
            Asked::Request(request) => Asks::Request(request),
        }
    }
}

impl Packet {
    /// Whether it is so large that messages are not to wait for it.
    pub(super) fn is_bulk(&self) -> bool {
        matches!(self, Packet::ToStandby(Streamed { message: ToStandby::Image(_), .. }))
    }
}

/// Reads what comes from other nodes: letters go to their shards at once, past the process that has the name.
pub(super) struct Letters;

impl Intake for Letters {
    fn take(&self, process: Arc<dyn AnyProcess>, sort: Sort, body: &[u8]) -> Result<(), NotTaken> {
        if sort != Sort::Cast {
            return intake::<manager::Call, Never, manager::Event>().take(process, sort, body);
        }
        let shared = Shared::of(process.core().node()).ok_or(NotTaken::WrongProtocol)?;
        let letter = wire::decode::<Letter>(body).map_err(NotTaken::Unreadable)?;
        if !wire::is_lost() {
            for (shard, packet) in letter.packets {
                shared.receive(letter.from, shard, packet);
            }
        }
        Ok(())
    }
}
