//! Aliases whose messages come from another node.

use bytes::Bytes;
use incarnate::process::{Alias, AliasMode};
use incarnate::{ExitReason, Info, Name, Never, Node, Process};
use serde::{Deserialize, Serialize};

use crate::pair::Pair;
use crate::probe::{in_time, inside};

/// What the owner of an alias takes, by the alias or by its reference.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Note {
    Said(u32),
    Large(Bytes),
}

/// Sends by an alias, and then by the reference: what comes of the first is there when the second is.
#[derive(Serialize, Deserialize)]
struct Send(Alias<Note>, incarnate::ProcessRef<Note>, Note, u32);

const SENDER: Name<Never, Never, Send> = Name::new("sender");

async fn sender(pair: &Pair) -> incarnate::ProcessRef<Send> {
    pair.on_a.expose(SENDER);
    let sender = pair.a.spawn(|mut me: Process<Send>| async move {
        loop {
            if let Info::User(Send(alias, owner, note, end)) = me.receive().await {
                alias.send(note);
                owner.send(Note::Said(end));
            }
        }
    });
    let registered = sender.clone();
    inside(&pair.a, move |me: Process<()>| async move { me.register(SENDER, &registered).unwrap() }).await;
    sender
}

/// Runs `code` as a process of b that has an alias; says whether a message of node a through it arrives.
struct Owner {
    there: incarnate::node::RemoteName<Never, Never, Send>,
}

impl Owner {
    async fn reaches(&self, me: &mut Process<Note>, alias: &Alias<Note>) -> bool {
        self.there.send(Send(alias.clone(), me.as_ref(), Note::Said(1), 2));
        let first = match me.receive().await {
            Info::User(note) => note,
            other => panic!("{other:?}"),
        };
        if first == Note::Said(2) {
            return false;
        }
        assert_eq!(first, Note::Said(1));
        assert!(matches!(me.receive().await, Info::User(Note::Said(2))));
        true
    }
}

fn owner(pair: &Pair) -> Owner {
    Owner { there: SENDER.at(&pair.b, pair.a.id()) }
}

async fn down(me: &mut Process<Note>) -> ExitReason {
    match me.receive().await {
        Info::Down(down) => down.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pr_066_alias_bif_of_a_remote_sender() {
    let pair = Pair::connected().await;
    sender(&pair).await;
    let owner = owner(&pair);
    in_time(inside(&pair.b, move |mut me: Process<Note>| async move {
        let explicit = me.alias(AliasMode::ExplicitUnalias);
        assert!(owner.reaches(&mut me, &explicit).await);
        assert!(owner.reaches(&mut me, &explicit).await);
        assert!(me.unalias(explicit.reference()));
        assert!(!owner.reaches(&mut me, &explicit).await);
        let reply = me.alias(AliasMode::Reply);
        assert!(owner.reaches(&mut me, &reply).await);
        assert!(!owner.reaches(&mut me, &reply).await);
    }))
    .await;
}

#[tokio::test]
async fn pr_072_demonitor_aliasmonitor_of_a_remote_sender() {
    let pair = Pair::connected().await;
    let watched = sender(&pair).await.pid();
    let owner = owner(&pair);
    in_time(inside(&pair.b, move |mut me: Process<Note>| async move {
        for (mode, lives) in [(AliasMode::ExplicitUnalias, true), (AliasMode::Demonitor, false)] {
            let (reference, alias) = me.monitor_alias(watched, mode);
            assert!(owner.reaches(&mut me, &alias).await);
            assert!(me.demonitor(reference));
            assert_eq!(owner.reaches(&mut me, &alias).await, lives);
        }
        // The reply ends the monitor, too: the sender's end is nobody's news.
        let (reference, alias) = me.monitor_alias(watched, AliasMode::ReplyDemonitor);
        assert!(owner.reaches(&mut me, &alias).await);
        assert!(!me.demonitor(reference));
        assert!(!owner.reaches(&mut me, &alias).await);
    }))
    .await;
}

#[tokio::test]
async fn pr_073_down_aliasmonitor_of_a_remote_sender() {
    let pair = Pair::connected().await;
    sender(&pair).await;
    let (owner, a) = (owner(&pair), pair.a.clone());
    in_time(inside(&pair.b, move |mut me: Process<Note>| async move {
        for (mode, lives) in [(AliasMode::ExplicitUnalias, true), (AliasMode::Demonitor, false)] {
            let watched = crate::probe::idle(&a).pid();
            let (_, alias) = me.monitor_alias(watched, mode);
            me.exit(watched, ExitReason::Kill);
            assert_eq!(down(&mut me).await, ExitReason::Killed);
            assert_eq!(owner.reaches(&mut me, &alias).await, lives);
        }
    }))
    .await;
}

/// The aliases outlive the node that was watched, or not, and are used by a third one.
#[tokio::test]
async fn pr_070_monitor_alias_noconnection() {
    let pair = Pair::connected().await;
    sender(&pair).await;
    let (owner, lost) = (owner(&pair), Node::new("lost"));
    let on_lost = crate::pair::distribution(&lost).start().await.unwrap();
    in_time(on_lost.connect(pair.on_b.address().unwrap())).await.unwrap();
    let (watched, on_b) = (crate::probe::idle(&lost).pid(), pair.on_b.clone());
    in_time(inside(&pair.b, move |mut me: Process<Note>| async move {
        while on_b.nodes().len() < 2 {
            tokio::task::yield_now().await;
        }
        let modes = [AliasMode::ExplicitUnalias, AliasMode::Demonitor, AliasMode::ReplyDemonitor];
        let aliases = modes.map(|mode| me.monitor_alias(watched, mode).1);
        on_lost.stop().await;
        for _ in modes {
            assert_eq!(down(&mut me).await, ExitReason::NoConnection);
        }
        for (alias, lives) in aliases.iter().zip([true, false, false]) {
            assert_eq!(owner.reaches(&mut me, alias).await, lives);
        }
    }))
    .await;
}

#[tokio::test]
async fn pr_075_dist_frag_unaliased_a_large_message_through_a_dead_alias_is_dropped() {
    let pair = Pair::connected().await;
    sender(&pair).await;
    let (there, before) = (SENDER.at(&pair.b, pair.a.id()), pair.b.dead_letters());
    in_time(inside(&pair.b, move |mut me: Process<Note>| async move {
        let alias = me.alias(AliasMode::ExplicitUnalias);
        let large = || Note::Large(Bytes::from(vec![7; 1 << 20]));
        there.send(Send(alias.clone(), me.as_ref(), large(), 1));
        assert!(matches!(me.receive().await, Info::User(Note::Large(bytes)) if bytes.len() == 1 << 20));
        assert!(matches!(me.receive().await, Info::User(Note::Said(1))));
        me.unalias(alias.reference());
        there.send(Send(alias, me.as_ref(), large(), 2));
        assert!(matches!(me.receive().await, Info::User(Note::Said(2))));
    }))
    .await;
    // Silently: it is not even a dead letter.
    assert_eq!(pair.b.dead_letters(), before);
}
