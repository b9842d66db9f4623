//! A PKCS#11 module as a C program sees it: its function table, and nothing in between.
//!
//! The loop in [`Table::keys`] is what the other figures are measured against. It knows its template and its lengths
//! beforehand, checks return values, and copies answers into one buffer: less is not possible with this interface.

use std::path::Path;
use std::ptr;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_FUNCTION_LIST, CK_KEY_DERIVATION_STRING_DATA, CK_KEY_TYPE, CK_MECHANISM,
    CK_MECHANISM_TYPE, CK_OBJECT_CLASS, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SLOT_ID, CK_ULONG, CKA_CHECK_VALUE,
    CKA_CLASS, CKA_DERIVE, CKA_EXTRACTABLE, CKA_ID, CKA_KEY_TYPE, CKA_PRIVATE, CKA_SENSITIVE, CKA_TOKEN, CKA_VALUE_LEN,
    CKA_WRAP, CKA_WRAP_WITH_TRUSTED, CKF_OS_LOCKING_OK, CKF_RW_SESSION, CKF_SERIAL_SESSION, CKO_SECRET_KEY, CKU_SO,
    CKU_USER,
};

use crate::site::{KEK, MASTERS, PIN, SO_PIN, block};

/// Bytes of a check value in the answers.
const KCV_BYTES: usize = 3;
/// A wrapped key of 16 bytes.
const WRAPPED_BYTES: usize = 24;

/// What a make calls the algorithms.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) key_type: CK_KEY_TYPE,
    pub(crate) key_gen: CK_MECHANISM_TYPE,
    pub(crate) diversify: CK_MECHANISM_TYPE,
    pub(crate) key_wrap: CK_MECHANISM_TYPE,
    /// Does the transport key have CKA_TRUSTED, so that card keys can be bound to such keys?
    pub(crate) trusted: bool,
    /// Reads the check value of each key; SoftHSM shows a wrong one for derived keys.
    check_values: bool,
}

/// hsm-sim, as in `policies/hsm/hsm-sim.toml`.
pub(crate) const SM4: Numbers = Numbers {
    key_type: 0x8005_0001,
    key_gen: 0x8005_0001,
    diversify: 0x8005_0009,
    key_wrap: 0x8D53_0001,
    trusted: true,
    check_values: true,
};
/// AES: CKK_AES, CKM_AES_KEY_GEN, CKM_AES_ECB_ENCRYPT_DATA, CKM_AES_KEY_WRAP.
pub(crate) const AES: Numbers = Numbers {
    key_type: 0x1f,
    key_gen: 0x1080,
    diversify: 0x1104,
    key_wrap: 0x2109,
    trusted: false,
    check_values: false,
};

/// How a C program asks for a wrapped key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrapCalls {
    /// Into a buffer that is known to be large enough.
    One,
    /// First with NULL for the length, then into a buffer: what most programs and libraries do.
    Two,
}

/// An initialised module; the process ends with it.
pub(crate) struct Table {
    _library: cryptoki_sys::Pkcs11,
    functions: CK_FUNCTION_LIST,
    slot: CK_SLOT_ID,
    pub(crate) numbers: Numbers,
}

