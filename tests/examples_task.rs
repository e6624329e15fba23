//! The examples of tasks do what they show.

#[path = "../examples/task_pool.rs"]
mod task_pool;

#[tokio::test(start_paused = true)]
async fn the_pool_reports_the_crash_and_finishes_the_others() {
    let lines = task_pool::example().await.unwrap();
    let expected = [
        "   apples    12",
        "    pears    30",
        "    plums  crashed: error: invalid digit found in string",
        " cherries   600",
        "  quinces     1",
        "  medlars     8",
        "0 workers are left; the pool stops",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_pool_runs_as_a_program() {
    task_pool::main().unwrap();
}
