//! The example of the counter does what it shows.

#[path = "../examples/counter.rs"]
mod counter;

#[tokio::test(start_paused = true)]
async fn the_name_leads_to_the_counter_after_its_restart() {
    assert_eq!(counter::example().await.unwrap(), [42, 40]);
}

#[test]
fn the_counter_runs_as_a_program() {
    counter::main().unwrap();
}
