//! Key pairs for attacks 2, 8 and 17: SM2, or RSA where the suite has no SM2.

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_OBJECT_HANDLE, CKA_CLASS, CKA_DECRYPT, CKA_EC_PARAMS, CKA_EC_POINT, CKA_ENCRYPT,
    CKA_EXTRACTABLE, CKA_KEY_TYPE, CKA_MODULUS, CKA_MODULUS_BITS, CKA_PRIVATE, CKA_PUBLIC_EXPONENT, CKA_SENSITIVE,
    CKA_TOKEN, CKA_UNWRAP, CKA_WRAP, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
};

use super::bench::{Bench, Halt, Tried, no_scene, with_flags};
use crate::masters::sealing;
use crate::pair::SM2_CURVE;
use crate::raw::{Encoded, Mechanism, Parameter};
use crate::template::{Template, Value};
use crate::vendor::{Operation, Suite};

/// Bits of the RSA keys: enough for OAEP, quick to make.
const RSA_BITS: u64 = 2048;
/// 65537.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

impl Bench<'_> {
    /// Encryption to a public key.
    pub(crate) fn seal(&self) -> Result<Mechanism<'static>, Halt> {
        self.mechanism(Operation::Seal, sealing(self.token))
    }

    /// Unwrapping with its private half.
    pub(crate) fn open(&self) -> Result<Mechanism<'static>, Halt> {
        self.mechanism(Operation::Open, sealing(self.token))
    }

    fn public(&self) -> Template {
        let base =
            Template::default().number(CKA_CLASS, CKO_PUBLIC_KEY).flag(CKA_TOKEN, false).flag(CKA_PRIVATE, false);
        let base = base.number(CKA_KEY_TYPE, self.token.map().key_types().seal);
        match self.token.map().suite() {
            Suite::Sm => base.bytes(CKA_EC_PARAMS, &SM2_CURVE),
            Suite::Intl => base,
        }
    }

    /// A key pair that encrypts keys, with these uses.
    pub(crate) fn pair(
        &mut self,
        public: &[CK_ATTRIBUTE_TYPE],
        private: &[(CK_ATTRIBUTE_TYPE, bool)],
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE), Halt> {
        self.make_pair(public, private, None)
    }

    /// The same with one attribute more on the private half.
    pub(super) fn pair_with(
        &mut self,
        public: &[CK_ATTRIBUTE_TYPE],
        private: &[(CK_ATTRIBUTE_TYPE, bool)],
        more: (CK_ATTRIBUTE_TYPE, Value),
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE), Halt> {
        self.make_pair(public, private, Some(more))
    }

    fn make_pair(
        &mut self,
        public: &[CK_ATTRIBUTE_TYPE],
        private: &[(CK_ATTRIBUTE_TYPE, bool)],
        more: Option<(CK_ATTRIBUTE_TYPE, Value)>,
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE), Halt> {
        let uses: Vec<_> = public.iter().map(|kind| (*kind, true)).collect();
        let mut ours = with_flags(self.public(), &uses);
        let suite = self.token.map().suite();
        let number = match suite {
            Suite::Sm => self.number(Operation::PairGen)?,
            Suite::Intl => self.number(Operation::SealPairGen)?,
        };
        if suite == Suite::Intl {
            ours = ours.number(CKA_MODULUS_BITS, RSA_BITS).bytes(CKA_PUBLIC_EXPONENT, &RSA_EXPONENT);
        }
        let theirs = Template::default()
            .number(CKA_CLASS, CKO_PRIVATE_KEY)
            .number(CKA_KEY_TYPE, self.token.map().key_types().seal)
            .flag(CKA_TOKEN, false)
            .flag(CKA_PRIVATE, true)
            .flag(CKA_SENSITIVE, true)
            .flag(CKA_EXTRACTABLE, false);
        let mut theirs = with_flags(theirs, private);
        if let Some((kind, value)) = more {
            theirs = theirs.with(kind, value);
        }
        let mechanism = Mechanism { number, parameter: Parameter::Nothing };
        let (mut ours, mut theirs) = (Encoded::of(&ours), Encoded::of(&theirs));
        let (public, private) = self.functions().generate_key_pair(self.session, mechanism, &mut ours, &mut theirs)?;
        Ok((self.keep(public), self.keep(private)))
    }

    /// The public half once more, as an object of its own.
    fn public_again(&mut self, public: CK_OBJECT_HANDLE, use_: CK_ATTRIBUTE_TYPE) -> Result<CK_OBJECT_HANDLE, Halt> {
        let functions = self.functions();
        let kinds: &[CK_ATTRIBUTE_TYPE] = match self.token.map().suite() {
            Suite::Sm => &[CKA_EC_POINT],
            Suite::Intl => &[CKA_MODULUS, CKA_PUBLIC_EXPONENT],
        };
        let mut template = self.public().flag(use_, true);
        for kind in kinds {
            let value = functions.value(self.session, public, *kind)?.unwrap_or_default();
            template = template.bytes(*kind, &value);
        }
        let again = functions.create_object(self.session, &mut Encoded::of(&template))?;
        Ok(self.keep(again))
    }
}

fn leave(bench: &mut Bench<'_>, by: CK_OBJECT_HANDLE, private: CK_OBJECT_HANDLE) -> Tried {
    let (seal, target) = (bench.seal()?, bench.target()?);
    let blob = bench.wrap(seal, by, target)?;
    let value = bench.functions().decrypt(bench.session, seal, private, &blob, 512)?;
    bench.confirm(&value, target)?;
    Ok("a key that left under the public half was decrypted with the private half".to_owned())
}

pub(super) fn pair_wraps_and_decrypts(bench: &mut Bench<'_>) -> Tried {
    bench.seal()?;
    let (public, private) = bench.pair(&[CKA_WRAP], &[(CKA_DECRYPT, true)])?;
    leave(bench, public, private)
}

pub(super) fn pair_wraps_and_unwraps(bench: &mut Bench<'_>) -> Tried {
    let (seal, open) = (bench.seal()?, bench.open()?);
    let (public, private) = bench.pair(&[CKA_WRAP], &[(CKA_UNWRAP, true)])?;
    let target = bench.target()?;
    let blob = bench.wrap(seal, public, target)?;
    let template = bench.bare().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
    let key = bench.unwrap(open, private, &blob, &template)?;
    bench.read(key)?;
    Ok("a key that left under the public half came back readable".to_owned())
}

pub(super) fn public_half_again(bench: &mut Bench<'_>) -> Tried {
    bench.seal()?;
    let pair = bench.pair(&[CKA_ENCRYPT], &[(CKA_DECRYPT, true)]);
    let (public, private) = no_scene("a pair that encrypts", pair)?;
    let again = bench.public_again(public, CKA_WRAP)?;
    leave(bench, again, private)
}