impl Table {
    /// Loads and initialises a module, and logs in to the one token that takes the PIN.
    pub(crate) fn open(module: &Path, numbers: Numbers) -> (Self, CK_SESSION_HANDLE) {
        // SAFETY: a module built or installed for tests; `list` and `arguments` are live locals.
        let (library, functions) = unsafe {
            let library = cryptoki_sys::Pkcs11::new(module).unwrap();
            let mut list = ptr::null_mut();
            assert_eq!(library.C_GetFunctionList.as_ref().unwrap()(&mut list), 0);
            let mut arguments = cryptoki_sys::CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..Default::default() };
            assert_eq!((*list).C_Initialize.unwrap()((&raw mut arguments).cast()), 0);
            (library, *list)
        };
        let mut table = Self { _library: library, functions, slot: 0, numbers };
        for slot in table.slots() {
            table.slot = slot;
            if let Some(session) = table.log_in(CKU_USER, PIN) {
                return (table, session);
            }
        }
        // A new token: the simulator's come from the worker, with its templates; others are made here.
        let free = *table.slots().last().unwrap();
        let mut label = *b"bench                           ";
        let length = SO_PIN.len() as CK_ULONG;
        // SAFETY: PINs and label are live; lengths are theirs.
        let made =
            unsafe { functions.C_InitToken.unwrap()(free, SO_PIN.as_ptr().cast_mut(), length, label.as_mut_ptr()) };
        assert_eq!(made, 0);
        let slots = table.slots();
        let officer = slots.into_iter().find_map(|slot| {
            table.slot = slot;
            table.log_in(CKU_SO, SO_PIN)
        });
        let session = officer.unwrap();
        // SAFETY: as above.
        unsafe {
            assert_eq!(functions.C_InitPIN.unwrap()(session, PIN.as_ptr().cast_mut(), PIN.len() as CK_ULONG), 0);
            assert_eq!(functions.C_CloseSession.unwrap()(session), 0);
        }
        let session = table.log_in(CKU_USER, PIN).unwrap();
        (0..MASTERS).for_each(|number| table.generate(session, number, CKA_DERIVE));
        table.generate(session, KEK, CKA_WRAP);
        (table, session)
    }

    fn slots(&self) -> Vec<CK_SLOT_ID> {
        let (mut slots, mut count): ([CK_SLOT_ID; 8], CK_ULONG) = ([0; 8], 8);
        // SAFETY: room for eight numbers.
        assert_eq!(unsafe { self.functions.C_GetSlotList.unwrap()(1, slots.as_mut_ptr(), &mut count) }, 0);
        slots[..count as usize].to_vec()
    }

    /// One more session.
    pub(crate) fn session(&self) -> Option<CK_SESSION_HANDLE> {
        let mut session = 0;
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        // SAFETY: `session` is a live local.
        let opened =
            unsafe { self.functions.C_OpenSession.unwrap()(self.slot, flags, ptr::null_mut(), None, &mut session) };
        (opened == 0).then_some(session)
    }

    fn log_in(&self, user: CK_ULONG, pin: &str) -> Option<CK_SESSION_HANDLE> {
        let session = self.session()?;
        // SAFETY: the PIN is live, the length its own.
        let answer =
            unsafe { self.functions.C_Login.unwrap()(session, user, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG) };
        (answer == 0).then_some(session)
    }

    fn generate(&self, session: CK_SESSION_HANDLE, number: u8, usage: CK_ULONG) {
        let (mut yes, mut no, mut length, mut id): (CK_BBOOL, CK_BBOOL, CK_ULONG, _) = (1, 0, 16, [number; 16]);
        // Each pointer is taken from the one local that stays.
        let mut template = [
            attribute(CKA_TOKEN, &mut yes),
            attribute(CKA_PRIVATE, &mut yes),
            attribute(CKA_SENSITIVE, &mut yes),
            attribute(CKA_EXTRACTABLE, &mut no),
            attribute(CKA_VALUE_LEN, &mut length),
            attribute(CKA_ID, &mut id),
            attribute(usage, &mut yes),
        ];
        let mut mechanism = mechanism(self.numbers.key_gen, None);
        let mut key = 0;
        let count = template.len() as CK_ULONG;
        // SAFETY: template and mechanism point to live locals.
        let made = unsafe {
            self.functions.C_GenerateKey.unwrap()(session, &mut mechanism, template.as_mut_ptr(), count, &mut key)
        };
        assert_eq!(made, 0);
    }

    /// The secret key with this id.
    pub(crate) fn find(&self, session: CK_SESSION_HANDLE, number: u8) -> CK_OBJECT_HANDLE {
        let (mut class, mut id) = (CKO_SECRET_KEY, [number; 16]);
        let mut template = [attribute(CKA_CLASS, &mut class), attribute(CKA_ID, &mut id)];
        let (mut object, mut found): (CK_OBJECT_HANDLE, CK_ULONG) = (0, 0);
        // SAFETY: every pointer leads to a live local.
        unsafe {
            assert_eq!(self.functions.C_FindObjectsInit.unwrap()(session, template.as_mut_ptr(), 2), 0);
            assert_eq!(self.functions.C_FindObjects.unwrap()(session, &mut object, 1, &mut found), 0);
            self.functions.C_FindObjectsFinal.unwrap()(session);
        }
        assert_eq!(found, 1, "no key {number}");
        object
    }

    /// Derives, checks, wraps and destroys a key for each of `cards` under each master.
    pub(crate) fn keys(
        &self,
        session: CK_SESSION_HANDLE,
        (masters, kek): (&[CK_OBJECT_HANDLE], CK_OBJECT_HANDLE),
        cards: std::ops::Range<usize>,
        calls: WrapCalls,
    ) -> Vec<u8> {
        let (mut class, mut kind, mut length): (CK_OBJECT_CLASS, CK_ULONG, CK_ULONG) =
            (CKO_SECRET_KEY, self.numbers.key_type, 16);
        let (mut yes, mut no): (CK_BBOOL, CK_BBOOL) = (1, 0);
        let mut template = [
            attribute(CKA_CLASS, &mut class),
            attribute(CKA_KEY_TYPE, &mut kind),
            attribute(CKA_VALUE_LEN, &mut length),
            attribute(CKA_TOKEN, &mut no),
            attribute(CKA_PRIVATE, &mut yes),
            attribute(CKA_SENSITIVE, &mut yes),
            attribute(CKA_EXTRACTABLE, &mut yes),
            attribute(CKA_WRAP_WITH_TRUSTED, &mut yes),
        ];
        let count = template.len() as CK_ULONG - CK_ULONG::from(!self.numbers.trusted);
        let mut wrap = mechanism(self.numbers.key_wrap, None);
        let mut out = Vec::with_capacity(cards.len() * masters.len() * (WRAPPED_BYTES + KCV_BYTES));
        let list = &self.functions;
        for card in cards {
            let mut block = block(card);
            let mut data = CK_KEY_DERIVATION_STRING_DATA { pData: block.as_mut_ptr(), ulLen: 16 };
            let mut derive = mechanism(self.numbers.diversify, Some(&mut data));
            for master in masters {
                let (mut child, mut kcv, mut blob): (CK_OBJECT_HANDLE, _, _) = (0, [0u8; KCV_BYTES], [0u8; 24]);
                let attributes = template.as_mut_ptr();
                // SAFETY: every pointer leads to a live local, and lengths are those of the locals.
                unsafe {
                    let made = list.C_DeriveKey.unwrap()(session, &mut derive, *master, attributes, count, &mut child);
                    assert_eq!(made, 0);
                    if self.numbers.check_values {
                        let mut check = attribute(CKA_CHECK_VALUE, &mut kcv);
                        assert_eq!(list.C_GetAttributeValue.unwrap()(session, child, &mut check, 1), 0);
                    }
                    let mut length = WRAPPED_BYTES as CK_ULONG;
                    if calls == WrapCalls::Two {
                        let asked =
                            list.C_WrapKey.unwrap()(session, &mut wrap, kek, child, ptr::null_mut(), &mut length);
                        assert_eq!((asked, length), (0, WRAPPED_BYTES as CK_ULONG));
                    }
                    let to = blob.as_mut_ptr();
                    let wrapped = list.C_WrapKey.unwrap()(session, &mut wrap, kek, child, to, &mut length);
                    assert_eq!((wrapped, length), (0, WRAPPED_BYTES as CK_ULONG));
                    assert_eq!(list.C_DestroyObject.unwrap()(session, child), 0);
                }
                out.extend_from_slice(&blob);
                out.extend_from_slice(&kcv);
            }
        }
        out
    }
}

fn attribute<T>(kind: CK_ULONG, value: &mut T) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE { type_: kind, pValue: ptr::from_mut(value).cast(), ulValueLen: size_of::<T>() as CK_ULONG }
}

fn mechanism(number: CK_MECHANISM_TYPE, data: Option<&mut CK_KEY_DERIVATION_STRING_DATA>) -> CK_MECHANISM {
    let bytes = if data.is_some() { size_of::<CK_KEY_DERIVATION_STRING_DATA>() as CK_ULONG } else { 0 };
    let parameter = data.map_or(ptr::null_mut(), |data| ptr::from_mut(data).cast());
    CK_MECHANISM { mechanism: number, pParameter: parameter, ulParameterLen: bytes }
}
