//! What a pipelined request costs. Not a test of speed, which would depend on the machine: run it to see.
//!
//! `cargo test --release --example switchboard -- --ignored --nocapture speed`

use std::hint::black_box;
use std::time::Instant;

use bytes::BytesMut;

use super::model::request;
use crate::command::Command;
use crate::reply::Reply;
use crate::resp::{Decoder, Limits, encode};
use crate::value::{UnixMillis, Value};

const PIPELINE: usize = 16;
const ROUNDS: usize = 20_000;

/// The best of seven runs, as nanoseconds for each request of the pipeline.
fn measure(name: &str, mut round: impl FnMut()) {
    let best = (0..7).map(|_| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| round());
        start.elapsed().as_nanos() as f64 / (ROUNDS * PIPELINE) as f64
    });
    println!("{name}: {:.1} ns", best.fold(f64::MAX, f64::min));
}

#[test]
#[ignore = "prints measurements"]
fn speed() {
    let key = b"key:000000012345";
    for (name, input) in [("SET", request(&[b"SET", key, b"xxx"])), ("GET", request(&[b"GET", key]))] {
        let input = input.repeat(PIPELINE);
        let mut decoder = Decoder::new(Limits::default());
        measure(&format!("{name} decode"), || {
            decoder.buffer().extend_from_slice(&input);
            while let Some(request) = decoder.next_request().expect("a valid request") {
                black_box(request);
            }
        });
        measure(&format!("{name} decode and parse"), || {
            decoder.buffer().extend_from_slice(&input);
            while let Some(request) = decoder.next_request().expect("a valid request") {
                black_box(Command::parse(request, UnixMillis(0)).expect("a valid command"));
            }
        });
        let (mut value, mut out) = (Value::default(), BytesMut::new());
        measure(&format!("{name} decode, parse, apply and encode"), || {
            out.clear();
            decoder.buffer().extend_from_slice(&input);
            while let Some(request) = decoder.next_request().expect("a valid request") {
                let reply = match Command::parse(request, UnixMillis(0)) {
                    Ok(Command::One(_, op)) => value.apply(op, UnixMillis(0)).0,
                    _ => Reply::Nil,
                };
                encode(&reply, &mut out).expect("a reply that can be encoded");
            }
            black_box(&out);
        });
    }
}
