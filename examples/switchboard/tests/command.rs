//! Requests through the whole of it, on a service without processes. The expected texts are those of Redis 7.0.15,
//! which `needs_redis_server` asks again where it is installed.

use super::support::model::{Model, request};
use crate::value::UnixMillis;

/// Sends the lines to a fresh service at the time 1000000, and expects the last line's reply.
fn check(lines: &str, expected: &str) {
    let mut model = Model::new();
    model.now = UnixMillis(1_000_000);
    let mut reply = String::new();
    for line in lines.split("; ") {
        reply = String::from_utf8_lossy(&model.serve(format!("{line}\r\n").as_bytes()).0).into_owned();
    }
    assert_eq!(reply.trim_end_matches("\r\n").replace("\r\n", " "), expected, "{lines}");
}

#[test]
fn unknown_commands_are_quoted() {
    check("foo", "-ERR unknown command 'foo', with args beginning with: ");
    check("foo a b", "-ERR unknown command 'foo', with args beginning with: 'a' 'b' ");
    check("foo ''", "-ERR unknown command 'foo', with args beginning with: '' ");
    check(r#"foo "a\r\nb\x00c""#, "-ERR unknown command 'foo', with args beginning with: 'a  b' ");
    check("GETX a", "-ERR unknown command 'GETX', with args beginning with: 'a' ");
    let (long, most) = ("a".repeat(200), "a".repeat(128));
    check(
        &format!("{long} {long} b"),
        &format!("-ERR unknown command '{most}', with args beginning with: '{most}' "),
    );
    let (a, b) = ("a".repeat(100), "b".repeat(25));
    check(
        &format!("foo {a} {b}bbb c"),
        &format!("-ERR unknown command 'foo', with args beginning with: '{a}' '{b}' "),
    );
}

#[test]
fn arity_is_checked_by_the_table() {
    let check = |line: &str, name: &str| {
        check(line, &format!("-ERR wrong number of arguments for '{name}' command"));
    };
    check("GET", "get");
    check("GET a b", "get");
    check("SET a", "set");
    check("MSET a", "mset");
    check("MSET a b c", "mset");
    check("PING a b", "ping");
    check("ECHO", "echo");
    check("DBSIZE a", "dbsize");
    check("CLIENT", "client");
    check("CLIENT ID a", "client|id");
    check("CLIENT SETNAME", "client|setname");
    check("CLIENT SETINFO a", "client|setinfo");
    check("CONFIG GET", "config|get");
    check("COMMAND COUNT a", "command|count");
    check("OTP.INFO", "otp.info");
    check("OTP.HITS", "otp.hits");
    check("OTP.VERSIONS a", "otp.versions");
    check("OTP.UPGRADE", "otp.upgrade");
    check("OTP.UPGRADE 2 DRY DRY", "otp.upgrade");
}

#[test]
fn strings() {
    check("GET a", "$-1");
    check("SET a b; get a", "$1 b");
    check("SET a b; GETDEL a; GET a", "$-1");
    check("SET a b; SET a c NX; GET a", "$1 b");
    check("SET a b; SET a c NX GET", "$1 b");
    check("SET a b XX", "$-1");
    check("SET a b EX 10; TTL a", ":10");
    check("SET a b px 1500; PTTL a", ":1500");
    check("SET a b EXAT 1001; PTTL a", ":1000");
    check("SET a b PXAT 1000500; PTTL a", ":500");
    check("SET a b EXAT 1; GET a", "$-1");
    check("SET a b EX 10; SET a c KEEPTTL; TTL a", ":10");
    check("SET a b EX 10; SET a c; TTL a", ":-1");
    check("SET a b EX 10 EX 20; TTL a", ":20");
    check("SET a b GET GET NX NX KEEPTTL KEEPTTL", "$-1");
    check("APPEND a b; APPEND a cd", ":3");
    check("INCR n; INCRBY n 5; DECR n; DECRBY n 7", ":-2");
    check("MSET a 1 b 2; MGET a b c a", "*4 $1 1 $1 2 $-1 $1 1");
    check("MSET a 1 b 2; DEL a a c b", ":2");
    check("MSET a 1 b 2; EXISTS a a c b", ":3");
    check("SET a b; TYPE a", "+string");
    check("SET a bcd; STRLEN a", ":3");
    check("SET a b; EXPIRE a 10; TTL a", ":10");
    check("SET a b; EXPIRE a -1; EXISTS a", ":0");
    check("SET a b; PEXPIRE a 10; PERSIST a; PTTL a", ":-1");
}

#[test]
fn mistakes_of_set_and_expire() {
    let syntax = "-ERR syntax error";
    let integer = "-ERR value is not an integer or out of range";
    let invalid = |name: &str| format!("-ERR invalid expire time in '{name}' command");
    check("SET a b FOO", syntax);
    check("SET a b EX", syntax);
    check("SET a b NX XX", syntax);
    check("SET a b EX 10 PX 10", syntax);
    check("SET a b EX 10 KEEPTTL", syntax);
    check("SET a b KEEPTTL EX 10", syntax);
    check("SET a b EX abc FOO", syntax);
    check("SET a b EX abc", integer);
    check("SET a b EX 0", &invalid("set"));
    check("SET a b PX -1", &invalid("set"));
    check("SET a b EX 9223372036854775807", &invalid("set"));
    check("SET a b PX 9223372036854775807", &invalid("set"));
    check("SET a b EXAT 0", &invalid("set"));
    check("EXPIRE a abc", integer);
    check("EXPIRE a abc FOO", "-ERR Unsupported option FOO");
    check("EXPIRE a 9223372036854775807", &invalid("expire"));
    check("EXPIRE a -9223372036854775807", &invalid("expire"));
    check("PEXPIRE a 9223372036854775807", &invalid("pexpire"));
    check("EXPIRE a 1 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible");
    check("EXPIRE a 1 GT LT", "-ERR GT and LT options at the same time are not compatible");
    check("SET a b; INCR a", integer);
    check("INCRBY a 1.5", integer);
    check("SET n 9223372036854775807; INCR n", "-ERR increment or decrement would overflow");
    check("DECRBY n -9223372036854775808", "-ERR decrement would overflow");
}

#[test]
fn the_key_space() {
    check("MSET a 1 b 2; DBSIZE", ":2");
    check("SET a b PXAT 1000001; FLUSHALL; DBSIZE", ":0");
    check("MSET key:1 1 key:2 2 a 3; KEYS key:*", "*2 $5 key:1 $5 key:2");
    check("MSET key:1 1 a 3; SCAN 0 MATCH k* COUNT 100 TYPE string", "*2 $1 0 *1 $5 key:1");
    check("SET a 1; SCAN 0 TYPE hash", "*2 $1 0 *0");
    check("SCAN a", "-ERR invalid cursor");
    check("SCAN 18446744073709551616", "-ERR invalid cursor");
    check("SCAN 0 COUNT", "-ERR syntax error");
    check("SCAN 0 COUNT 0", "-ERR syntax error");
    check("SCAN 0 COUNT -1", "-ERR syntax error");
    check("SCAN 0 COUNT a", "-ERR value is not an integer or out of range");
    check("SCAN 0 FOO a", "-ERR syntax error");
    check("FLUSHALL ASYNC", "+OK");
    check("FLUSHALL ASYNC SYNC", "-ERR syntax error");
}

#[test]
fn the_connection() {
    check("PING", "+PONG");
    check("PING 'a b'", "$3 a b");
    check("ECHO a", "$1 a");
    check("SELECT 0", "+OK");
    check("SELECT 1", "-ERR DB index is out of range");
    check("SELECT -1", "-ERR DB index is out of range");
    check("SELECT 3000000000", "-ERR value is out of range, value must between -2147483648 and 2147483647");
    check("SELECT a", "-ERR value is not an integer or out of range");
    check("HELLO 3", "-NOPROTO unsupported protocol version");
    check("HELLO a", "-ERR Protocol version is not an integer or out of range");
    check("HELLO 2 foo", "-ERR Syntax error in HELLO option 'foo'");
    check("HELLO 2 AUTH a", "-ERR Syntax error in HELLO option 'AUTH'");
    check("HELLO 2 AUTH a b", "-WRONGPASS invalid username-password pair or user is disabled.");
    check("HELLO 2 AUTH default b SETNAME me; CLIENT GETNAME", "$2 me");
    check("CLIENT GETNAME", "$-1");
    check("CLIENT SETNAME me; CLIENT GETNAME", "$2 me");
    check("CLIENT SETNAME 'a b'", "-ERR Client names cannot contain spaces, newlines or special characters.");
    check("CLIENT SETINFO LIB-NAME redis-rs", "+OK");
    check(
        "CLIENT SETINFO lib-ver 'a b'",
        "-ERR lib-ver cannot contain spaces, newlines or special characters.",
    );
    check("CLIENT SETINFO foo bar", "-ERR Unrecognized option 'foo'");
    check("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.");
    check("INFO", ":0");
    check("INFO server clients", ":2");
    check("OTP.TREE", "$-1");
    check("otp.info a", "$1 a");
    check("otp.crash a", "$1 a");
    check("otp.hits a", "$1 a");
    check("OTP.VERSIONS", "$-1");
    check("OTP.UPGRADE 2", "*2 :2 :0");
    check("otp.upgrade 1 dry", "*2 :1 :1");
    check("OTP.UPGRADE 2 WET", "-ERR syntax error");
    check("OTP.UPGRADE two", "-ERR value is not an integer or out of range");
    check("QUIT", "+OK");
    check("QUIT; PING", "");
    check("POST / HTTP/1.1", "");
    check("*1\r\n*1", "-ERR Protocol error: expected '$', got '*'");
    check("SHUTDOWN a", "-ERR syntax error");
    check("SHUTDOWN SAVE NOSAVE", "-ERR syntax error");
    check("SHUTDOWN ABORT", "-ERR No shutdown in progress.");
    check("SHUTDOWN SAVE", "-ERR Errors trying to SHUTDOWN. Check logs.");
}

#[test]
fn what_redis_benchmark_and_redis_cli_ask_at_their_start() {
    check("CONFIG GET save", "*2 $4 save $0");
    check("CONFIG GET appendonly", "*2 $10 appendonly $2 no");
    check("CONFIG GET SAVE app* save", "*4 $4 save $0  $10 appendonly $2 no");
    check("CONFIG GET nope", "*0");
    check("CONFIG SET a b", "-ERR unknown subcommand 'SET'. Try CONFIG HELP.");
    check("CONFIG RESETSTAT", "+OK");
    check("COMMAND INFO foo", "*1 $-1");
    check(
        "COMMAND INFO GET",
        "*1 *10 $3 get :2 *2 +readonly +fast :1 :1 :1 *3 +@read +@string +@fast *0 *0 *0",
    );
    check("COMMAND DOCS foo", "*0");
    check(
        "COMMAND DOCS get",
        "*2 $3 get *6 $7 summary $22 Get the value of a key $5 since $5 1.0.0 $5 group $6 string",
    );
    check("COMMAND LIST a", "-ERR syntax error");
}

#[test]
fn names_are_found_in_any_case_and_by_their_length() {
    check("pInG", "+PONG");
    check("CoMmAnD cOuNt", ":39");
    check("PINGG", "-ERR unknown command 'PINGG', with args beginning with: ");
    check("PIN", "-ERR unknown command 'PIN', with args beginning with: ");
    let mut model = Model::new();
    assert_eq!(model.serve(&request(&[b""])).0, b"-ERR unknown command '', with args beginning with: \r\n");
}
