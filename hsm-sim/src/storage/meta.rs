//! The token's metadata file: label, serial, PIN counters, and the two token keys sealed under each PIN.
//!
//! ```text
//! "HSMSIMT1" instance:u64 label:32 so_failures:u8 user_failures:u8 so_seal user?:u8 [user_seal] sm3:32
//! seal = salt:16 nonce:12 ciphertext:32 tag:16          context = "HSMSIMT1" instance role:u8
//! ```
//! The plaintext of a seal is public_key:16 ‖ private_key:16. Both PINs open both: C_InitPIN by the SO must keep the
//! user's objects (PKCS#11 2.40 §5.5). That the SO sees no private objects is a rule of the token, not of the disk.

use cryptoki_sys::CKR_DEVICE_ERROR;
use sm3::{Digest, Sm3};

use crate::{
    rv::{Result, Rv, ensure},
    secret::{Secret, fill_random},
    storage::{
        codec::Reader,
        seal::{self, NONCE_BYTES, SALT_BYTES, SEAL_KEY_BYTES, TAG_BYTES},
    },
};

// Stored format: changing this needs a migration.
const MAGIC: &[u8; 8] = b"HSMSIMT1";
const SEALED_BYTES: usize = NONCE_BYTES + 2 * SEAL_KEY_BYTES + TAG_BYTES;
/// Bytes of a token label (PKCS#11 2.40 §5.5: blank-padded).
pub(crate) const LABEL_BYTES: usize = 32;

/// Whose PIN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PinOwner {
    So,
    User,
}

/// Token keys sealed under one PIN.
#[derive(Clone)]
struct PinSeal {
    salt: [u8; SALT_BYTES],
    sealed: [u8; SEALED_BYTES],
}

/// The keys that objects are sealed under.
pub(crate) struct TokenKeys {
    /// For secrets of public objects, for binding their attributes, and for naming identities.
    pub(crate) public: Secret,
    /// For private objects.
    pub(crate) private: Secret,
}

/// The contents of the file.
#[derive(Clone)]
pub(crate) struct Meta {
    instance: u64,
    label: [u8; LABEL_BYTES],
    so_failures: u8,
    user_failures: u8,
    so: PinSeal,
    user: Option<PinSeal>,
}

impl TokenKeys {
    pub(crate) fn random() -> Result<Self> {
        Ok(Self { public: Secret::random(SEAL_KEY_BYTES)?, private: Secret::random(SEAL_KEY_BYTES)? })
    }
}

impl Meta {
    /// A new token without a user PIN.
    pub(crate) fn new(instance: u64, label: [u8; LABEL_BYTES], so_pin: &[u8], keys: &TokenKeys) -> Result<Self> {
        let so = PinSeal::new(instance, PinOwner::So, so_pin, keys)?;
        Ok(Self { instance, label, so_failures: 0, user_failures: 0, so, user: None })
    }

    /// Random per initialisation; the serial number is its hex form.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    pub(crate) fn label(&self) -> &[u8; LABEL_BYTES] {
        &self.label
    }

    pub(crate) fn failures(&self, owner: PinOwner) -> u8 {
        match owner {
            PinOwner::So => self.so_failures,
            PinOwner::User => self.user_failures,
        }
    }

    pub(crate) fn set_failures(&mut self, owner: PinOwner, failures: u8) {
        match owner {
            PinOwner::So => self.so_failures = failures,
            PinOwner::User => self.user_failures = failures,
        }
    }

    pub(crate) fn has_user_pin(&self) -> bool {
        self.user.is_some()
    }

    /// Seals the token keys under a new PIN.
    pub(crate) fn set_pin(&mut self, owner: PinOwner, pin: &[u8], keys: &TokenKeys) -> Result<()> {
        let seal = PinSeal::new(self.instance, owner, pin, keys)?;
        match owner {
            PinOwner::So => self.so = seal,
            PinOwner::User => self.user = Some(seal),
        }
        Ok(())
    }

    /// The token keys, if the PIN is right.
    pub(crate) fn unseal(&self, owner: PinOwner, pin: &[u8]) -> Result<Option<TokenKeys>> {
        let seal = match owner {
            PinOwner::So => Some(&self.so),
            PinOwner::User => self.user.as_ref(),
        };
        let Some(seal) = seal else { return Ok(None) };
        let key = seal::pin_key(pin, &seal.salt)?;
        let Some(keys) = seal::open(&key, &context(self.instance, owner), &seal.sealed) else { return Ok(None) };
        let (public, private) = keys.split_at(SEAL_KEY_BYTES);
        Ok(Some(TokenKeys { public: Secret::copy_of(public), private: Secret::copy_of(private) }))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.instance.to_be_bytes());
        out.extend(self.label);
        out.extend([self.so_failures, self.user_failures]);
        self.so.encode(&mut out);
        out.push(u8::from(self.user.is_some()));
        if let Some(user) = &self.user {
            user.encode(&mut out);
        }
        let checksum = Sm3::digest(&out);
        out.extend_from_slice(&checksum);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let (body, checksum) = bytes.split_last_chunk::<32>().ok_or(Rv(CKR_DEVICE_ERROR))?;
        ensure(Sm3::digest(body).as_slice() == checksum, CKR_DEVICE_ERROR)?;
        let mut reader = Reader(body);
        ensure(reader.take(MAGIC.len())? == MAGIC, CKR_DEVICE_ERROR)?;
        let instance = reader.u64()?;
        let label = reader.array()?;
        let [so_failures, user_failures] = reader.array()?;
        let so = PinSeal::decode(&mut reader)?;
        let user = match reader.u8()? {
            0 => None,
            1 => Some(PinSeal::decode(&mut reader)?),
            _ => return Err(Rv(CKR_DEVICE_ERROR)),
        };
        ensure(reader.0.is_empty(), CKR_DEVICE_ERROR)?;
        Ok(Self { instance, label, so_failures, user_failures, so, user })
    }
}

impl PinSeal {
    fn new(instance: u64, owner: PinOwner, pin: &[u8], keys: &TokenKeys) -> Result<Self> {
        let mut salt = [0; SALT_BYTES];
        fill_random(&mut salt)?;
        let key = seal::pin_key(pin, &salt)?;
        let mut both = Secret::zeroed(2 * SEAL_KEY_BYTES)?;
        let (public, private) = both.expose_mut().split_at_mut(SEAL_KEY_BYTES);
        public.copy_from_slice(keys.public.expose());
        private.copy_from_slice(keys.private.expose());
        let sealed = seal::seal(&key, &context(instance, owner), both.expose())?;
        let sealed = sealed.try_into().map_err(|_| Rv(CKR_DEVICE_ERROR))?;
        Ok(Self { salt, sealed })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.salt);
        out.extend(self.sealed);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { salt: reader.array()?, sealed: reader.array()? })
    }
}

fn context(instance: u64, owner: PinOwner) -> Vec<u8> {
    let mut context = MAGIC.to_vec();
    context.extend(instance.to_be_bytes());
    context.push(match owner {
        PinOwner::So => 0,
        PinOwner::User => 1,
    });
    context
}
