//! In which order modules are suspended: who calls comes before who is called. Pure.

use super::plan::Update;

/// The positions of the updates, callers first. Otherwise, and within a circle, as they are written.
pub(super) fn callers_first(updates: &[Update]) -> Vec<usize> {
    let calls = |&at: &usize, left: &[usize]| -> Vec<usize> {
        let used = &updates[at].depends_on;
        left.iter().copied().filter(|&other| used.contains(&updates[other].module)).collect()
    };
    let mut order = Vec::with_capacity(updates.len());
    let mut left: Vec<usize> = (0..updates.len()).collect();
    while !left.is_empty() {
        let reached = |from: usize| {
            let mut seen = calls(&from, &left);
            let mut at = 0;
            while at < seen.len() {
                let more: Vec<usize> =
                    calls(&seen[at], &left).into_iter().filter(|n| !seen.contains(n)).collect();
                seen.extend(more);
                at += 1;
            }
            seen
        };
        // Nobody calls it but those that it calls itself: the two are one circle.
        let is_first = |&at: &usize| {
            left.iter().all(|&other| !reached(other).contains(&at) || reached(at).contains(&other))
        };
        let next = left.iter().position(is_first).unwrap_or(0);
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
            (&[("d", &[]), ("b", &["a", "d"]), ("a", &["b"])], "bda"),
        ] {
            assert_eq!(order(updates), expected, "{updates:?}");
        }
    }
}
