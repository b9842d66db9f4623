//! Key management (PKCS#11 2.40 §5.13): generate, wrap, unwrap, derive.

use std::sync::Arc;

use cryptoki_sys::{
    CK_OBJECT_HANDLE, CK_ULONG, CK_UNAVAILABLE_INFORMATION, CKA_CHECK_VALUE, CKA_CLASS, CKA_DERIVE_TEMPLATE,
    CKA_EC_PARAMS, CKA_EC_POINT, CKA_KEY_TYPE, CKA_VALUE_LEN, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
    CKR_ATTRIBUTE_READ_ONLY, CKR_KEY_HANDLE_INVALID, CKR_KEY_NOT_WRAPPABLE, CKR_KEY_SIZE_RANGE,
    CKR_KEY_TYPE_INCONSISTENT, CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_TEMPLATE_INCOMPLETE,
    CKR_TEMPLATE_INCONSISTENT, CKR_UNWRAPPING_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
    CKR_WRAPPED_KEY_INVALID, CKR_WRAPPING_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
};
use sm4::cipher::BlockCipherEncrypt;

use super::objects::{add, ensure_curve, put_curve};
use crate::{
    attribute::{Attrs, Flags, Value},
    mechanism::{BLOCK_BYTES, Mechanism, Parameter, sm2, wrap},
    object::Object,
    profile::{KeyKind, Mech, Profile},
    rules::{
        build::{BLOCK_KEY_BYTES, Origin, derived_shape, ensure_length, require, require_kind, settle},
        shape::ensure_pair,
        usage::{ensure_component, ensure_encrypt_data_base, ensure_wrappable},
    },
    rv::{Result, Rv, ensure},
    secret::Secret,
    session::Session,
    token::Key,
};

/// Generic secrets shorter than this are passwords, not keys.
const GENERATED_BYTES_MIN: CK_ULONG = 16;
const GENERATED_BYTES_MAX: CK_ULONG = 512;
/// Component keys of one XOR, the base included.
pub(crate) const COMPONENTS_MAX: usize = 16;

/// C_GenerateKey.
pub(crate) fn generate(session: &Session, mechanism: &Mechanism, template: Attrs) -> Result<CK_OBJECT_HANDLE> {
    let caller = session.caller();
    let mut attrs = template;
    require(&mut attrs, CKA_CLASS, CKO_SECRET_KEY)?;
    let length = match mechanism.mech {
        Mech::Sm4KeyGen | Mech::Sm1KeyGen => {
            let kind = if mechanism.mech == Mech::Sm4KeyGen { KeyKind::Sm4 } else { KeyKind::Sm1 };
            require_kind(&mut attrs, kind, caller.profile)?;
            require(&mut attrs, CKA_VALUE_LEN, BLOCK_KEY_BYTES as CK_ULONG)?;
            BLOCK_KEY_BYTES as CK_ULONG
        }
        Mech::GenericSecretKeyGen => {
            if attrs.number(CKA_KEY_TYPE) != Some(caller.profile.key_type(KeyKind::HmacSm3)) {
                require_kind(&mut attrs, KeyKind::Generic, caller.profile)?;
            }
            let length = attrs.number(CKA_VALUE_LEN).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
            ensure((GENERATED_BYTES_MIN..=GENERATED_BYTES_MAX).contains(&length), CKR_KEY_SIZE_RANGE)?;
            length
        }
        _ => return Err(Rv(CKR_MECHANISM_INVALID)),
    };
    ensure(attrs.get(CKA_CHECK_VALUE).is_none(), CKR_ATTRIBUTE_READ_ONLY)?;
    let origin = Origin::Generated(mechanism.number);
    let mut attrs = settle(attrs, &origin, caller)?;
    attrs.set_value(Arc::new(Secret::random(length as usize)?));
    add(session, attrs, None)
}

/// C_GenerateKeyPair: (public, private).
pub(crate) fn generate_pair(
    session: &Session,
    mechanism: &Mechanism,
    mut public: Attrs,
    mut private: Attrs,
) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)> {
    ensure(mechanism.mech == Mech::Sm2KeyPairGen, CKR_MECHANISM_INVALID)?;
    let caller = session.caller();
    for (half, class) in [(&mut public, CKO_PUBLIC_KEY), (&mut private, CKO_PRIVATE_KEY)] {
        require(half, CKA_CLASS, class)?;
        require_kind(half, KeyKind::Sm2, caller.profile)?;
        ensure(half.get(CKA_EC_POINT).is_none(), CKR_ATTRIBUTE_READ_ONLY)?;
        ensure_curve(half)?;
    }
    let curve_stated = public.get(CKA_EC_PARAMS).is_some() || !caller.profile.curve_required();
    ensure(curve_stated, CKR_TEMPLATE_INCOMPLETE)?;
    let origin = Origin::Generated(mechanism.number);
    let mut public = settle(public, &origin, caller)?;
    let mut private = settle(private, &origin, caller)?;
    ensure_pair(&public, &private)?;
    let (secret, point) = sm2::generate()?;
    put_curve(&mut public, &point)?;
    put_curve(&mut private, &point)?;
    private.set_value(Arc::new(secret));
    let private = add(session, private, None)?;
    match add(session, public, None) {
        Ok(public) => Ok((public, private)),
        Err(error) => {
            // Half a pair is of no use to anybody.
            session.token().destroy(private, |_| Ok(()))?;
            Err(error)
        }
    }
}

