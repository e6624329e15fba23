//! The two versions of a key's process, and changes between them.

use incarnate::handoff::{self, ChangeError};
use incarnate::{Node, SupervisorRef, Term};

use super::keys::{apply, inside, tree};
use crate::clock;
use crate::counted::{Counted, DROP_HITS};
use crate::key::Key;
use crate::keys::Keys;
use crate::reply::Reply;
use crate::upgrades::Upgrades;
use crate::value::{Expiry, KeyOp, SetWhen, UnixMillis};

/// The state of a key `a` with the value `hello` that ends at 1000, in its first life: as it was written when each
/// version was new. What has been in use stays readable.
const VERSION_1: &str = "83a576616c756582a56279746573c40568656c6c6fa8646561646c696e65cd03e8\
    a5706c61636583a36b6579c40161a46c69666501a770726573656e74c3a574696d6572c0";
const VERSION_2: &str = "82a36b657983a576616c756582a56279746573c40568656c6c6fa8646561646c696e65cd03e8\
    a5706c61636583a36b6579c40161a46c69666501a770726573656e74c3a574696d6572c0a46869747307";

fn term(hex: &str) -> Term {
    let bytes = hex.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).expect("hexadecimal digits");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    });
    Term::from_bytes(bytes.collect::<Vec<u8>>())
}

#[test]
fn what_was_written_stays_readable() {
    let (one, two) = (term(VERSION_1), term(VERSION_2));
    let key: Key = handoff::upgrade(1, &one, &Term::nil()).unwrap();
    assert_eq!(handoff::encode(&key), Ok(one.clone()));
    let counted: Counted = handoff::upgrade(2, &two, &Term::nil()).unwrap();
    assert_eq!(handoff::encode(&counted), Ok(two));
    // Up it begins at 0, and then nothing is lost on the way back.
    let counted: Counted = handoff::upgrade(1, &one, &Term::nil()).unwrap();
    assert_eq!(handoff::downgrade(counted, 1, &Term::nil()), Ok(one));
}

#[test]
fn hits_are_dropped_only_by_a_plan_that_says_so() {
    let counted = || -> Counted { handoff::upgrade(2, &term(VERSION_2), &Term::nil()).unwrap() };
    let refused = handoff::downgrade(counted(), 1, &Term::nil());
    assert_eq!(refused, Err(ChangeError::Lossy { from: 2, to: 1, what: "7 hits".into() }));
    let plan = Term::encode(DROP_HITS).unwrap();
    assert_eq!(handoff::downgrade(counted(), 1, &plan), Ok(term(VERSION_1)));
}

/// Keys, and what changes them.
struct Bench {
    node: Node,
    tree: SupervisorRef,
    upgrades: Upgrades,
}

impl Bench {
    async fn new() -> Self {
        let node = Node::new("test");
        let tree = tree(&node).await;
        Bench { node, tree, upgrades: Upgrades::default() }
    }

    /// What `OTP.UPGRADE` answers; the first line of a report without its times.
    async fn change(&self, to: i64, dry: bool) -> String {
        let reply = self.upgrades.change(&self.node, to, dry).await;
        let text = match reply {
            Reply::Bulk(text) => String::from_utf8(text.to_vec()).unwrap(),
            Reply::Error(error) => return error.to_string(),
            other => panic!("{other:?}"),
        };
        text.split(", paused").next().unwrap_or_default().replace('\n', "; ")
    }

