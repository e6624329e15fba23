//! Dynamic supervisors: OTP's simple_one_for_one, with Elixir's bound.

use std::sync::Arc;

use incarnate::supervisor::{
    ChildType, Counts, DynamicSupervisorName, DynamicSupervisorRef, LookupError, Restart, Shutdown,
    StartChildError, TerminateChildError,
};
use incarnate::{
    CallError, DynamicSupervisor, ExitReason, Me, Process, ProcessRef, StartError, Supervisor, SupervisorRef,
};

use crate::nursery::{Deed, Kid, Nursery, Start, end_of, secs, world};

type Kids = DynamicSupervisorRef<&'static str, Kid>;

const KIDS: DynamicSupervisorName<&'static str, Kid> = DynamicSupervisorName::new("kids");

fn kids(nursery: &Nursery) -> DynamicSupervisor<&'static str, Kid> {
    let nursery = nursery.clone();
    DynamicSupervisor::new("kids", move |id: &'static str| nursery.clone().start(id)).intensity(2, secs(60))
}

async fn shown(nursery: &Nursery, kids: &Kids) -> String {
    nursery.show(&kids.which_children().await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn sup_006_007_ignored_children_are_not_kept() {
    for restart in [Restart::Temporary, Restart::Permanent] {
        world(move |mut me, nursery| async move {
            nursery.starts("a", [Start::Ignore]);
            let kids = kids(&nursery).restart(restart).start_link().await.unwrap();
            assert_eq!(kids.start_child("a").await.unwrap_err(), StartChildError::Ignore);
            assert_eq!(kids.count_children().await.unwrap(), Counts { specs: 1, ..Counts::default() });
            me.exit(kids.pid(), ExitReason::Shutdown);
            assert_eq!(end_of(&mut me, kids.pid()).await, ExitReason::Shutdown);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn sup_012_start_child_returns_error() {
    world(|_, nursery| async move {
        nursery.starts("a", [Start::Fail, Start::Panic]);
        let kids = kids(&nursery).start_link().await.unwrap();
        let failed = StartError::Failed(ExitReason::term("failed"));
        assert_eq!(kids.start_child("a").await.unwrap_err(), StartChildError::Failed(failed));
        let error = kids.start_child("a").await.unwrap_err();
        assert!(matches!(error, StartChildError::Failed(StartError::Failed(_))), "{error:?}");
        assert_eq!(kids.count_children().await.unwrap().workers, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_014_childspec_is_the_template() {
    world(|me, nursery| async move {
        let kids = kids(&nursery).shutdown(Shutdown::BrutalKill).start_link().await.unwrap();
        let a = kids.start_child("a").await.unwrap();
        let b = kids.start_child("b").await.unwrap();
        let template = kids.get_childspec(a.pid()).await.unwrap();
        assert_eq!(template.shutdown(), Shutdown::BrutalKill);
        assert_eq!(kids.get_childspec(b.pid()).await.unwrap(), template);
        assert_eq!(kids.get_childspec(me.pid()).await.unwrap_err(), LookupError::NotFound);
        assert_eq!(kids.which_child(a.pid()).await.unwrap().child_type, ChildType::Worker);
        assert_eq!(kids.which_child(me.pid()).await.unwrap_err(), LookupError::NotFound);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_024_027_terminate_by_pid() {
    world(|me, nursery| async move {
        let kids = kids(&nursery).start_link().await.unwrap();
        let a = kids.start_child("a").await.unwrap();
        kids.terminate_child(a.pid()).await.unwrap();
        assert!(!a.is_alive());
        // A process that is dead already cannot be told from a child that has just gone.
        kids.terminate_child(a.pid()).await.unwrap();
        let stranger = me.spawn(|mut me: Process<()>| async move {
            me.receive().await;
        });
        assert_eq!(kids.terminate_child(stranger.pid()).await.unwrap_err(), TerminateChildError::NotFound);
        assert!(stranger.is_alive());
        assert_eq!(kids.count_children().await.unwrap(), Counts { specs: 1, ..Counts::default() });
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_025_dead_supervisor() {
    world(|_, nursery| async move {
        let kids = kids(&nursery).name(KIDS).start_link().await.unwrap();
        assert_eq!(DynamicSupervisorRef::named(KIDS).unwrap().pid(), kids.pid());
        kids.stop().await.unwrap();
        assert_eq!(kids.start_child("a").await.unwrap_err(), StartChildError::Call(CallError::NoProc));
        assert_eq!(DynamicSupervisorRef::named(KIDS).unwrap_err(), CallError::NoProc);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_051_simple_one_for_one() {
    world(|mut me, nursery| async move {
        let kids = kids(&nursery).start_link().await.unwrap();
        kids.start_child("a").await.unwrap();
        kids.start_child("b").await.unwrap();
        nursery.crash("b").await;
        assert_eq!(shown(&nursery, &kids).await, "b#2 a#1");
        nursery.crash("a").await;
        assert_eq!(shown(&nursery, &kids).await, "b#2 a#2");
        nursery.crash("a").await;
        assert_eq!(end_of(&mut me, kids.pid()).await, ExitReason::Shutdown);
        assert!(!nursery.at("b").is_alive());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_052_restart_ignore() {
    for restart in [Restart::Transient, Restart::Permanent] {
        world(move |_, nursery| async move {
            nursery.starts("a", [Start::Ok, Start::Ignore]);
            let kids = kids(&nursery).restart(restart).start_link().await.unwrap();
            kids.start_child("a").await.unwrap();
            nursery.crash("a").await;
            assert_eq!(shown(&nursery, &kids).await, "");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn sup_054_extra() {
    world(|_, nursery| async move {
        let starts = nursery.clone();
        let kids = DynamicSupervisor::new("kids", move |id: &'static str| {
            let starts = starts.clone();
            async move { Ok::<_, StartError>((starts.start(id).await?, format!("for {id}"))) }
        });
        let kids = kids.start_link().await.unwrap();
        let (a, extra): (Kid, String) = kids.start_child("a").await.unwrap();
        assert_eq!((a.pid(), extra.as_str()), (nursery.at("a").pid(), "for a"));
        nursery.crash("a").await;
        assert_eq!(nursery.show(&kids.which_children().await.unwrap()), "a#2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_056_escalation() {
    world(|mut me, nursery| async move {
        nursery.starts_once("a");
        let kids = kids(&nursery).start_link().await.unwrap();
        kids.start_child("a").await.unwrap();
        let b = kids.start_child("b").await.unwrap();
        nursery.crash("a").await;
        assert_eq!(end_of(&mut me, kids.pid()).await, ExitReason::Shutdown);
        assert!(!b.is_alive());
    })
    .await;
}

async fn worker(_: u32) -> Result<ProcessRef<Deed>, StartError> {
    let me = Me::current().ok_or(StartError::NoParent)?;
    Ok(me.spawn_link(|mut me: Process<Deed>| async move {
        me.receive().await;
    }))
}

/// Counts agree with the list for many children, and fall to none when all have died.
async fn counts(child_type: ChildType, many: u32) {
    world(move |_, _| async move {
        let kids = DynamicSupervisor::temporary("kids", worker).child_type(child_type);
        let kids = kids.start_link().await.unwrap();
        let mut all = Vec::new();
        for kid in 0..many {
            all.push(kids.start_child(kid).await.unwrap());
        }
        let counts = kids.count_children().await.unwrap();
        let (workers, supervisors) = match child_type {
            ChildType::Worker => (many as usize, 0),
            ChildType::Supervisor => (0, many as usize),
        };
        assert_eq!(counts, Counts { specs: 1, active: many as usize, supervisors, workers });
        assert_eq!(kids.which_children().await.unwrap().len(), many as usize);
        for kid in all {
            kid.node().exit(kid.pid(), ExitReason::Kill);
            kid.ended().await;
        }
        assert_eq!(kids.count_children().await.unwrap(), Counts { specs: 1, ..Counts::default() });
        assert!(kids.which_children().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_062_count_children() {
    counts(ChildType::Worker, 1000).await;
    counts(ChildType::Worker, 2000).await;
}

#[tokio::test(start_paused = true)]
async fn sup_063_count_children_supervisor() {
    counts(ChildType::Supervisor, 1000).await;
}

#[tokio::test(start_paused = true)]
async fn sup_055_066_arguments_of_temporary_children_are_not_kept() {
    world(|_, _| async move {
        let start = |_: Arc<str>| worker(0);
        let argument: Arc<str> = "argument".into();
        let temporary = DynamicSupervisor::temporary("kids", start).start_link().await.unwrap();
        temporary.start_child(argument.clone()).await.unwrap();
        assert_eq!(Arc::strong_count(&argument), 1);
        let chosen = DynamicSupervisor::new("kids", start).restart(Restart::Temporary);
        let chosen = chosen.start_link().await.unwrap();
        chosen.start_child(argument.clone()).await.unwrap();
        assert_eq!(Arc::strong_count(&argument), 1);
        let permanent = DynamicSupervisor::new("kids", start).start_link().await.unwrap();
        let kid = permanent.start_child(argument.clone()).await.unwrap();
        assert_eq!(Arc::strong_count(&argument), 2);
        permanent.terminate_child(kid.pid()).await.unwrap();
        assert_eq!(Arc::strong_count(&argument), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_066_start_functions_of_temporary_children_are_not_kept() {
    use incarnate::supervisor::Strategy;
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        world(move |_, nursery| async move {
            let supervisor = Supervisor::tree("s").strategy(strategy).start_link().await.unwrap();
            for (restart, kept) in [(Restart::Temporary, 1), (Restart::Transient, 2)] {
                let argument: Arc<str> = "argument".into();
                let (starts, held) = (nursery.clone(), argument.clone());
                let id = restart.to_string();
                let child = incarnate::ChildSpec::worker(id.clone(), move || {
                    let starts = starts.clone();
                    starts.start(held.to_string())
                });
                supervisor.start_child(child.restart(restart)).await.unwrap();
                assert_eq!(Arc::strong_count(&argument), kept, "{restart}");
                supervisor.terminate_child(id.as_str()).await.unwrap();
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_temporary_children_are_started_with_need_not_be_cloned() {
    struct Socket(&'static str);
    world(|_, nursery| async move {
        let starts = nursery.clone();
        let start = move |socket: Socket| starts.clone().start(socket.0);
        let kids = DynamicSupervisor::temporary("kids", start).start_link().await.unwrap();
        kids.start_child(Socket("a")).await.unwrap();
        nursery.crash("a").await;
        assert_eq!(kids.count_children().await.unwrap().workers, 0);
    })
    .await;
}

/// How long it takes to start and terminate so many children.
async fn start_and_terminate(
    kids: &DynamicSupervisorRef<u32, ProcessRef<Deed>>,
    many: u32,
) -> std::time::Duration {
    let begin = std::time::Instant::now();
    let mut all = Vec::new();
    for kid in 0..many {
        all.push(kids.start_child(kid).await.unwrap());
    }
    for kid in all {
        kids.terminate_child(kid.pid()).await.unwrap();
    }
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn sup_086_many_children() {
    world(|_, _| async move {
        let kids = DynamicSupervisor::new("kids", worker).start_link().await.unwrap();
        start_and_terminate(&kids, 100).await;
        let few = start_and_terminate(&kids, 200).await;
        let many = start_and_terminate(&kids, 20_000).await;
        // A hundred times as many; ten thousand times as long would be quadratic.
        assert!(many < few * 1000, "{few:?} for 200, {many:?} for 20,000");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn max_children_bounds_them() {
    world(|_, nursery| async move {
        nursery.starts_once("b");
        let kids = kids(&nursery).intensity(u32::MAX, secs(60)).max_children(2).start_link().await.unwrap();
        kids.start_child("a").await.unwrap();
        let b = kids.start_child("b").await.unwrap();
        assert_eq!(kids.start_child("c").await.unwrap_err(), StartChildError::MaxChildren);
        // One that waits for its restart counts.
        nursery.crash("b").await;
        assert_eq!(kids.start_child("c").await.unwrap_err(), StartChildError::MaxChildren);
        kids.terminate_child(b.pid()).await.unwrap();
        kids.start_child("c").await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dynamic_supervisors_are_children_and_have_children_that_supervise() {
    world(|_, nursery| async move {
        let starts = nursery.clone();
        let teams = DynamicSupervisor::new("teams", move |id: &'static str| {
            Supervisor::tree(id).child(starts.worker(id)).start_link()
        });
        let teams = teams.child_type(ChildType::Supervisor);
        let tree = Supervisor::tree("top").child(kids(&nursery).name(KIDS));
        assert_eq!(
            tree.to_string(),
            "top supervisor one_for_one\n  kids supervisor simple_one_for_one permanent\n"
        );
        let top = tree.start_link().await.unwrap();
        let teams = top.start_child(teams).await.unwrap();
        let red: SupervisorRef = teams.start_child("red").await.unwrap();
        let joe = DynamicSupervisorRef::named(KIDS).unwrap().start_child("joe").await.unwrap();
        let live = top.tree().await.unwrap();
        let [kids, teams] = live.children() else { panic!("{live}") };
        assert_eq!(kids.children()[0].pid(), Some(&joe.pid()));
        assert_eq!(teams.children()[0].pid(), Some(&red.pid()));
        assert_eq!(teams.children()[0].children()[0].pid(), Some(&nursery.at("red").pid()));
    })
    .await;
}