/// A key that may leave, and the key it leaves under.
pub(crate) struct Wrapping {
    wrapper: Key,
    target: Arc<Object>,
    length: usize,
}

impl Wrapping {
    /// Checks everything that C_WrapKey checks.
    pub(crate) fn check(
        session: &Session,
        mechanism: &Mechanism,
        wrapper: CK_OBJECT_HANDLE,
        target: CK_OBJECT_HANDLE,
    ) -> Result<Self> {
        let profile = session.caller().profile;
        let wrapper_handle = wrapper;
        let token = session.token();
        let wrapper = session.known_key(wrapper, CKR_WRAPPING_KEY_HANDLE_INVALID)?;
        let target_key = token.key(target, CKR_KEY_HANDLE_INVALID)?;
        let fits = match mechanism.mech {
            Mech::Sm2Encrypt => wrapper.class() == CKO_PUBLIC_KEY,
            mech => wrapper.key_kind() == Some(mech.block_cipher().ok_or(Rv(CKR_MECHANISM_INVALID))?),
        };
        ensure(fits, CKR_WRAPPING_KEY_TYPE_INCONSISTENT)?;
        crate::rules::usage::ensure_use(&wrapper, Flags::WRAP, mechanism.number)?;
        ensure(wrapper_handle != target, CKR_KEY_NOT_WRAPPABLE)?;
        ensure_wrappable(&wrapper, &target_key, profile)?;
        let length = wrap::length(mechanism, &target_key)?;
        Ok(Self { wrapper, target: target_key, length })
    }

    /// Exact length of the blob.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Fills `out`, which has [`Wrapping::length`] bytes.
    pub(crate) fn write(&self, mechanism: &Mechanism, out: &mut [u8]) -> Result<()> {
        wrap::wrap(mechanism, &self.wrapper, &self.target, out)
    }
}

/// C_UnwrapKey.
pub(crate) fn unwrap(
    session: &Session,
    mechanism: &Mechanism,
    unwrapper: CK_OBJECT_HANDLE,
    blob: &[u8],
    template: Attrs,
) -> Result<CK_OBJECT_HANDLE> {
    let caller = session.caller();
    let key = session.known_key(unwrapper, CKR_UNWRAPPING_KEY_HANDLE_INVALID)?;
    let fits = match mechanism.mech {
        Mech::Sm2Encrypt => key.class() == CKO_PRIVATE_KEY,
        mech => key.key_kind() == Some(mech.block_cipher().ok_or(Rv(CKR_MECHANISM_INVALID))?),
    };
    ensure(fits, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT)?;
    crate::rules::usage::ensure_use(&key, Flags::UNWRAP, mechanism.number)?;
    let mut attrs = template;
    let stated_check = attrs.remove(CKA_CHECK_VALUE);
    let mut attrs = settle(attrs, &Origin::Unwrapped(&key), caller)?;
    ensure(attrs.number(CKA_CLASS) == Some(CKO_SECRET_KEY), CKR_TEMPLATE_INCONSISTENT)?;

    let secret = wrap::unwrap(mechanism, &key, blob)?;
    let kind = attrs.number(CKA_KEY_TYPE).and_then(|number| caller.profile.key_kind(number));
    let kind = kind.ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
    ensure_length(kind, secret.len()).map_err(|_| Rv(CKR_WRAPPED_KEY_INVALID))?;
    let length = secret.len() as CK_ULONG;
    ensure(attrs.number(CKA_VALUE_LEN).is_none_or(|stated| stated == length), CKR_WRAPPED_KEY_INVALID)?;
    attrs.put(CKA_VALUE_LEN, Value::Number(length));
    attrs.set_value(Arc::new(secret));
    add(session, attrs, stated_check)
}

/// C_DeriveKey.
pub(crate) fn derive(
    session: &Session,
    mechanism: &Mechanism,
    base: CK_OBJECT_HANDLE,
    template: Attrs,
) -> Result<CK_OBJECT_HANDLE> {
    let base_key = session.key(base, Flags::DERIVE, mechanism.number)?;
    match (mechanism.mech, &mechanism.parameter) {
        (Mech::Sm4EcbEncryptData | Mech::Sm1EcbEncryptData, Parameter::StringData(data)) => {
            ensure(base_key.key_kind() == mechanism.mech.derivation_cipher(), CKR_KEY_TYPE_INCONSISTENT)?;
            encrypt_data(session, &base_key, data, template)
        }
        (Mech::XorKeys, Parameter::Handles(others)) => xor_keys(session, mechanism, (base, base_key), others, template),
        (Mech::Sm4EcbEncryptData | Mech::Sm1EcbEncryptData | Mech::XorKeys, _) => Err(Rv(CKR_MECHANISM_PARAM_INVALID)),
        _ => Err(Rv(CKR_MECHANISM_INVALID)),
    }
}

