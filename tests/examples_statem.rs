//! The example of the door does what it shows.

#[path = "../examples/door.rs"]
mod door;

#[tokio::test(start_paused = true)]
async fn who_knocks_at_a_locked_door_is_let_in_when_it_opens() {
    assert_eq!(door::example().await.unwrap(), "come in");
}

#[test]
fn the_door_runs_as_a_program() {
    door::main().unwrap();
}
