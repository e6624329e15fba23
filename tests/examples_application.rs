//! The example of an application does what it shows, as a program.

#[path = "../examples/application.rs"]
mod application;
#[path = "support/child.rs"]
mod child;

use child::Program;
use rustix::process::Signal;

/// The program, in a process of its own.
#[test]
fn program() {
    if child::role().is_some() {
        child::exit(application::main());
    }
    let mut greeter = Program::new("program", "greeter", &[("GREETER__GREETING", "Good day")]);
    greeter.until("Good day");
    greeter.signal(Signal::TERM);
    let (code, said, errors) = greeter.end();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(said, ["the voice ends: shutdown", "the greeter has stopped"]);
}

#[test]
fn a_typo_is_found_before_anything_starts() {
    let greeter = Program::new("program", "greeter", &[("GREETER__GREETINGS", "Hi")]);
    let (code, said, errors) = greeter.end();
    let line = "greeter: unknown key `greeter.greetings` in environment variable GREETER__GREETINGS\n";
    assert_eq!((code, errors.as_str()), (Some(1), line));
    assert!(!said.concat().contains("Hello"), "{said:?}");
}
