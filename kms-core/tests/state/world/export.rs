//! What an auditor gets of the world.

use der::Encode;
use kms_core::log::checkpoint::Checkpoint;

use super::{World, key, origin};

impl World {
    /// The entries as an export holds them.
    pub(crate) fn entry_bytes(&self) -> Vec<u8> {
        self.entries.iter().flat_map(|entry| entry.to_der().unwrap()).collect()
    }

    /// A checkpoint note over the whole log, signed by the log key.
    pub(crate) fn checkpoint(&self) -> String {
        let head = Checkpoint::new(origin().as_str(), self.state.size(), self.state.root()).unwrap();
        let signature = key(51).sign(head.text().as_bytes()).unwrap();
        head.into_note(key(51).public(), &signature).to_string()
    }

    /// The signed trust anchor.
    pub(crate) fn anchor(&self) -> Vec<u8> {
        self.documents[&self.state.keys().unwrap().anchor].clone()
    }
}
