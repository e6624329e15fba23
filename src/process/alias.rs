//! Aliases: addresses of a process that can be made to lead nowhere.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::address::{Message, ServerCell, ServerRef};
use super::cell::Process;
use super::death;
use super::elsewhere::Wire;
use super::envelope::Envelope;
use super::relations::{AliasEntry, AliasMode};
use crate::term::{AliasRef, Never};

/// An address of a process that works until it is taken back (`erlang:alias/1`): a message through it afterwards
/// vanishes silently. It may travel to other nodes, like a reference.
pub struct Alias<Info, Call = Never, Cast = Never> {
    cell: Arc<ServerCell<Call, Cast, Info>>,
    reference: AliasRef,
}

impl<Info, Call, Cast> Alias<Info, Call, Cast>
where
    Call: Send + 'static,
    Cast: Send + 'static,
    Info: Send + 'static,
{
    pub(crate) fn new(owner: &ServerRef<Call, Cast, Info>, mode: AliasMode) -> Self {
        let cell = owner.cell().clone();
        let reference = AliasRef(cell.core().node().next_reference());
        cell.core().relations().rare_mut().aliases.insert(reference, AliasEntry { mode, monitor: None });
        Alias { cell, reference }
    }

    pub(crate) fn of(owner: &ServerRef<Call, Cast, Info>, reference: AliasRef) -> Self {
        Alias { cell: owner.cell().clone(), reference }
    }

    /// The alias's reference, to take it back by.
    pub fn reference(&self) -> AliasRef {
        self.reference
    }

    /// Sends a message, in order with everything else that the sender sends to the process.
    pub fn send(&self, message: Info) {
        let message = Message::Info(message);
        match self.cell.outlet() {
            // What cannot be sent vanishes, as what comes there too late.
            Some(outlet) => _ = outlet.send_by(self.reference, message),
            None => self.put(message),
        }
    }

    /// Puts a message into the mailbox, if the alias is alive.
    pub(crate) fn put(&self, message: Message<Call, Cast, Info>) {
        let mut relations = self.cell.core().relations();
        let Some(rare) = relations.existing_rare() else { return };
        let Some(entry) = rare.aliases.get(&self.reference).copied() else { return };
        let mut fulfilled = None;
        if entry.mode.ends_with_reply() {
            // The first message is the reply: the alias is done, and the monitor that was set for it.
            rare.aliases.remove(&self.reference);
            fulfilled = entry
                .monitor
                .filter(|_| entry.mode == AliasMode::ReplyDemonitor)
                .and_then(|monitor| rare.monitors.remove(monitor).map(|m| (monitor, m)));
        }
        // Under the lock: after unalias has returned nothing comes. What is refused is dropped after it, silently, as a
        // message to any dead alias.
        let pushed = self.cell.push_then(Envelope::User(message));
        drop(relations);
        if let Some((reference, monitor)) = fulfilled {
            death::forget(reference, &monitor);
        }
        if let Ok(next) = pushed {
            next.run();
        }
    }
}

impl<Info, Call, Cast> Clone for Alias<Info, Call, Cast> {
    fn clone(&self) -> Self {
        Alias { cell: self.cell.clone(), reference: self.reference }
    }
}

impl<Info: Wire, Call: Wire, Cast: Wire> Serialize for Alias<Info, Call, Cast> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (ServerRef::of(self.cell.clone()), self.reference).serialize(serializer)
    }
}

impl<'de, Info: Wire, Call: Wire, Cast: Wire> Deserialize<'de> for Alias<Info, Call, Cast> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (owner, reference) = <(ServerRef<Call, Cast, Info>, AliasRef)>::deserialize(deserializer)?;
        Ok(Alias::of(&owner, reference))
    }
}

/// Takes an alias back; false: it was not there any more (`erlang:unalias/1`).
pub(crate) fn unalias(process: &dyn Process, alias: AliasRef) -> bool {
    process.core().relations().existing_rare().is_some_and(|rare| rare.aliases.remove(&alias).is_some())
}
