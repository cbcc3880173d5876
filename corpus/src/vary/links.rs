//! Which event follows from which by structure alone: an actor's event from its one before.

use std::collections::BTreeMap;

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Every event, lost ones too.
    pub(super) ids: Vec<String>,
    /// Newest event of each actor.
    last: BTreeMap<String, String>,
}

impl Links {
    pub(super) fn before(&self, actor: &str) -> Option<&String> {
        self.last.get(actor)
    }

    pub(super) fn told(&mut self, actor: &str, id: &str) {
        self.ids.push(id.to_owned());
        self.last.insert(actor.to_owned(), id.to_owned());
    }
}
