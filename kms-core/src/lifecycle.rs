//! The life cycle of a key after NIST SP 800-57 part 1, section 7.
//!
//! Not the ceremony around a transition and not the HSM. Guards: only transitions of the standard;
//! destruction and compromise are never undone. Narrower than the standard in one point: a key in use
//! is deactivated before it is destroyed, so that destruction always has two steps.

/// State of a key.
// Stored format: the names stand in log entries and are never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyState {
    /// Made, not yet used; serves only for its check value and proof of possession.
    PreActive,
    /// In use.
    Active,
    /// Out of use for a time; protects nothing new.
    Suspended,
    /// Out of use for good; protects nothing new, may process what it protected.
    Deactivated,
    /// No longer trusted.
    Compromised,
    /// Gone.
    Destroyed,
    /// Gone, and was not trusted.
    DestroyedCompromised,
}

impl KeyState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::PreActive,
        Self::Active,
        Self::Suspended,
        Self::Deactivated,
        Self::Compromised,
        Self::Destroyed,
        Self::DestroyedCompromised,
    ];

    /// The name in log entries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreActive => "pre-active",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
            Self::DestroyedCompromised => "destroyed-compromised",
        }
    }

    /// The state with this [`Self::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the key may protect something new: derive, wrap, sign.
    #[must_use]
    pub const fn may_protect(self) -> bool {
        matches!(self, Self::Active)
    }

    /// Whether anything is left of the key.
    #[must_use]
    pub const fn exists(self) -> bool {
        !matches!(self, Self::Destroyed | Self::DestroyedCompromised)
    }
}

impl std::fmt::Display for KeyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What is asked of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyCommand {
    /// Begin to use it.
    Activate,
    /// Use it no more.
    Deactivate,
    /// Destroy it and every copy.
    Destroy,
    /// Declare it no longer trusted.
    MarkCompromised,
    /// Use it again after a suspension.
    Resume,
    /// Stop using it for a time.
    Suspend,
}

impl KeyCommand {
    /// Every command.
    pub const ALL: [Self; 6] =
        [Self::Activate, Self::Deactivate, Self::Destroy, Self::MarkCompromised, Self::Resume, Self::Suspend];

    /// The name in plans.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::Destroy => "destroy",
            Self::MarkCompromised => "mark-compromised",
            Self::Resume => "resume",
            Self::Suspend => "suspend",
        }
    }
}

impl std::fmt::Display for KeyCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A change of state. Only [`decide`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transition {
    from: KeyState,
    to: KeyState,
}

impl Transition {
    /// The state before.
    #[must_use]
    pub const fn from(self) -> KeyState {
        self.from
    }

    /// The state after.
    #[must_use]
    pub const fn to(self) -> KeyState {
        self.to
    }
}

/// What `command` does to a key in `state`; `Ok(None)` if that is so already.
pub const fn decide(state: KeyState, command: KeyCommand) -> Result<Option<Transition>, TransitionRefused> {
    use KeyCommand as C;
    use KeyState as S;
    let to = match (state, command) {
        (S::PreActive | S::Active, C::Activate) => S::Active,
        (S::Active | S::Suspended, C::Suspend) => S::Suspended,
        (S::Suspended | S::Active, C::Resume) => S::Active,
        (S::Active | S::Suspended | S::Deactivated, C::Deactivate) => S::Deactivated,
        (S::PreActive | S::Active | S::Suspended | S::Deactivated | S::Compromised, C::MarkCompromised) => {
            S::Compromised
        }
        // A destroyed key that turns out to have leaked before.
        (S::Destroyed | S::DestroyedCompromised, C::MarkCompromised) => S::DestroyedCompromised,
        (S::PreActive | S::Deactivated | S::Destroyed, C::Destroy) => S::Destroyed,
        (S::Compromised | S::DestroyedCompromised, C::Destroy) => S::DestroyedCompromised,
        _ => return Err(TransitionRefused { state, command }),
    };
    if to as u8 == state as u8 { Ok(None) } else { Ok(Some(Transition { from: state, to })) }
}

/// The state after a decided transition; `None` if the key is not in the state it was decided for.
#[must_use]
pub const fn apply(state: KeyState, transition: Transition) -> Option<KeyState> {
    if state as u8 == transition.from as u8 { Some(transition.to) } else { None }
}

/// There is no such transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key that is {state} cannot be asked to {command}")]
pub struct TransitionRefused {
    /// Where the key stands.
    pub state: KeyState,
    /// What was asked.
    pub command: KeyCommand,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of different states that is connected; all others are refused.
    const CONNECTED: [(KeyState, KeyState); 13] = [
        (KeyState::PreActive, KeyState::Active),
        (KeyState::PreActive, KeyState::Compromised),
        (KeyState::PreActive, KeyState::Destroyed),
        (KeyState::Active, KeyState::Suspended),
        (KeyState::Active, KeyState::Deactivated),
        (KeyState::Active, KeyState::Compromised),
        (KeyState::Suspended, KeyState::Active),
        (KeyState::Suspended, KeyState::Deactivated),
        (KeyState::Suspended, KeyState::Compromised),
        (KeyState::Deactivated, KeyState::Compromised),
        (KeyState::Deactivated, KeyState::Destroyed),
        (KeyState::Compromised, KeyState::DestroyedCompromised),
        (KeyState::Destroyed, KeyState::DestroyedCompromised),
    ];

    #[test]
    fn full_matrix() {
        for from in KeyState::ALL {
            for to in KeyState::ALL {
                let reachable = KeyCommand::ALL
                    .into_iter()
                    .filter_map(|command| decide(from, command).ok().flatten())
                    .any(|transition| transition.to() == to);
                assert_eq!(reachable, CONNECTED.contains(&(from, to)), "{from} to {to}");
            }
        }
    }

    #[test]
    fn what_is_done_already_is_no_transition() {
        for state in KeyState::ALL {
            for command in KeyCommand::ALL {
                if let Ok(Some(transition)) = decide(state, command) {
                    assert_eq!(transition.from(), state);
                    assert_ne!(transition.to(), state);
                    assert_eq!(apply(state, transition), Some(transition.to()));
                    assert_eq!(decide(transition.to(), command), Ok(None), "{state} {command}");
                }
            }
        }
    }

    #[test]
    fn applying_elsewhere_changes_nothing() {
        let suspend = decide(KeyState::Active, KeyCommand::Suspend).unwrap().unwrap();
        assert_eq!(apply(KeyState::Deactivated, suspend), None);
    }

    #[test]
    fn only_active_keys_protect() {
        let protecting: Vec<_> = KeyState::ALL.into_iter().filter(|state| state.may_protect()).collect();
        assert_eq!(protecting, [KeyState::Active]);
    }

    #[test]
    fn names_round_trip() {
        for state in KeyState::ALL {
            assert_eq!(KeyState::from_name(state.name()), Some(state));
        }
    }
}
