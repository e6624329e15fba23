//! A copy that follows an owner.

use alloc::vec::Vec;

use crate::copy::{Contents, Image, ShardCopy};
use crate::message::{Frames, Mail, Position, Streamed, ToOwner, ToStandby};
use crate::record::{LeaseId, Member};
use crate::replica::{Action, Replica, position_of};
use crate::rules::Rule;

/// What a copy knows of the stream that it follows.
#[derive(Clone, Debug)]
pub(crate) struct Standby<C: Contents> {
    /// Epoch and number of the newest stream.
    stream: (u64, u64),
    /// Whether what is held is known to stand in the history of that stream's owner.
    synced: bool,
    /// Whether it has said that something is missing, and nothing was done about it yet: once is enough.
    asked: bool,
    barrier: u64,
    /// Who is to have an acknowledgement.
    owes: Option<Member>,
    /// The mailbox of a shard that is about to come here, and where it was frozen.
    pub(crate) mailbox: Option<Mailbox<C::Body>>,
}

/// What waited for the processes of a shard when it was frozen.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox<B> {
    pub(crate) epoch: u64,
    pub(crate) position: Position,
    pub(crate) mails: Vec<Mail<B>>,
}

impl<C: Contents> Default for Standby<C> {
    fn default() -> Self {
        Standby { stream: (0, 0), synced: false, asked: false, barrier: 0, owes: None, mailbox: None }
    }
}

impl<C: Contents> Replica<C> {
    /// An owner tells this copy something.
    pub fn handle_streamed(&mut self, from: Member, said: Streamed<ToStandby<C>>) {
        let Streamed { epoch, stream, message } = said;
        let answer = |message| Streamed { epoch, stream, message };
        // R2: nothing of an older epoch is taken, nor acknowledged.
        if epoch < self.known && self.config.rules.obey(Rule::R2) {
            let refused = answer(ToOwner::Refused { epoch: self.known });
            self.actions.push_back(Action::ToOwner(from, refused));
            return;
        }
        self.known = self.known.max(epoch);
        if let Some(serving) = self.serves() {
            if epoch <= serving {
                return;
            }
            self.step_down_for(Some((from, epoch)));
        }
        let newest = self.standby.stream;
        if matches!(message, ToStandby::Hello) && (epoch, stream) > newest {
            self.standby.stream = (epoch, stream);
            self.standby.synced = false;
            self.standby.asked = false;
            self.standby.barrier = 0;
        } else if (epoch, stream) != newest && self.config.rules.obey(Rule::R2) {
            return;
        }
        if let Some(message) = self.follow(from, epoch, message) {
            self.actions.push_back(Action::ToOwner(from, answer(message)));
        }
    }

    /// Tells the owner what is held, if that was put off.
    pub(crate) fn acknowledge(&mut self) {
        let Some(owner) = self.standby.owes.take() else { return };
        let Some(copy) = self.copy.as_ref().filter(|_| self.standby.synced) else { return };
        let (epoch, stream) = self.standby.stream;
        let message = ToOwner::Ack { n: copy.position.n, barrier: self.standby.barrier };
        self.actions.push_back(Action::ToOwner(owner, Streamed { epoch, stream, message }));
    }

    fn follow(&mut self, owner: Member, epoch: u64, message: ToStandby<C>) -> Option<ToOwner> {
        let have = ToOwner::Have { position: position_of(self.copy.as_ref()), reads: self.config.reads };
        match message {
            ToStandby::Hello => return Some(have),
            ToStandby::Continue => (self.standby.synced, self.standby.asked) = (true, false),
            ToStandby::Frames(frames) => match self.apply(frames, epoch) {
                Applied::Yes => {}
                Applied::Gap if self.standby.asked => return None,
                Applied::Gap => {
                    self.standby.asked = true;
                    return Some(have);
                }
                Applied::Unreadable => return Some(ToOwner::Unreadable { reads: self.config.reads }),
            },
            ToStandby::Image(image) => {
                self.standby.asked = false;
                if !self.replace(image) {
                    return Some(ToOwner::Unreadable { reads: self.config.reads });
                }
            }
            ToStandby::Barrier(barrier) => self.standby.barrier = self.standby.barrier.max(barrier),
            ToStandby::Final { position, mailbox: mails } => {
                let here = self.standby.synced && position_of(self.copy.as_ref()) == Some(position);
                if !here {
                    return Some(have);
                }
                // It could not serve, and is asked again.
                if self.config.mode.needs_lease() && self.lease.0 == LeaseId::NONE {
                    return None;
                }
                self.standby.mailbox = Some(Mailbox { epoch: self.known, position, mails });
                return Some(ToOwner::Final { position, lease: self.lease.0 });
            }
        }
        // One acknowledgement for all that comes in a row.
        self.standby.owes = Some(owner);
        self.come_soon();
        None
    }

    /// Applies what comes next of these.
    fn apply(&mut self, Frames { prev, wire, frames }: Frames<C>, epoch: u64) -> Applied {
        let synced = self.standby.synced;
        let rules = self.config.rules;
        let Some(copy) = &mut self.copy else { return Applied::Gap };
        let held = copy.position;
        // Those that are held already; of what an earlier one lacks, a later one has what counts.
        let known = if synced { held.n.saturating_sub(prev.n) } else { 0 };
        if known > 0 && known >= frames.len() as u64 {
            return Applied::Yes;
        }
        // R12: a number alone may be another epoch's.
        let next = match rules.obey(Rule::R12) {
            true => known > 0 || prev == held,
            false => prev.n + known == held.n,
        };
        if !next {
            return Applied::Gap;
        }
        // R35: an acknowledgement says that this could be served.
        let reads = wire <= self.config.reads;
        if !reads && rules.obey(Rule::R35) {
            return Applied::Unreadable;
        }
        self.standby.synced = true;
        for frame in frames.into_iter().skip(known as usize) {
            let position = Position { epoch, n: copy.position.n + 1 };
            if !reads {
                copy.position = position;
            } else if copy.apply(frame.delta.as_ref(), frame.writes, wire, position).is_err() {
                // It follows on what is held here, and what is held is not what it should be.
                self.copy = None;
                return Applied::Unreadable;
            }
        }
        Applied::Yes
    }

    /// Takes a whole copy instead of what is held; answers whether it can be read.
    fn replace(&mut self, image: Image<C>) -> bool {
        let older = self.copy.as_ref().is_some_and(|copy| image.position <= copy.position);
        if self.standby.synced && older {
            return true;
        }
        match ShardCopy::read(&self.empty, image, self.config.reads) {
            Ok(copy) => self.copy = Some(copy),
            Err(_) => return false,
        }
        self.standby.synced = true;
        true
    }
}

enum Applied {
    Yes,
    Gap,
    Unreadable,
}
