//! In which order modules are suspended: who calls comes before who is called. Pure.

use super::plan::Update;

/// The positions of the updates, callers first. Otherwise, and within a circle, as they are written.
pub(super) fn callers_first(updates: &[Update]) -> Vec<usize> {
    let mut order = Vec::with_capacity(updates.len());
    let mut left: Vec<usize> = (0..updates.len()).collect();
    while !left.is_empty() {
        let called = |&at: &usize| {
            left.iter().any(|&other| other != at && updates[other].depends_on.contains(&updates[at].module))
        };
        // In a circle everybody is called: the first that is written goes first.
        let next = left.iter().position(|at| !called(at)).unwrap_or(0);
        order.push(left.remove(next));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(updates: &[(&str, &[&str])]) -> String {
        let updates: Vec<Update> = updates
            .iter()
            .map(|(module, uses)| {
                uses.iter().fold(Update::new(*module, 1, 2), |update, used| update.depends_on(*used))
            })
            .collect();
        callers_first(&updates).into_iter().map(|at| updates[at].module.as_str()).collect()
    }

    #[test]
    fn rule_2_14_3_users_first_whatever_the_written_order() {
        for (updates, expected) in [
            (&[("a", &["b"][..]), ("b", &["c"]), ("c", &[])][..], "abc"),
            (&[("c", &[]), ("b", &["c"]), ("a", &["b"])], "abc"),
            (&[("b", &["c"]), ("c", &[]), ("a", &["b"])], "abc"),
            (&[("x", &[]), ("y", &[])], "xy"),
            (&[("x", &["z"]), ("y", &["z"]), ("z", &[])], "xyz"),
            // What is named and not in the plan does not matter.
            (&[("x", &["elsewhere"]), ("y", &[])], "xy"),
            // A circle keeps the written order, and so does one that uses itself.
            (&[("b", &["a"]), ("a", &["b"])], "ba"),
            (&[("x", &["x"]), ("y", &[])], "xy"),
            (&[("d", &[]), ("b", &["a", "d"]), ("a", &["b"])], "bad"),
        ] {
            assert_eq!(order(updates), expected, "{updates:?}");
        }
    }
}
