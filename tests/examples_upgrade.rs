//! The examples of upgrades run, and each caller in them is answered.

#[path = "../examples/hot_upgrade.rs"]
mod hot_upgrade;
#[path = "../examples/tree_upgrade.rs"]
mod tree_upgrade;

#[test]
fn a_door_changes_up_and_down() {
    hot_upgrade::main().unwrap();
}

#[test]
fn a_shop_changes_as_a_whole_and_stays_when_refused() {
    tree_upgrade::main().unwrap();
}