    async fn inside<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        code: impl FnOnce(Keys) -> F + Send + 'static,
    ) -> T {
        inside(&self.node, code).await
    }

    async fn apply(&self, key: &'static str, op: KeyOp) -> Reply {
        self.inside(move |keys| async move { apply(&keys, key.as_bytes(), op).await }).await
    }

    async fn hits(&self, key: &'static str) -> String {
        let hits = self.inside(move |keys| async move { keys.hits(key.as_bytes(), clock::now()).await });
        match hits.await {
            Reply::Integer(hits) => hits.to_string(),
            Reply::Nil => "nil".to_owned(),
            Reply::Error(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    async fn versions(&self) -> String {
        let upgrades = self.upgrades.clone();
        match self.inside(|keys| async move { upgrades.versions(&keys).await }).await {
            Reply::Bulk(text) => String::from_utf8(text.to_vec()).unwrap().replace('\n', "; "),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until no process is left but those that were there without keys.
    async fn ends_with(self, processes: usize) {
        while self.node.process_count() > processes {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.node.dead_letters(), 0);
        self.tree.stop().await.unwrap();
    }
}

fn set(value: &'static str) -> KeyOp {
    KeyOp::Set { value: value.into(), when: SetWhen::Always, expiry: Expiry::Never, get: false }
}

const NOT_COUNTED: &str =
    "ERR version 1 of a key does not count hits: OTP.UPGRADE 2 changes to one that does";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_2_counts_and_version_1_says_that_it_does_not() {
    let bench = Bench::new().await;
    let before = bench.node.process_count();
    bench.apply("a", set("1")).await;
    assert_eq!((bench.hits("a").await.as_str(), bench.hits("b").await.as_str()), (NOT_COUNTED, "nil"));
    assert_eq!(bench.change(2, false).await, "key@1 -> key@2: 1 process");
    assert_eq!(bench.hits("a").await, "0");
    // Reads and writes, and the one that brings a key to life.
    bench.apply("a", KeyOp::Get).await;
    bench.apply("a", KeyOp::Add(1)).await;
    bench.apply("b", set("x")).await;
    bench.apply("b", KeyOp::Exists).await;
    assert_eq!((bench.hits("a").await.as_str(), bench.hits("b").await.as_str()), ("2", "2"));
    // With the key they are gone.
    bench.apply("b", KeyOp::Del).await;
    assert_eq!(bench.hits("b").await, "nil");
    bench.apply("b", set("x")).await;
    assert_eq!(bench.hits("b").await, "1");
    assert_eq!(bench.change(1, false).await, "key@2 -> key@1: 2 processes");
    assert_eq!(bench.hits("a").await, NOT_COUNTED);
    assert_eq!(bench.apply("a", KeyOp::Get).await, Reply::Bulk("2".into()));
    assert_eq!(bench.change(2, false).await, "key@1 -> key@2: 2 processes");
    assert_eq!(bench.hits("a").await, "0");
    bench.apply("a", KeyOp::Del).await;
    bench.apply("b", KeyOp::GetDel).await;
    bench.ends_with(before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answers_say_what_is_so() {
    let bench = Bench::new().await;
    bench.apply("a", set("1")).await;
    assert_eq!(bench.versions().await, "key@1: 1 keys, in force; key@2: 0 keys");
    assert_eq!(bench.change(1, false).await, "key@1 is in force");
    assert_eq!(bench.change(2, true).await, "key@1 -> key@2: 1 process; all would be changed");
    assert_eq!(bench.versions().await, "key@1: 1 keys, in force; key@2: 0 keys");
    let unknown = "ERR there is no version 3, only 1 and 2; every key goes on in version 1";
    assert_eq!(
        (bench.change(3, true).await.as_str(), bench.change(3, false).await.as_str()),
        (unknown, unknown)
    );
    bench.change(2, false).await;
    bench.apply("b", set("2")).await;
    assert_eq!(bench.versions().await, "key@1: 0 keys; key@2: 2 keys, in force");
    assert_eq!(bench.change(2, true).await, "key@2 is in force");
    assert_eq!(bench.change(1, true).await, "key@2 -> key@1: 2 processes; all would be changed");
    bench.tree.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_without_keys_is_in_force_for_those_that_come() {
    let bench = Bench::new().await;
    assert_eq!(bench.change(2, false).await, "key@1 -> key@2: 0 processes");
    bench.apply("a", set("1")).await;
    assert_eq!(bench.hits("a").await, "1");
    bench.tree.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_key_leaves_the_table_as_any_other() {
    let bench = Bench::new().await;
    let before = bench.node.process_count();
    // One that is to expire, one to be deleted, one to crash.
    let soon = UnixMillis(clock::now().0 + 200);
    let short = KeyOp::Set { value: "v".into(), when: SetWhen::Always, expiry: Expiry::At(soon), get: false };
    bench.apply("short", short).await;
    bench.apply("deleted", set("v")).await;
    bench.apply("crashed", set("v")).await;
    for to in [2, 1, 2] {
        bench.change(to, false).await;
    }
    assert_eq!(bench.inside(|keys| async move { keys.table().len() }).await, 3);
    bench.apply("deleted", KeyOp::Del).await;
    assert_eq!(bench.inside(|keys| async move { keys.crash(b"crashed").await }).await, Reply::yes(true));
    let crashes =
        bench.inside(|keys| async move { (keys.table().crashes(), keys.table().find(b"crashed").is_none()) });
    assert_eq!(crashes.await, (1, true));
    // Its timer was set before the first change.
    bench.ends_with(before).await;
    assert!(clock::now() >= soon);
}
