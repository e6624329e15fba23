//! The examples of several nodes do what they show.

#[path = "../examples/chat.rs"]
mod chat;
#[path = "../examples/two_nodes.rs"]
mod two_nodes;

#[test]
fn two_nodes_runs_as_a_program() {
    two_nodes::main().unwrap();
}

#[test]
fn chat_runs_as_a_program() {
    chat::main().unwrap();
}
