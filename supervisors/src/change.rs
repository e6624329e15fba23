//! Code change: new flags and specifications for a supervisor that runs.

use crate::children::Status;
use crate::invalid::check_init;
use crate::{Action, Answer, ChildSpec, Flags, InitError, Key, Reason, Restart, Supervisor};
use alloc::sync::Arc;
use alloc::vec::Vec;

impl<P: Clone + Ord, T, R: Reason> Supervisor<P, T, R> {
    pub(crate) fn code_change(&mut self, token: T, flags: Flags, specs: Vec<ChildSpec>) {
        let answer = Answer::CodeChange(self.changed(flags, specs));
        // The driver puts the new start functions in place before it is told which of them nobody needs.
        self.act(Action::Reply { token, answer });
        let unneeded = |status: &Status<P>, restart| {
            restart == Restart::Temporary && matches!(status, Status::Running(_))
        };
        let unneeded: Vec<Key> = self
            .children
            .slots()
            .filter_map(|(key, slot)| unneeded(&slot.status, slot.spec.restart()).then_some(key))
            .collect();
        for key in unneeded {
            self.forget(key);
        }
    }

    fn changed(&mut self, flags: Flags, specs: Vec<ChildSpec>) -> Result<Vec<Key>, InitError> {
        // OTP, rule 2.12.1: faulty answers leave the old flags and specifications in force, so check all
        // before any changes.
        check_init(&flags, &specs)?;
        // OTP, rule 2.12.8: OTP does not refuse this, and breaks.
        if flags.is_simple() != self.flags.is_simple() {
            return Err(InitError::SimpleChange);
        }
        // OTP, rule 2.12.2: the flags are replaced, the restart marks kept.
        self.intensity.change(flags.intensity(), flags.period());
        self.flags = flags;
        Ok(match self.template {
            Some((key, _)) => self.replace_template(key, specs),
            None => self.replace_specs(specs),
        })
    }

    /// OTP, rule 2.12.7: running children keep running, and are the new template's from now on.
    fn replace_template(&mut self, key: Key, specs: Vec<ChildSpec>) -> Vec<Key> {
        for spec in specs.into_iter().map(Arc::new) {
            let children: Vec<Key> = self.children.keys().collect();
            for child in children {
                self.children.respecify(child, spec.clone());
            }
            self.template = Some((key, spec));
        }
        alloc::vec![key]
    }

    fn replace_specs(&mut self, specs: Vec<ChildSpec>) -> Vec<Key> {
        let mut keys = Vec::with_capacity(specs.len());
        for spec in specs {
            keys.push(match self.children.by_id(spec.id()) {
                // OTP, rule 2.12.3: the process of a known id is kept, and nothing is restarted.
                Some(key) => {
                    self.children.respecify(key, Arc::new(spec));
                    key
                }
                // OTP, rule 2.12.4: a new id is added and not started.
                None => {
                    let key = self.new_key();
                    self.children.add(key, Arc::new(spec), false);
                    key
                }
            });
        }
        // OTP, rules 2.12.5 and 2.12.6: ids that are missing stay, after those of the new list.
        self.children.reorder(&keys);
        keys
    }
}
