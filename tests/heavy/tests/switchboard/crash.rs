//! Crashes: of the process that was asked to, and of no other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use incarnate_heavy_tests::Service;
use redis::{Commands, Connection, cmd};

/// What `OTP.INFO` says, as numbers; the pid as it is written.
fn inspect(client: &mut Connection, key: &str) -> (String, i64, i64) {
    let pairs: Vec<(String, String)> = cmd("OTP.INFO").arg(key).query(client).unwrap();
    let get = |name: &str| pairs.iter().find(|(known, _)| known == name).expect(name).1.clone();
    (get("pid"), get("incarnation").parse().unwrap(), get("restarts").parse().unwrap())
}

fn crash(client: &mut Connection, key: &str) -> i64 {
    cmd("OTP.CRASH").arg(key).query(client).unwrap()
}

#[test]
fn a_crashed_key_gets_another_incarnation_and_no_value() {
    let service = Service::start();
    let mut client = service.client();
    let () = client.set("a", 1).unwrap();
    let () = client.set("b", 2).unwrap();
    let first = inspect(&mut client, "a");
    let neighbour = inspect(&mut client, "b");
    assert_eq!((first.1, first.2), (1, 0));
    assert_eq!(crash(&mut client, "a"), 1);
    assert_eq!(client.get::<_, Option<i64>>("a").unwrap(), None);
    let second = inspect(&mut client, "a");
    assert_eq!((second.1, second.2), (2, 1));
    assert_ne!(first.0, second.0);
    assert_eq!(cmd("DBSIZE").query::<i64>(&mut client).unwrap(), 1);
    assert_eq!(client.incr::<_, _, i64>("a", 5).unwrap(), 5);
    assert_eq!(inspect(&mut client, "a"), second, "the value came to the same process");
    assert_eq!(cmd("DBSIZE").query::<i64>(&mut client).unwrap(), 2, "and it is a key again");
    assert_eq!(inspect(&mut client, "b"), neighbour);
    assert_eq!(crash(&mut client, "nobody"), 0);
    assert_eq!(service.info("restarts"), 1);
}

#[test]
fn a_pipeline_goes_on_behind_a_crash() {
    let service = Service::start();
    let mut pipeline = redis::pipe();
    pipeline.set("a", 1).ignore();
    pipeline.cmd("OTP.CRASH").arg("a").ignore();
    pipeline.incr("a", 1).get("a");
    assert_eq!(pipeline.query::<Vec<i64>>(&mut service.client()).unwrap(), [1, 1]);
}

#[test]
fn a_thousand_crashes_are_noticed_by_nobody_else() {
    let service = Service::start();
    let done = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let load = |number: usize| {
            let (service, done) = (&service, &done);
            scope.spawn(move || {
                let (mut client, mut rounds) = (service.client(), 0i64);
                let key = |key: usize| format!("safe:{number}:{key}");
                while !done.load(Ordering::Relaxed) {
                    rounds += 1;
                    let mut pipeline = redis::pipe();
                    (0..16).for_each(|n| {
                        pipeline.incr(key(n), 1);
                    });
                    // An error anywhere is an error here, and a value that was lost a wrong sum.
                    let sums: Vec<i64> = pipeline.query(&mut client).unwrap();
                    assert_eq!(sums, [rounds; 16]);
                }
                rounds
            })
        };
        let load: Vec<_> = (0..4).map(load).collect();
        let mut client = service.client();
        for number in 0..1000 {
            let key = format!("doomed:{number}");
            let () = client.set(&key, 1).unwrap();
            assert_eq!(crash(&mut client, &key), 1);
            assert_eq!(client.incr::<_, _, i64>(&key, 1).unwrap(), 1);
        }
        done.store(true, Ordering::Relaxed);
        for load in load {
            assert!(load.join().unwrap() > 0);
        }
    });
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!((service.info("crashes"), service.info("restarts")), (1000, 1000));
}

#[test]
fn what_a_crash_takes_along_is_carried_out_by_the_next_incarnation() {
    let service = Service::start();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| {
            let mut client = service.client();
            let mut pipeline = redis::pipe();
            (0..64).for_each(|_| {
                pipeline.incr("n", 1);
            });
            let mut former = 0;
            while !done.load(Ordering::Relaxed) {
                // Each is answered, and counts on from the one before or from nothing: none is lost, none done twice.
                for sum in pipeline.query::<Vec<i64>>(&mut client).unwrap() {
                    assert!(sum == former + 1 || sum == 1, "{sum} after {former}");
                    former = sum;
                }
            }
        });
        let mut client = service.client();
        // Until there is a key, there is nothing to crash.
        let mut crashes = 0;
        while crashes < 200 && !adding.is_finished() {
            crashes += crash(&mut client, "n");
        }
        done.store(true, Ordering::Relaxed);
        adding.join().unwrap();
    });
    assert_eq!(service.info("crashes"), 200);
}

#[test]
fn a_pipeline_on_one_key_keeps_its_order_while_others_crash_it() {
    let service = Service::start();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = service.client();
                let mut pipeline = redis::pipe();
                (0..20).for_each(|_| {
                    // The second starts the next incarnation, if nobody else was faster.
                    pipeline.cmd("OTP.CRASH").arg("q").ignore().exists("q").ignore();
                });
                while !done.load(Ordering::Relaxed) {
                    pipeline.query::<()>(&mut client).unwrap();
                }
            });
        }
        let mut client = service.client();
        let mut pipeline = redis::pipe();
        (0..400).for_each(|number| {
            pipeline.set("q", number).ignore();
        });
        let (start, mut rounds, mut wrong) = (Instant::now(), 0, Vec::new());
        let mut round = || -> redis::RedisResult<()> {
            let () = pipeline.query(&mut client)?;
            // The last one, or nothing: a crash came behind it.
            let left = client.get::<_, Option<i64>>("q")?;
            wrong.extend(left.filter(|left| *left != 399));
            rounds += 1;
            Ok(())
        };
        let mut went = Ok(());
        while went.is_ok() && start.elapsed() < Duration::from_secs(4) {
            went = round();
        }
        done.store(true, Ordering::Relaxed);
        went.unwrap();
        assert!(wrong.is_empty(), "{wrong:?} in {rounds} rounds");
    });
}
