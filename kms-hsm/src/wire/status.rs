//! A token's status, and what the worker has given up, on the pipe.

use kms_core::ports::{Hold, LaneStatus, PinState, Restriction, TokenStatus};
use serde::{Deserialize, Serialize};

/// One [`Restriction`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WireRestriction {
    measure: String,
    hold: u8,
    note: String,
}

const HOLDS: [Hold; 3] = [Hold::InForce, Hold::Waived, Hold::Lacking];

impl From<Restriction> for WireRestriction {
    fn from(restriction: Restriction) -> Self {
        let hold = HOLDS.iter().zip(0..).find(|(hold, _)| **hold == restriction.hold).map_or(u8::MAX, |(_, n)| n);
        Self { measure: restriction.measure, hold, note: restriction.note }
    }
}

impl From<WireRestriction> for Restriction {
    fn from(restriction: WireRestriction) -> Self {
        let hold = HOLDS.get(usize::from(restriction.hold)).copied().unwrap_or(Hold::Lacking);
        Self { measure: restriction.measure, hold, note: restriction.note }
    }
}

/// Token identity and PIN state, and the worker's restrictions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    label: String,
    manufacturer: String,
    model: String,
    serial: String,
    firmware: String,
    map: String,
    user_pin: u8,
    lanes_wanted: u16,
    lanes_given: Option<u16>,
    restrictions: Vec<WireRestriction>,
}

const PIN_STATES: [PinState; 4] = [PinState::Good, PinState::CountLow, PinState::FinalTry, PinState::Locked];

impl From<TokenStatus> for Status {
    fn from(status: TokenStatus) -> Self {
        let state =
            PIN_STATES.iter().zip(0..).find(|(state, _)| **state == status.user_pin).map_or(u8::MAX, |(_, n)| n);
        Self {
            label: status.label,
            manufacturer: status.manufacturer,
            model: status.model,
            serial: status.serial,
            firmware: status.firmware,
            map: status.map,
            user_pin: state,
            lanes_wanted: status.lanes.wanted,
            lanes_given: status.lanes.given,
            restrictions: status.restrictions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Status> for TokenStatus {
    fn from(status: Status) -> Self {
        Self {
            user_pin: PIN_STATES.get(usize::from(status.user_pin)).copied().unwrap_or(PinState::Locked),
            label: status.label,
            manufacturer: status.manufacturer,
            model: status.model,
            serial: status.serial,
            firmware: status.firmware,
            map: status.map,
            lanes: LaneStatus { wanted: status.lanes_wanted, given: status.lanes_given },
            restrictions: status.restrictions.into_iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pin_states_and_restrictions_survive() {
        for state in PIN_STATES {
            let text = || "x".to_owned();
            let status = TokenStatus {
                label: text(),
                manufacturer: text(),
                model: text(),
                serial: text(),
                firmware: text(),
                map: text(),
                user_pin: state,
                lanes: LaneStatus { wanted: 64, given: Some(16) },
                restrictions: HOLDS.map(|hold| Restriction { measure: text(), hold, note: text() }).to_vec(),
            };
            assert_eq!(TokenStatus::from(Status::from(status.clone())), status);
        }
    }
}
