//! The code of all keys is changed while clients use them.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use incarnate_heavy_tests::{PATIENCE, Service};
use redis::{Commands, Connection, RedisResult, cmd};

/// To version 2, back, and up again.
const WAY: [u32; 3] = [2, 1, 2];

/// Keys that nobody asks for, so that all of them hibernate.
const AT_REST: usize = 4000;

fn upgrade(client: &mut Connection, to: u32) -> RedisResult<String> {
    cmd("OTP.UPGRADE").arg(to).query(client)
}

fn versions(client: &mut Connection) -> String {
    cmd("OTP.VERSIONS").query(client).unwrap()
}

/// What `OTP.INFO` says: the pid, and the version.
fn inspect(client: &mut Connection, key: &str) -> (String, String) {
    let pairs: Vec<(String, String)> = cmd("OTP.INFO").arg(key).query(client).unwrap();
    let get = |name: &str| pairs.iter().find(|(known, _)| known == name).expect(name).1.clone();
    (get("pid"), get("version"))
}

/// Sets keys that are then left alone.
fn set_at_rest(client: &mut Connection) {
    let mut pipeline = redis::pipe();
    (0..AT_REST).for_each(|number| {
        pipeline.set(format!("rest:{number}"), number).ignore();
    });
    pipeline.query::<()>(client).unwrap();
}

fn check_at_rest(client: &mut Connection) {
    let mut pipeline = redis::pipe();
    (0..AT_REST).for_each(|number| {
        pipeline.get(format!("rest:{number}"));
    });
    let values: Vec<usize> = pipeline.query(client).unwrap();
    assert!(values.into_iter().eq(0..AT_REST));
}

#[test]
fn every_acknowledged_increment_counts_once() {
    const KEYS: usize = 50;
    let service = Service::start();
    let mut client = service.client();
    set_at_rest(&mut client);
    let () = client.incr("n:0", 0).unwrap();
    let pid = inspect(&mut client, "n:0").0;
    let done = AtomicBool::new(false);
    let sent: i64 = std::thread::scope(|scope| {
        // Half of them one by one, half in pipelines; an answer that is an error ends the test.
        let load: Vec<_> = [1, 64, 1, 64]
            .map(|batch| {
                let (service, done) = (&service, &done);
                scope.spawn(move || {
                    let (mut client, mut sent) = (service.client(), 0);
                    while !done.load(Ordering::Relaxed) {
                        let mut pipeline = redis::pipe();
                        (0..batch).for_each(|n| {
                            pipeline.incr(format!("n:{}", (sent + n) % KEYS), 1);
                        });
                        assert_eq!(pipeline.query::<Vec<i64>>(&mut client).unwrap().len(), batch);
                        sent += batch;
                    }
                    sent as i64
                })
            })
            .into_iter()
            .collect();
        for to in WAY {
            // Some keys end while the code changes, and some have to wait for that.
            let start = Instant::now();
            for number in 0..100 {
                let key = format!("short:{to}:{number}");
                let () = cmd("SET").arg(key).arg(1).arg("PX").arg(300).query(&mut client).unwrap();
            }
            let report = upgrade(&mut client, to).unwrap();
            println!("{report}");
            let gone = |client: &mut Connection| {
                let names: Vec<String> = (0..100).map(|number| format!("short:{to}:{number}")).collect();
                cmd("EXISTS").arg(names).query::<i64>(client).unwrap() == 0
            };
            while !gone(&mut client) {
                assert!(start.elapsed() < PATIENCE, "keys are overdue");
            }
            assert!(start.elapsed() >= Duration::from_millis(300), "keys ended before their time");
        }
        done.store(true, Ordering::Relaxed);
        load.into_iter().map(|load| load.join().unwrap()).sum()
    });
    let sums = (0..KEYS).map(|number| client.get::<_, i64>(format!("n:{number}")).unwrap());
    assert_eq!(sums.sum::<i64>(), sent);
    assert_eq!(inspect(&mut client, "n:0"), (pid, "2".to_owned()));
    let keys = AT_REST + KEYS;
    assert_eq!(versions(&mut client), format!("key@1: 0 keys\nkey@2: {keys} keys, in force"));
    check_at_rest(&mut client);
    assert_eq!((service.info("crashes"), service.info("dead_letters")), (0, 0));
    // The expired keys have left no process behind: each that stays is in the table.
    service.await_info("processes", |processes| processes == keys as u64 + 9);
}

