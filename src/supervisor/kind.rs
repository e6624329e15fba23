//! The two kinds of supervisors: what start_child brings, and where start functions or arguments are kept.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use incarnate_supervisors::{ChildSpec as Spec, Key, Supervisor};
use rustc_hash::FxHashMap;

use super::cause::Cause;
use super::child::{BoxFuture, Member, Starter, Up};
use super::order::{Order, Token};
use crate::gen_server::StartError;
use crate::term::{ExitReason, Pid};

pub(super) type Machine<K> = Supervisor<Pid, TokenOf<K>, Cause>;
pub(super) type TokenOf<K> = Token<<K as Kind>::Value, <K as Kind>::Starts>;
pub(super) type OrderOf<K> = Order<<K as Kind>::Child, <K as Kind>::Value, <K as Kind>::Starts>;

/// A kind of supervisor.
pub(super) trait Kind: Sized + Send + 'static {
    /// What the caller of start_child brings.
    type Child: Send + 'static;
    /// What a start function answers to that caller.
    type Value: Send + 'static;
    /// The start functions of a plan.
    type Starts: Send + 'static;

    fn new(keys: Vec<Key>, starts: Self::Starts) -> Self;

    /// Puts the start functions of a new plan in the place of the old ones.
    fn replace(&mut self, keys: Vec<Key>, starts: Self::Starts);

    /// The start functions of these children, as a plan has them.
    fn starts(&self, keys: &[Key], specs: &[Spec]) -> Self::Starts;

    /// Hands the child to the machine and keeps what starts it.
    fn start_child(
        &mut self,
        machine: &mut Machine<Self>,
        token: TokenOf<Self>,
        child: Self::Child,
        now: Duration,
    );

    /// Calls the start function.
    fn start(&mut self, key: Key, wanted: bool) -> BoxFuture<Result<Up<Self::Value>, StartError>>;

    /// Drops what starts this child.
    fn forget(&mut self, key: Key);
}

/// The kind of a supervisor whose children each have a specification of their own.
pub(super) struct Static {
    starts: FxHashMap<Key, Arc<dyn Starter>>,
}

impl Kind for Static {
    type Child = Member;
    type Value = Box<dyn Any + Send>;
    type Starts = Vec<Member>;

    fn new(keys: Vec<Key>, members: Vec<Member>) -> Self {
        let mut kind = Static { starts: FxHashMap::default() };
        kind.replace(keys, members);
        kind
    }

    fn replace(&mut self, keys: Vec<Key>, members: Vec<Member>) {
        self.starts.extend(keys.into_iter().zip(members.into_iter().map(|member| member.start)));
    }

    fn starts(&self, keys: &[Key], specs: &[Spec]) -> Vec<Member> {
        let start = |key| self.starts.get(key).cloned();
        let members = keys.iter().zip(specs);
        members
            .filter_map(|(key, spec)| Some(Member { spec: spec.clone(), start: start(key)?, shape: None }))
            .collect()
    }

    fn start_child(
        &mut self,
        machine: &mut Machine<Self>,
        token: TokenOf<Self>,
        child: Member,
        now: Duration,
    ) {
        let key = machine.handle_start_child(token, child.spec, now);
        self.starts.insert(key, child.start);
    }

    fn start(&mut self, key: Key, wanted: bool) -> BoxFuture<Result<Up<Self::Value>, StartError>> {
        match self.starts.get(&key) {
            Some(starter) => starter.start(wanted),
            None => nothing_to_start(),
        }
    }

    fn forget(&mut self, key: Key) {
        self.starts.remove(&key);
    }
}

/// The machine names only keys that it has not had forgotten; were it otherwise, the start fails.
pub(super) fn nothing_to_start<T: Send + 'static>() -> BoxFuture<Result<T, StartError>> {
    Box::pin(async { Err(StartError::Failed(ExitReason::error("undef: the start function is gone"))) })
}

/// What a supervisor is started with.
pub struct Plan<S> {
    pub(super) label: Arc<str>,
    pub(super) flags: incarnate_supervisors::Flags,
    pub(super) specs: Vec<Spec>,
    pub(super) starts: S,
}
