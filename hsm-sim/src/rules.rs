//! What may be made, used, changed and moved: the token's security rules, without I/O and without algorithms.
//!
//! `shape` knows which attributes an object class has, `build` turns a caller's template into an object's attributes,
//! `change` guards later changes, `usage` guards every use of a key. Defaults are the secure value: a use that the
//! template does not grant is not granted, secret and private keys are PRIVATE, SENSITIVE and not EXTRACTABLE.

pub(crate) mod build;
pub(crate) mod change;
pub(crate) mod shape;
pub(crate) mod usage;

use crate::profile::Profile;

/// Who is logged in. The SO sees and makes public objects only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Public,
    User,
    So,
}

/// On whose behalf a rule is asked.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) role: Role,
    pub(crate) read_write: bool,
    pub(crate) profile: &'static Profile,
}
