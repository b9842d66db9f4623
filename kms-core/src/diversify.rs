//! Key diversification (密钥分散): factors, blocks and paths.
//!
//! Not a cipher: the HSM encrypts the blocks made here, and keys never come near this module. Guards:
//! no block is all zero (its cipher would be the check value of the parent); a card factor never has
//! the form of a region factor (its child would be an intermediate master); a path is applied whole.

mod factor;
mod path;

pub use factor::{CardFactor, Factor8, InvalidCardFactor, InvalidProvinceCode, ProvinceCode};
pub use path::{FactorForm, InvalidPath, KeyLevel, PATH_ELEMENTS_MAX, Path, PathElement};

use crate::digest::Digest;

/// One block of SM4: what the HSM encrypts under the parent to get the child.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block16([u8; 16]);

impl Block16 {
    /// A raw 16-byte factor. Refuses the all-zero block.
    pub fn raw(bytes: [u8; 16]) -> Result<Self, ZeroBlock> {
        if bytes == [0; 16] { Err(ZeroBlock) } else { Ok(Self(bytes)) }
    }

    /// The bytes, as they go to the HSM.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Debug for Block16 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Block16(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// `F ‖ ~F`: the block of an 8-byte factor. Never all zero.
#[must_use]
pub fn block16(factor: Factor8) -> Block16 {
    let mut bytes = [0; 16];
    let (left, right) = bytes.split_at_mut(8);
    left.copy_from_slice(factor.as_bytes());
    right.iter_mut().zip(factor.as_bytes()).for_each(|(byte, factor)| *byte = !factor);
    Block16(bytes)
}

/// The block that diversifies one master from a root seed (总控根密钥): the first 16 bytes of
/// SM3("KMS-MASTER/1" ‖ 00 ‖ profile id ‖ 00 ‖ key name ‖ 00 ‖ group).
///
/// Refuses names with a zero byte, which would make two inputs the same.
// Changing this changes every master that is made from a seed.
pub fn master_block(profile_id: &str, key_name: &str, group: u8) -> Result<Block16, MasterBlockError> {
    if profile_id.bytes().chain(key_name.bytes()).any(|byte| byte == 0) {
        return Err(MasterBlockError::ZeroByte);
    }
    let digest =
        Digest::of_parts(&[b"KMS-MASTER/1", &[0], profile_id.as_bytes(), &[0], key_name.as_bytes(), &[0], &[group]]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    Ok(Block16::raw(bytes)?)
}

/// A diversification block of sixteen zero bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an all-zero diversification block would reveal the check value as key bytes")]
pub struct ZeroBlock;

/// Why a master has no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterBlockError {
    /// A name holds the separator.
    #[error("profile id and key name must not hold a zero byte")]
    ZeroByte,
    /// The hash is zero: does not happen.
    #[error(transparent)]
    ZeroBlock(#[from] ZeroBlock),
}
