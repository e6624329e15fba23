//! The examples run, and do what they say.

#[path = "../examples/bank.rs"]
mod bank;

#[tokio::test(start_paused = true)]
async fn the_vault_does_not_notice() {
    assert_eq!(bank::open().await.unwrap(), 100);
}

#[test]
fn the_bank_opens_and_closes() {
    bank::main().unwrap();
}
