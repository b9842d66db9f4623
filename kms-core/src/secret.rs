//! Secret bytes in memory: fixed-size keys and PINs; and what may be told of a key, its check value.
//!
//! Not a key store and not a vault: master and card keys never reach these types, they stay in the
//! HSM. Guards: secrets are created in place on the heap, never moved by value, wiped on drop, and
//! have no `Debug`, `Clone`, `Copy`, `Default`, `PartialEq` or DER form.

mod check_value;

pub use check_value::{Kcv, KcvMethod, KcvMismatch, ParseKcvError};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Longest PIN or pass phrase accepted, in bytes.
pub const PIN_BYTES_MAX: usize = 256;

/// `N` secret bytes, boxed so that moving the value leaves no copy behind.
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Fills a fresh box in place. `fill` sees zero bytes and must write all of them.
    pub fn try_from_fn<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        // Wrapped before it is filled, so that an error wipes what was written.
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Copies `bytes` and wipes the source.
    #[must_use]
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let mut secret = Self(Box::new([0; N]));
        secret.0.copy_from_slice(bytes);
        bytes.zeroize();
        secret
    }

    /// Reads the secret. The borrow ends before the value does; copies are the caller's to wipe.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

/// A PIN or pass phrase: 1 to [`PIN_BYTES_MAX`] bytes, wiped on drop.
pub struct Pin(Zeroizing<Vec<u8>>);

impl Pin {
    /// Takes the bytes over without copying them.
    pub fn new(bytes: Vec<u8>) -> Result<Self, InvalidPin> {
        let bytes = Zeroizing::new(bytes);
        if bytes.is_empty() {
            return Err(InvalidPin::Empty);
        }
        if bytes.len() > PIN_BYTES_MAX {
            return Err(InvalidPin::TooLong { limit: PIN_BYTES_MAX, found: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// Reads the PIN.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for Pin {
    type Error = InvalidPin;

    fn try_from(text: String) -> Result<Self, InvalidPin> {
        Self::new(text.into_bytes())
    }
}

impl ZeroizeOnDrop for Pin {}

/// Why bytes are not a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPin {
    /// No bytes.
    #[error("the PIN is empty")]
    Empty,
    /// Longer than any token accepts.
    #[error("the PIN has {found} bytes, at most {limit} are accepted")]
    TooLong {
        /// [`PIN_BYTES_MAX`].
        limit: usize,
        /// Bytes given.
        found: usize,
    },
}

/// Bytes of stack that [`scrub_stack`] overwrites: more than SM2 arithmetic uses, measured in a
/// debug build, and far less than the smallest thread stack.
const SCRUB_BYTES: usize = 64 * 1024;

/// Overwrites the stack below the caller, where curve arithmetic passed copies of a secret scalar by
/// value. Call it in the function that called the arithmetic, after the arithmetic returned.
#[inline(never)]
pub(crate) fn scrub_stack() {
    let mut below = [0u8; SCRUB_BYTES];
    below.zeroize();
    std::hint::black_box(&below);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_wipes_the_source() {
        let mut source = [7; 16];
        let secret = Secret::take(&mut source);
        assert_eq!(source, [0; 16]);
        assert_eq!(secret.expose(), &[7; 16]);
    }

    #[test]
    fn failing_to_fill_yields_the_error() {
        assert_eq!(Secret::<4>::try_from_fn(|_| Err(3)).err(), Some(3));
    }

    #[test]
    fn pin_bounds() {
        assert_eq!(Pin::new(Vec::new()).err(), Some(InvalidPin::Empty));
        assert_eq!(Pin::new(vec![1; PIN_BYTES_MAX]).map(|pin| pin.expose().len()), Ok(PIN_BYTES_MAX));
        let too_long = InvalidPin::TooLong { limit: PIN_BYTES_MAX, found: PIN_BYTES_MAX + 1 };
        assert_eq!(Pin::new(vec![1; PIN_BYTES_MAX + 1]).err(), Some(too_long));
    }
}
