//! The example of the alarm handler does what it shows.

#[path = "../examples/alarm_handler.rs"]
mod alarm_handler;

#[tokio::test(start_paused = true)]
async fn the_successor_has_the_alarms_of_the_one_before() {
    assert_eq!(alarm_handler::example().await.unwrap(), ["disk_full"]);
}

#[test]
fn the_alarm_handler_runs_as_a_program() {
    alarm_handler::main().unwrap();
}