/// The child is E_base(data): one pass of SM4-ECB (PKCS#11 2.40 §2.15, the SM4 counterpart of AES_ECB_ENCRYPT_DATA).
fn encrypt_data(session: &Session, base: &Object, data: &[u8], mut template: Attrs) -> Result<CK_OBJECT_HANDLE> {
    let caller = session.caller();
    let schedule = base.block_cipher()?;
    ensure_encrypt_data_base(base, caller.profile)?;
    let key_type = base.attrs().number(CKA_KEY_TYPE).ok_or(Rv(CKR_KEY_TYPE_INCONSISTENT))?;
    let length = derived_shape(&mut template, base, (key_type, BLOCK_KEY_BYTES))?;
    // One input per child: longer data of which the tail is ignored would give the same child again.
    let exact = !data.is_empty() && data.len() == length.next_multiple_of(BLOCK_BYTES);
    ensure(exact, CKR_MECHANISM_PARAM_INVALID)?;
    let stated_check = template.remove(CKA_CHECK_VALUE);
    let mut attrs = settle(template, &Origin::Derived(&[base]), caller)?;
    ensure_derived_length(&attrs, length, caller.profile)?;

    let mut child = Secret::copy_of(data);
    for block in child.expose_mut().as_chunks_mut::<BLOCK_BYTES>().0 {
        schedule.encrypt_block(block.into());
    }
    if child.len() != length {
        child = Secret::copy_of(&child.expose()[..length]);
    }
    attrs.set_value(Arc::new(child));
    add(session, attrs, stated_check)
}

/// The child is base ⊕ others: component keys become one key inside the token. Any single component, and any sum that
/// lacks one, says nothing about the result.
fn xor_keys(
    session: &Session,
    mechanism: &Mechanism,
    (base_handle, base): (CK_OBJECT_HANDLE, Key),
    others: &[CK_OBJECT_HANDLE],
    mut template: Attrs,
) -> Result<CK_OBJECT_HANDLE> {
    let caller = session.caller();
    ensure(!others.is_empty() && others.len() < COMPONENTS_MAX, CKR_MECHANISM_PARAM_INVALID)?;
    let mut handles = vec![base_handle];
    let mut keys = vec![base];
    for handle in others {
        ensure(!handles.contains(handle), CKR_MECHANISM_PARAM_INVALID)?;
        handles.push(*handle);
        keys.push(session.key(*handle, Flags::DERIVE, mechanism.number)?);
    }
    for (at, key) in keys.iter().enumerate() {
        ensure_component(key, caller.profile)?;
        ensure(key.key_kind() == keys[0].key_kind(), CKR_KEY_TYPE_INCONSISTENT)?;
        let same_pins = key.attrs().template(CKA_DERIVE_TEMPLATE) == keys[0].attrs().template(CKA_DERIVE_TEMPLATE);
        ensure(same_pins, CKR_TEMPLATE_INCONSISTENT)?;
        // Two equal components cancel out: one of them was copied to take another custodian's place.
        for earlier in &keys[..at] {
            ensure(!earlier.secret()?.equals(key.secret()?.expose()), CKR_MECHANISM_PARAM_INVALID)?;
        }
    }
    let length = keys[0].secret()?.len();
    let usual = (keys[0].attrs().number(CKA_KEY_TYPE).unwrap_or(CK_UNAVAILABLE_INFORMATION), length);
    let wanted = derived_shape(&mut template, &keys[0], usual)?;
    let stated_check = template.remove(CKA_CHECK_VALUE);
    let bases: Vec<&Object> = keys.iter().map(|key| &***key).collect();
    let mut attrs = settle(template, &Origin::Derived(&bases), caller)?;
    ensure_derived_length(&attrs, wanted, caller.profile)?;
    let mut sum = Secret::zeroed(length)?;
    for key in &keys {
        let component = key.secret()?;
        ensure(component.len() == length && wanted == length, CKR_KEY_SIZE_RANGE)?;
        sum.expose_mut().iter_mut().zip(component.expose()).for_each(|(sum, byte)| *sum ^= byte);
    }
    attrs.set_value(Arc::new(sum));
    add(session, attrs, stated_check)
}

fn ensure_derived_length(attrs: &Attrs, length: usize, profile: &Profile) -> Result<()> {
    let kind = attrs.number(CKA_KEY_TYPE).and_then(|number| profile.key_kind(number));
    ensure_length(kind.ok_or(Rv(CKR_TEMPLATE_INCONSISTENT))?, length).map_err(|_| Rv(CKR_TEMPLATE_INCONSISTENT))
}
