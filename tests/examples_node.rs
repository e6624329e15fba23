//! The example of two nodes does what it shows.

#[path = "../examples/two_nodes.rs"]
mod two_nodes;

#[test]
fn two_nodes_runs_as_a_program() {
    two_nodes::main().unwrap();
}
