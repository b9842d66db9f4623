//! The caller's memory: slices in, values and buffers out.

use cryptoki_sys::{
    CK_BYTE, CK_ULONG, CK_UTF8CHAR, CKR_ARGUMENTS_BAD, CKR_BUFFER_TOO_SMALL, CKR_DATA_LEN_RANGE,
    CKR_MECHANISM_PARAM_INVALID, CKR_PIN_LEN_RANGE,
};

use super::faults::plan;
use crate::rv::{Result, Rv, ensure};

/// No input or output of one call is longer.
const CALL_BYTES_MAX: CK_ULONG = 64 * 1024 * 1024;

/// The bytes at `data`. A null pointer is an empty input if the length says so.
pub(super) unsafe fn input<'a>(data: *const CK_BYTE, length: CK_ULONG) -> Result<&'a [u8]> {
    // SAFETY: the caller vouches for `length` bytes.
    Ok(unsafe { Input::new(data, length)?.bytes() })
}

/// Input whose memory the output may share (PKCS#11 2.40 §5.2 lets a caller encrypt in place): no slice of it lives while
/// output is written.
#[derive(Clone, Copy)]
pub(super) struct Input {
    data: *const CK_BYTE,
    length: CK_ULONG,
}

impl Input {
    pub(super) const NONE: Self = Self { data: std::ptr::null(), length: 0 };

    /// A null pointer is an empty input if the length says so.
    pub(super) fn new(data: *const CK_BYTE, length: CK_ULONG) -> Result<Self> {
        ensure(length == 0 || !data.is_null(), CKR_ARGUMENTS_BAD)?;
        ensure(length <= CALL_BYTES_MAX, CKR_DATA_LEN_RANGE)?;
        Ok(Self { data, length })
    }

    pub(super) fn len(self) -> usize {
        self.length as usize
    }

    /// The bytes, for one expression: before anything is written they must be out of use.
    pub(super) unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: checked in `new`, and the caller vouches for `length` bytes that nobody changes during the call.
        unsafe { std::slice::from_raw_parts(self.data, self.length as usize) }
    }
}

/// The struct at `from`, wherever it is aligned.
pub(super) unsafe fn read<T: Copy>(from: *const T) -> Result<T> {
    ensure(!from.is_null(), CKR_ARGUMENTS_BAD)?;
    // SAFETY: non-null, and the caller vouches that it is a T; T is a plain C struct.
    Ok(unsafe { from.read_unaligned() })
}

/// Stores `value` at `to`.
pub(super) unsafe fn write<T>(to: *mut T, value: T) -> Result<()> {
    ensure(!to.is_null(), CKR_ARGUMENTS_BAD)?;
    // SAFETY: non-null, and the caller vouches for room for a T.
    unsafe { to.write_unaligned(value) };
    Ok(())
}

/// A buffer of the caller for output of variable length (PKCS#11 2.40 §5.2).
pub(super) struct Output {
    data: *mut CK_BYTE,
    length: *mut CK_ULONG,
}

/// What became of an output.
#[derive(PartialEq, Eq)]
pub(super) enum Delivery {
    /// The caller only asked for the length; its operation goes on.
    LengthOnly,
    Written,
}

impl Output {
    pub(super) fn new(data: *mut CK_BYTE, length: *mut CK_ULONG) -> Result<Self> {
        ensure(!length.is_null(), CKR_ARGUMENTS_BAD)?;
        Ok(Self { data, length })
    }

    /// Is this a question for the length only?
    pub(super) fn is_question(&self) -> bool {
        self.data.is_null()
    }

    /// Is this a question for the length, or a buffer that is too short for `exact` bytes?
    pub(super) unsafe fn wants_less(&self, exact: usize) -> bool {
        // SAFETY: checked for null in `new`.
        self.data.is_null() || unsafe { self.length.read_unaligned() } < exact as CK_ULONG
    }

    /// Answers the length; otherwise lets `fill` write exactly `exact` bytes.
    pub(super) unsafe fn fill(&self, exact: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Delivery> {
        // SAFETY: checked for null in `new`.
        let room = unsafe { self.length.read_unaligned() };
        if self.data.is_null() || room < exact as CK_ULONG {
            let told = plan().filter(|_| self.data.is_null()).map_or(exact, |plan| plan.length(exact));
            // SAFETY: as above.
            unsafe { self.length.write_unaligned(told as CK_ULONG) };
            ensure(self.data.is_null(), CKR_BUFFER_TOO_SMALL)?;
            return Ok(Delivery::LengthOnly);
        }
        let mut written = exact;
        if exact > 0 {
            // SAFETY: non-null, and the caller vouches for `room` >= `exact` bytes.
            let out = unsafe { std::slice::from_raw_parts_mut(self.data, exact) };
            fill(out)?;
            if let Some(plan) = plan() {
                written = plan.answer(out);
            }
        }
        // SAFETY: checked for null in `new`.
        unsafe { self.length.write_unaligned(written as CK_ULONG) };
        Ok(Delivery::Written)
    }

    /// As [`Output::fill`], with bytes that are there already: the token's own, never the caller's input.
    pub(super) unsafe fn deliver(&self, bytes: &[u8]) -> Result<Delivery> {
        // SAFETY: passed on.
        unsafe {
            self.fill(bytes.len(), |out| {
                out.copy_from_slice(bytes);
                Ok(())
            })
        }
    }
}

/// Fills an array of the caller, as C_GetSlotList and C_GetMechanismList do.
pub(super) unsafe fn deliver_list(list: &[CK_ULONG], to: *mut CK_ULONG, count: *mut CK_ULONG) -> Result<()> {
    // SAFETY: passed on.
    let room = unsafe { read(count)? };
    // SAFETY: `read` has refused null.
    unsafe { write(count, list.len() as CK_ULONG)? };
    if to.is_null() {
        return Ok(());
    }
    ensure(room >= list.len() as CK_ULONG, CKR_BUFFER_TOO_SMALL)?;
    for (at, item) in list.iter().enumerate() {
        // SAFETY: the caller vouches for `room` >= `list.len()` entries.
        unsafe { to.add(at).write_unaligned(*item) };
    }
    Ok(())
}

/// A PIN. Null is not the empty PIN: it asks for a protected path, which the token does not have.
pub(super) unsafe fn pin<'a>(pin: *const CK_UTF8CHAR, length: CK_ULONG) -> Result<&'a [u8]> {
    ensure(!pin.is_null(), CKR_ARGUMENTS_BAD)?;
    ensure(length <= crate::token::PIN_BYTES_MAX as CK_ULONG, CKR_PIN_LEN_RANGE)?;
    // SAFETY: passed on.
    unsafe { input(pin, length) }
}

/// Any value of the wrong size inside an otherwise readable struct.
pub(super) const BAD_PARAMETER: Rv = Rv(CKR_MECHANISM_PARAM_INVALID);