#[test]
fn hits_are_counted_in_version_2_only() {
    let service = Service::start();
    let mut client = service.client();
    let hits = |client: &mut Connection, key: &str| cmd("OTP.HITS").arg(key).query::<Option<i64>>(client);
    let () = client.set("a", 1).unwrap();
    let error = hits(&mut client, "a").unwrap_err();
    assert!(error.to_string().contains("OTP.UPGRADE 2"), "{error}");
    upgrade(&mut client, 2).unwrap();
    let mut pipeline = redis::pipe();
    (0..10).for_each(|_| {
        pipeline.incr("a", 1).get("a");
    });
    pipeline.query::<Vec<i64>>(&mut client).unwrap();
    assert_eq!((hits(&mut client, "a").unwrap(), hits(&mut client, "b").unwrap()), (Some(20), None));
    upgrade(&mut client, 1).unwrap();
    assert!(hits(&mut client, "a").is_err());
    upgrade(&mut client, 2).unwrap();
    assert_eq!(hits(&mut client, "a").unwrap(), Some(0));
    assert_eq!(client.get::<_, i64>("a").unwrap(), 11);
}

#[test]
fn what_is_behind_an_upgrade_in_a_pipeline_waits_for_it() {
    let service = Service::start();
    let mut pipeline = redis::pipe();
    pipeline.set("a", 1).ignore();
    for to in WAY {
        pipeline.cmd("OTP.UPGRADE").arg(to).ignore();
        pipeline.incr("a", 1).ignore();
    }
    pipeline.cmd("OTP.HITS").arg("a");
    pipeline.get("a");
    assert_eq!(pipeline.query::<Vec<i64>>(&mut service.client()).unwrap(), [1, 4]);
}

#[test]
fn what_cannot_be_is_said_and_changes_nothing() {
    let service = Service::start();
    let mut client = service.client();
    let () = client.set("a", 1).unwrap();
    for (line, answer) in [
        (&["3"][..], "there is no version 3, only 1 and 2; every key goes on in version 1"),
        (&["x"], "value is not an integer or out of range"),
        (&["2", "WET"], "syntax error"),
        (&["2", "DRY", "DRY"], "wrong number of arguments for 'otp.upgrade' command"),
    ] {
        let error = cmd("OTP.UPGRADE").arg(line).query::<String>(&mut client).unwrap_err();
        assert_eq!(error.detail(), Some(answer), "{line:?}");
    }
    assert_eq!(upgrade(&mut client, 1).unwrap(), "key@1 is in force");
    let dry: String = cmd("OTP.UPGRADE").arg(2).arg("dry").query(&mut client).unwrap();
    assert_eq!(dry, "key@1 -> key@2: 1 process\nall would be changed");
    assert_eq!(versions(&mut client), "key@1: 1 keys, in force\nkey@2: 0 keys");
}

/// A run of redis-benchmark, until it is over.
struct Load(Child);

impl Load {
    fn start(port: u16, requests: &str) -> Self {
        let arguments = ["-t", "set,get,incr", "-r", "5000", "-P", "16", "-c", "20", "-q", "-n", requests];
        let mut program = Command::new("redis-benchmark");
        program.args(["-p", &port.to_string()]).args(arguments);
        Load(program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// It is done, and nothing went wrong.
    fn check(self) {
        let output = self.0.wait_with_output().unwrap();
        let text =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success() && !text.contains("rror"), "{text}");
        assert_eq!(text.matches("requests per second").count(), 3, "{text}");
    }
}

#[test]
fn needs_redis_benchmark_that_runs_through_changes() {
    let service = Service::start();
    let mut client = service.client();
    set_at_rest(&mut client);
    let mut load = Load::start(service.port, "30000");
    let mut changes = 0;
    // Up and down while it runs, and up in the end. Changes without a pause let a client do little more
    // than one command each, so they end some time, and it can.
    while changes < WAY.len() || changes < 30 && load.runs() || changes.is_multiple_of(2) {
        upgrade(&mut client, WAY[changes % 2]).unwrap();
        changes += 1;
    }
    println!("{changes} changes");
    load.check();
    check_at_rest(&mut client);
    assert!(versions(&mut client).starts_with("key@1: 0 keys\n"));
    assert_eq!((service.info("crashes"), service.info("dead_letters")), (0, 0));
}

#[test]
fn needs_redis_benchmark_that_does_not_notice_dry_runs() {
    let service = Service::start();
    let mut client = service.client();
    set_at_rest(&mut client);
    let mut load = Load::start(service.port, "10000");
    while load.runs() {
        let dry: String = cmd("OTP.UPGRADE").arg(2).arg("DRY").query(&mut client).unwrap();
        assert!(dry.ends_with("all would be changed"), "{dry}");
    }
    load.check();
    assert!(versions(&mut client).contains("key@2: 0 keys"));
    check_at_rest(&mut client);
}
