//! System messages to supervisors: they are servers.

use incarnate::sys::{self, EventKind, Log};
use incarnate::{ExitReason, Supervisor, Timeout};

use crate::nursery::world;

#[tokio::test(start_paused = true)]
async fn sys_005_and_sys_007_a_supervisor_is_suspended_counted_and_logged() {
    world(|me, nursery| async move {
        let supervisor = Supervisor::tree("s").start_link().await.unwrap();
        let (node, pid, wait) = (me.node().clone(), supervisor.pid(), Timeout::default());
        sys::statistics(&node, pid, true, wait).await.unwrap();
        sys::log(&node, pid, Log::On, wait).await.unwrap();
        sys::suspend(&node, pid, wait).await.unwrap();
        let start = supervisor.start_child(nursery.worker("a"));
        let resume = async {
            assert!(!sys::get_status(&node, pid, wait).await.unwrap().is_running());
            assert_eq!(sys::get_statistics(&node, pid, wait).await.unwrap().unwrap().messages_in, 0);
            sys::resume(&node, pid, wait).await.unwrap();
        };
        let (started, ()) = tokio::join!(start, resume);
        started.unwrap();
        let counted = sys::get_statistics(&node, pid, wait).await.unwrap().unwrap();
        assert_eq!((counted.messages_in, counted.messages_out), (1, 1));
        let kinds: Vec<_> = sys::get_log(&node, pid, wait).await.unwrap().iter().map(|e| e.kind).collect();
        assert_eq!(kinds, [EventKind::Call, EventKind::Reply]);
        assert_eq!(nursery.log(), ["start a#1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sys_010_terminate_ends_a_supervisor_and_its_children() {
    world(|me, nursery| async move {
        let supervisor = Supervisor::tree("s").child(nursery.worker("a")).start_link().await.unwrap();
        let pid = supervisor.pid();
        me.unlink(pid);
        let monitor = me.monitor(pid);
        sys::terminate(me.node(), pid, ExitReason::Shutdown, Timeout::default()).await.unwrap();
        let mut me = me;
        let down = me.receive().await;
        let incarnate::Info::Down(down) = down else { panic!("{down:?}") };
        assert_eq!((down.reference, down.reason), (monitor, ExitReason::Shutdown));
        assert_eq!(nursery.log(), ["start a#1", "end a#1"]);
    })
    .await;
}
