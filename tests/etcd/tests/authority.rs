//! The promises of an authority, kept by real etcds: of one member, which the tests do everything to, and of three.

#[path = "../../support/conformance.rs"]
mod conformance;
#[path = "support/etcds.rs"]
mod etcds;
#[path = "../../support/proxy.rs"]
mod proxy;
#[path = "../../support/wait.rs"]
mod wait;

mod needs_etcd {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use incarnate::shard::authority::{
        Authority, Change, Etcd, LeaseId, Member, News, Record, Renewal, Settings, ShardId, Verdict,
    };
    use rustix::process::Signal;

    use crate::conformance::{Bench, conformance};
    use crate::etcds::{Etcds, client};
    use crate::proxy::Proxy;
    use crate::wait::{HANGS, in_time};

    conformance!(EtcdBench);

    struct EtcdBench {
        etcds: Etcds,
        proxy: Proxy,
    }

    impl Bench for EtcdBench {
        const LEASE: Duration = Duration::from_secs(4);

        async fn start() -> Self {
            let etcds = Etcds::start(1).await;
            let proxy = Proxy::to(etcds.address(0)).await;
            EtcdBench { etcds, proxy }
        }

        async fn near(&self, timeout: Duration) -> Arc<dyn Authority> {
            Arc::new(client(&[self.proxy.address()], timeout).await)
        }

        async fn direct(&self, timeout: Duration) -> Arc<dyn Authority> {
            Arc::new(client(&[self.etcds.address(0)], timeout).await)
        }

        fn proxy(&self) -> &Proxy {
            &self.proxy
        }

        async fn kill(&mut self) {
            self.etcds.kill(0);
        }

        async fn restart(&mut self) {
            self.etcds.restart(0).await;
        }

        async fn pause(&mut self) {
            self.etcds.signal(0, Signal::STOP);
        }

        async fn resume(&mut self) {
            self.etcds.signal(0, Signal::CONT);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn three_members_survive_the_loss_of_any_one() {
        let mut etcds = Etcds::start(3).await;
        let addresses: Vec<_> = (0..3).map(|at| etcds.address(at)).collect();
        let authority = client(&addresses, Duration::from_secs(1)).await;
        assert_eq!(in_time(authority.weakness()).await, Ok(None));
        let mut record: Option<Record> = None;
        // One of them leads.
        for lost in 0..3 {
            etcds.kill(lost);
            for _ in 0..5 {
                record = Some(change(&authority, record).await);
            }
            etcds.restart(lost).await;
        }
        assert_eq!(in_time(client(&addresses, HANGS).await.read(ShardId(1))).await, Ok(record));
    }

    /// The record after the next change, which is tried until it is known to be in force.
    async fn change(authority: &Etcd, before: Option<Record>) -> Record {
        let owner = Member { node: 1, creation: 1, store: None };
        let (lease, in_sync) = (LeaseId(7), BTreeSet::new());
        let none = Record { revision: 0, owner, lease, epoch: 1, in_sync, wire: 1 };
        let record = before.clone().unwrap_or(none);
        let next = Record { revision: record.revision + 1, ..record };
        let change = Change::new(ShardId(1), before.as_ref(), next.clone()).unwrap();
        in_time(async {
            loop {
                match &authority.swap(vec![change.clone()]).await[..] {
                    [Verdict::Won] => return,
                    [Verdict::Lost(Some(record))] if *record == next => return,
                    [Verdict::Unknown(_)] => {}
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
        next
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_stands_there_can_be_read_by_people() {
        let etcds = Etcds::start(1).await;
        let authority = client(&[etcds.address(0)], HANGS).await;
        let settings = Settings { shards: 8, format: 1, lease: Duration::from_secs(5) };
        in_time(authority.found(settings)).await.unwrap();
        change(&authority, None).await;
        let plain = Member { node: 0xab, creation: 7, store: None };
        let stored = Member { store: Some(9), ..plain };
        let mut leases = Vec::new();
        for (member, about) in [(plain, "one"), (stored, "two")] {
            let renewal = Renewal { member, lease: None, former: None, about: about.into() };
            leases.push(in_time(authority.renew(renewal)).await.unwrap());
        }
        assert_eq!(in_time(authority.take_token(stored)).await, Ok(stored));
        // Some that mean nothing to it, and do no harm.
        for key in ["members/ab", "members/ab.7.9.1", "records/x", "other"] {
            etcds.put(&format!("/incarnate/test/{key}"), "x").await;
        }
        let expected = [
            ("members/000000ab.00000007", "one"),
            ("members/000000ab.00000007.0000000000000009", "two"),
            (
                "records/0000000001",
                r#"{"revision":1,"owner":{"node":1,"creation":1,"store":null},"lease":7,"epoch":1,"in_sync":[],"wire":1}"#,
            ),
            ("settings", r#"{"shards":8,"format":1,"lease":{"secs":5,"nanos":0}}"#),
            ("token", r#"{"node":171,"creation":7,"store":9}"#),
        ];
        for (key, value) in expected {
            assert_eq!(etcds.get(&format!("/incarnate/test/{key}")).await.as_deref(), Some(value), "{key}");
        }
        let mut watch = authority.watch();
        assert_eq!(in_time(watch.next()).await, News::Lives(plain, leases[0], "one".into()));
        assert_eq!(in_time(watch.next()).await, News::Lives(stored, leases[1], "two".into()));
        assert!(matches!(in_time(watch.next()).await, News::Record(ShardId(1), _)));
        assert_eq!(in_time(watch.next()).await, News::Token(Some(stored)));
        assert_eq!(in_time(authority.read_all()).await.unwrap().len(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_record_that_was_written_by_hand_without_care_is_refused_by_name() {
        let etcds = Etcds::start(1).await;
        let authority = client(&[etcds.address(0)], HANGS).await;
        change(&authority, None).await;
        let key = "/incarnate/test/records/0000000001";
        let text = r#"{"revision":9,"owner":{"node":1,"creation":1,"store":null},"lease":7,"epoch":1,"in_sync":[],"wire":1}"#;
        etcds.put(key, text).await;
        let why = in_time(authority.read(ShardId(1))).await.unwrap_err().to_string();
        assert!(why.contains(key) && why.contains("its revision is 9, but it was written 2 times"), "{why}");
        etcds.put(key, "{}").await;
        let why = in_time(authority.read_all()).await.unwrap_err().to_string();
        assert!(why.contains(key) && why.contains("cannot be read"), "{why}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_watch_goes_on_after_what_it_has_missed_was_compacted() {
        let etcds = Etcds::start(1).await;
        let proxy = Proxy::to(etcds.address(0)).await;
        let authority = client(&[etcds.address(0)], HANGS).await;
        let mut record = change(&authority, None).await;
        let mut watch = client(&[proxy.address()], Duration::from_millis(500)).await.watch();
        let news = |record: &Record| News::Record(ShardId(1), record.clone());
        assert_eq!(in_time(watch.next()).await, news(&record));
        proxy.cut();
        for _ in 0..10 {
            record = change(&authority, Some(record)).await;
        }
        etcds.compact().await;
        proxy.open();
        while in_time(watch.next()).await != news(&record) {}
    }
}
