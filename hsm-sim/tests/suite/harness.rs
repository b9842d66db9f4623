//! One process per test, the function list of the real cdylib, and templates as data.

use std::{
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    ptr::null_mut,
};

use cryptoki_sys::*;

pub(crate) const V: CK_ULONG = 0x8000_0000;
pub(crate) const CKK_SM4: CK_ULONG = V + 0x50001;
pub(crate) const CKK_SM2: CK_ULONG = V + 0x50002;
pub(crate) const SM4_KEY_GEN: CK_ULONG = V + 0x50001;
pub(crate) const SM4_CBC: CK_ULONG = V + 0x50002;
pub(crate) const SM4_CBC_PAD: CK_ULONG = V + 0x50003;
pub(crate) const SM4_ECB: CK_ULONG = V + 0x50004;
pub(crate) const DIVERSIFY: CK_ULONG = V + 0x50009;
pub(crate) const SM2_PAIR_GEN: CK_ULONG = V + 0x5000A;
pub(crate) const SM2_RAW: CK_ULONG = V + 0x5000B;
pub(crate) const SM2_SM3: CK_ULONG = V + 0x5000C;
pub(crate) const SM2_ENCRYPT: CK_ULONG = V + 0x5000D;
pub(crate) const SM3: CK_ULONG = V + 0x5000E;
pub(crate) const KEY_WRAP: CK_ULONG = V + 0x0D53_0001;
pub(crate) const GCM: CK_ULONG = V + 0x0D53_0002;
pub(crate) const CMAC: CK_ULONG = V + 0x0D53_0003;
pub(crate) const HMAC: CK_ULONG = V + 0x0D53_0004;
pub(crate) const XOR_KEYS: CK_ULONG = V + 0x0D53_0005;

pub(crate) const SO_PIN: &str = "so-pin-1";
pub(crate) const USER_PIN: &str = "user-pin-1";
const ALONE: &str = "HSM_SIM_TEST_ALONE";

/// Runs the named test again in a process and token directory of its own. True inside that process: the test goes on.
pub(crate) fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = again(test, &dir.path().join("tokens")).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{test} failed in its process:\n{}", String::from_utf8_lossy(&text));
    false
}

/// The command that runs `test` alone on the tokens of `dir`.
pub(crate) fn again(test: &str, dir: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).env(ALONE, "1").env("HSM_SIM_DIR", dir);
    command
}

/// Runs a tool of the system; a missing one fails the test and says which package has it.
pub(crate) fn tool(name: &str, package: &str, args: &[&str]) -> (ExitStatus, String) {
    let output = Command::new(name).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {name} ({error}): install the package {package}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status, text)
}

/// The library under test.
pub(crate) fn library() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let deps = exe.parent().unwrap();
    let path = deps.join("libhsm_sim.so");
    assert!(path.exists(), "{} has not been built", path.display());
    path
}

pub(crate) type Rv<T> = Result<T, CK_RV>;

pub(crate) fn ok(rv: CK_RV) -> Rv<()> {
    if rv == CKR_OK { Ok(()) } else { Err(rv) }
}

/// The function list of the library.
#[derive(Clone, Copy)]
pub(crate) struct Lib(pub(crate) &'static CK_FUNCTION_LIST);

/// Calls an entry of the function list.
#[macro_export]
macro_rules! call {
    ($lib:expr, $name:ident $(, $arg:expr)* $(,)?) => {
        // SAFETY: the test hands over memory that it owns, or null on purpose.
        $crate::harness::ok(unsafe { $lib.0.$name.unwrap()($($arg),*) })
    };
}

impl Lib {
    pub(crate) fn load() -> Self {
        // SAFETY: loads the library under test.
        let library = unsafe { cryptoki_sys::Pkcs11::new(library()) }.unwrap();
        let library = Box::leak(Box::new(library));
        let mut list = null_mut();
        // SAFETY: the pointer is ours.
        assert_eq!(unsafe { library.C_GetFunctionList(&mut list) }, CKR_OK);
        // SAFETY: the list is static in a library that is never unloaded.
        Self(unsafe { &*list })
    }

    pub(crate) fn initialised() -> Self {
        let lib = Self::load();
        call!(lib, C_Initialize, null_mut()).unwrap();
        lib
    }

    pub(crate) fn slots(self) -> Vec<CK_SLOT_ID> {
        let mut count = 0;
        call!(self, C_GetSlotList, CK_TRUE, null_mut(), &mut count).unwrap();
        let mut list = vec![0; count as usize];
        call!(self, C_GetSlotList, CK_TRUE, list.as_mut_ptr(), &mut count).unwrap();
        list
    }

    pub(crate) fn init_token(self, slot: CK_SLOT_ID, pin: &str) -> Rv<()> {
        let mut label = *b"test                            ";
        call!(self, C_InitToken, slot, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG, label.as_mut_ptr())
    }

    pub(crate) fn token_info(self, slot: CK_SLOT_ID) -> CK_TOKEN_INFO {
        let mut info = std::mem::MaybeUninit::zeroed();
        call!(self, C_GetTokenInfo, slot, info.as_mut_ptr()).unwrap();
        // SAFETY: plain data, filled.
        unsafe { info.assume_init() }
    }

    pub(crate) fn open(self, slot: CK_SLOT_ID) -> Session {
        self.open_with(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION).unwrap()
    }

    pub(crate) fn open_with(self, slot: CK_SLOT_ID, flags: CK_FLAGS) -> Rv<Session> {
        let mut handle = 0;
        call!(self, C_OpenSession, slot, flags, null_mut(), None, &mut handle)?;
        Ok(Session { lib: self, handle })
    }
}

/// A token in slot 0 with both PINs, and a session without login.
pub(crate) fn fresh_token() -> Session {
    let lib = Lib::initialised();
    lib.init_token(0, SO_PIN).unwrap();
    let session = lib.open(0);
    session.login(CKU_SO, SO_PIN).unwrap();
    session.init_pin(USER_PIN).unwrap();
    session.logout().unwrap();
    session
}

/// The same with the user logged in.
pub(crate) fn user_token() -> Session {
    let session = fresh_token();
    session.login(CKU_USER, USER_PIN).unwrap();
    session
}

/// An attribute as data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum A {
    B(CK_ATTRIBUTE_TYPE, bool),
    U(CK_ATTRIBUTE_TYPE, CK_ULONG),
    D(CK_ATTRIBUTE_TYPE, Vec<u8>),
    M(Vec<CK_ULONG>),
    T(CK_ATTRIBUTE_TYPE, Vec<A>),
}

/// `base` with `more`, where `more` replaces attributes of the same type.
pub(crate) fn with(base: &[A], more: &[A]) -> Vec<A> {
    let kind = |a: &A| match a {
        A::B(t, _) | A::U(t, _) | A::D(t, _) | A::T(t, _) => *t,
        A::M(_) => CKA_ALLOWED_MECHANISMS,
    };
    let kept = base.iter().filter(|a| more.iter().all(|b| kind(a) != kind(b)));
    kept.chain(more).cloned().collect()
}

/// `base` without one attribute type.
pub(crate) fn without(base: &[A], gone: CK_ATTRIBUTE_TYPE) -> Vec<A> {
    base.iter()
        .filter(|a| !matches!(a, A::B(t, _) | A::U(t, _) | A::D(t, _) | A::T(t, _) if *t == gone))
        .cloned()
        .collect()
}

/// A CK_ATTRIBUTE array that owns everything it points to.
pub(crate) struct Raw {
    pub(crate) list: Vec<CK_ATTRIBUTE>,
    _bytes: Vec<Vec<u8>>,
    _nested: Vec<Raw>,
}

pub(crate) fn raw(template: &[A]) -> Raw {
    let mut made = Raw { list: Vec::new(), _bytes: Vec::new(), _nested: Vec::new() };
    for attribute in template {
        let (kind, bytes) = match attribute {
            A::B(kind, on) => (*kind, vec![u8::from(*on)]),
            A::U(kind, number) => (*kind, number.to_ne_bytes().to_vec()),
            A::D(kind, data) => (*kind, data.clone()),
            A::M(list) => (CKA_ALLOWED_MECHANISMS, list.iter().flat_map(|number| number.to_ne_bytes()).collect()),
            A::T(kind, nested) => {
                let mut nested = raw(nested);
                let size = size_of_val::<[_]>(&nested.list) as CK_ULONG;
                made.list.push(CK_ATTRIBUTE {
                    type_: *kind,
                    pValue: nested.list.as_mut_ptr().cast(),
                    ulValueLen: size,
                });
                made._nested.push(nested);
                continue;
            }
        };
        made._bytes.push(bytes);
        let bytes = made._bytes.last_mut().unwrap();
        let size = bytes.len() as CK_ULONG;
        made.list.push(CK_ATTRIBUTE { type_: kind, pValue: bytes.as_mut_ptr().cast(), ulValueLen: size });
    }
    made
}

/// A mechanism whose parameter is plain bytes.
pub(crate) fn mech(number: CK_ULONG, parameter: &mut [u8]) -> CK_MECHANISM {
    let pointer = if parameter.is_empty() { null_mut() } else { parameter.as_mut_ptr().cast() };
    CK_MECHANISM { mechanism: number, pParameter: pointer, ulParameterLen: parameter.len() as CK_ULONG }
}

/// An open session.
pub(crate) struct Session {
    pub(crate) lib: Lib,
    pub(crate) handle: CK_SESSION_HANDLE,
}

type Key = CK_OBJECT_HANDLE;

impl Session {
    pub(crate) fn login(&self, user: CK_ULONG, pin: &str) -> Rv<()> {
        call!(self.lib, C_Login, self.handle, user, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG)
    }

    pub(crate) fn logout(&self) -> Rv<()> {
        call!(self.lib, C_Logout, self.handle)
    }

    /// Changes who is logged in.
    pub(crate) fn become_(&self, user: CK_ULONG) {
        let _ = self.logout();
        self.login(user, if user == CKU_SO { SO_PIN } else { USER_PIN }).unwrap();
    }

    pub(crate) fn init_pin(&self, pin: &str) -> Rv<()> {
        call!(self.lib, C_InitPIN, self.handle, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG)
    }

    pub(crate) fn create(&self, template: &[A]) -> Rv<Key> {
        let (mut raw, mut key) = (raw(template), 0);
        call!(self.lib, C_CreateObject, self.handle, raw.list.as_mut_ptr(), raw.list.len() as CK_ULONG, &mut key)?;
        Ok(key)
    }

    pub(crate) fn copy(&self, object: Key, template: &[A]) -> Rv<Key> {
        let (mut raw, mut key) = (raw(template), 0);
        let count = raw.list.len() as CK_ULONG;
        call!(self.lib, C_CopyObject, self.handle, object, raw.list.as_mut_ptr(), count, &mut key)?;
        Ok(key)
    }

    pub(crate) fn destroy(&self, object: Key) -> Rv<()> {
        call!(self.lib, C_DestroyObject, self.handle, object)
    }

    pub(crate) fn set(&self, object: Key, template: &[A]) -> Rv<()> {
        let mut raw = raw(template);
        call!(self.lib, C_SetAttributeValue, self.handle, object, raw.list.as_mut_ptr(), raw.list.len() as CK_ULONG)
    }

    pub(crate) fn get(&self, object: Key, kind: CK_ATTRIBUTE_TYPE) -> Rv<Vec<u8>> {
        let mut attribute = CK_ATTRIBUTE { type_: kind, pValue: null_mut(), ulValueLen: 0 };
        call!(self.lib, C_GetAttributeValue, self.handle, object, &mut attribute, 1)?;
        let mut bytes = vec![0; attribute.ulValueLen as usize];
        attribute.pValue = bytes.as_mut_ptr().cast();
        call!(self.lib, C_GetAttributeValue, self.handle, object, &mut attribute, 1)?;
        assert_eq!(attribute.ulValueLen as usize, bytes.len());
        Ok(bytes)
    }

    pub(crate) fn flag(&self, object: Key, kind: CK_ATTRIBUTE_TYPE) -> bool {
        self.get(object, kind).unwrap() == [1]
    }

    pub(crate) fn find(&self, template: &[A]) -> Vec<Key> {
        let mut raw = raw(template);
        call!(self.lib, C_FindObjectsInit, self.handle, raw.list.as_mut_ptr(), raw.list.len() as CK_ULONG).unwrap();
        let (mut found, mut count) = (vec![0; 1000], 0);
        call!(self.lib, C_FindObjects, self.handle, found.as_mut_ptr(), 1000, &mut count).unwrap();
        call!(self.lib, C_FindObjectsFinal, self.handle).unwrap();
        found.truncate(count as usize);
        found
    }

    pub(crate) fn by_id(&self, id: &str) -> Vec<Key> {
        self.find(&[A::D(CKA_ID, id.into())])
    }

    pub(crate) fn generate(&self, template: &[A]) -> Rv<Key> {
        self.generate_with(SM4_KEY_GEN, template)
    }

    pub(crate) fn generate_with(&self, number: CK_ULONG, template: &[A]) -> Rv<Key> {
        let (mut raw, mut key, mut how) = (raw(template), 0, mech(number, &mut []));
        let count = raw.list.len() as CK_ULONG;
        call!(self.lib, C_GenerateKey, self.handle, &mut how, raw.list.as_mut_ptr(), count, &mut key)?;
        Ok(key)
    }

    pub(crate) fn pair(&self, public: &[A], private: &[A]) -> Rv<(Key, Key)> {
        let (mut pb, mut pr, mut how) = (raw(public), raw(private), mech(SM2_PAIR_GEN, &mut []));
        let (mut public, mut private) = (0, 0);
        let (pb_count, pr_count) = (pb.list.len() as CK_ULONG, pr.list.len() as CK_ULONG);
        let (pb, pr) = (pb.list.as_mut_ptr(), pr.list.as_mut_ptr());
        call!(
            self.lib,
            C_GenerateKeyPair,
            self.handle,
            &mut how,
            pb,
            pb_count,
            pr,
            pr_count,
            &mut public,
            &mut private
        )?;
        Ok((public, private))
    }

    pub(crate) fn derive_with(&self, how: &mut CK_MECHANISM, base: Key, template: &[A]) -> Rv<Key> {
        let (mut raw, mut key) = (raw(template), 0);
        let count = raw.list.len() as CK_ULONG;
        call!(self.lib, C_DeriveKey, self.handle, how, base, raw.list.as_mut_ptr(), count, &mut key)?;
        Ok(key)
    }

    /// Derives by encrypting `block`.
    pub(crate) fn derive(&self, base: Key, block: &[u8], template: &[A]) -> Rv<Key> {
        let mut data =
            CK_KEY_DERIVATION_STRING_DATA { pData: block.as_ptr().cast_mut(), ulLen: block.len() as CK_ULONG };
        let mut how = CK_MECHANISM {
            mechanism: DIVERSIFY,
            pParameter: (&raw mut data).cast(),
            ulParameterLen: size_of_val(&data) as CK_ULONG,
        };
        self.derive_with(&mut how, base, template)
    }

    /// XORs `base` with `others`.
    pub(crate) fn xor(&self, base: Key, others: &[Key], template: &[A]) -> Rv<Key> {
        let mut bytes: Vec<u8> = others.iter().flat_map(|handle| handle.to_ne_bytes()).collect();
        self.derive_with(&mut mech(XOR_KEYS, &mut bytes), base, template)
    }

    /// Asks for the length first, and expects the answer to be exact.
    pub(crate) fn wrap_with(&self, how: &mut CK_MECHANISM, wrapper: Key, key: Key) -> Rv<Vec<u8>> {
        let mut length = 0;
        call!(self.lib, C_WrapKey, self.handle, how, wrapper, key, null_mut(), &mut length)?;
        let asked = length;
        let mut blob = vec![0; length as usize];
        call!(self.lib, C_WrapKey, self.handle, how, wrapper, key, blob.as_mut_ptr(), &mut length)?;
        assert_eq!(length, asked, "the length asked for was not exact");
        Ok(blob)
    }

    pub(crate) fn wrap(&self, number: CK_ULONG, wrapper: Key, key: Key) -> Rv<Vec<u8>> {
        self.wrap_with(&mut mech(number, &mut []), wrapper, key)
    }

    pub(crate) fn unwrap_with(&self, how: &mut CK_MECHANISM, key: Key, blob: &[u8], template: &[A]) -> Rv<Key> {
        let (mut raw, mut new) = (raw(template), 0);
        let (list, count) = (raw.list.as_mut_ptr(), raw.list.len() as CK_ULONG);
        let (blob, size) = (blob.as_ptr().cast_mut(), blob.len() as CK_ULONG);
        call!(self.lib, C_UnwrapKey, self.handle, how, key, blob, size, list, count, &mut new)?;
        Ok(new)
    }

    pub(crate) fn unwrap(&self, number: CK_ULONG, key: Key, blob: &[u8], template: &[A]) -> Rv<Key> {
        self.unwrap_with(&mut mech(number, &mut []), key, blob, template)
    }

    pub(crate) fn encrypt(&self, how: &mut CK_MECHANISM, key: Key, data: &[u8]) -> Rv<Vec<u8>> {
        call!(self.lib, C_EncryptInit, self.handle, how, key)?;
        let (pointer, size, mut length) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG, 0);
        call!(self.lib, C_Encrypt, self.handle, pointer, size, null_mut(), &mut length)?;
        let mut out = vec![0; length as usize];
        call!(self.lib, C_Encrypt, self.handle, pointer, size, out.as_mut_ptr(), &mut length)?;
        assert_eq!(length as usize, out.len(), "the length asked for was not exact");
        Ok(out)
    }

    pub(crate) fn decrypt(&self, how: &mut CK_MECHANISM, key: Key, data: &[u8]) -> Rv<Vec<u8>> {
        call!(self.lib, C_DecryptInit, self.handle, how, key)?;
        let (pointer, size, mut length) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG, 0);
        call!(self.lib, C_Decrypt, self.handle, pointer, size, null_mut(), &mut length)?;
        let mut out = vec![0; length as usize];
        call!(self.lib, C_Decrypt, self.handle, pointer, size, out.as_mut_ptr(), &mut length)?;
        assert_eq!(length as usize, out.len(), "the length asked for was not exact");
        Ok(out)
    }

    pub(crate) fn sign(&self, how: &mut CK_MECHANISM, key: Key, data: &[u8]) -> Rv<Vec<u8>> {
        call!(self.lib, C_SignInit, self.handle, how, key)?;
        let (pointer, size, mut length) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG, 0);
        call!(self.lib, C_Sign, self.handle, pointer, size, null_mut(), &mut length)?;
        let mut out = vec![0; length as usize];
        call!(self.lib, C_Sign, self.handle, pointer, size, out.as_mut_ptr(), &mut length)?;
        assert_eq!(length as usize, out.len(), "the length asked for was not exact");
        Ok(out)
    }

    pub(crate) fn verify(&self, how: &mut CK_MECHANISM, key: Key, data: &[u8], signature: &[u8]) -> Rv<()> {
        call!(self.lib, C_VerifyInit, self.handle, how, key)?;
        let (pointer, size) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        let length = signature.len() as CK_ULONG;
        call!(self.lib, C_Verify, self.handle, pointer, size, signature.as_ptr().cast_mut(), length)
    }

    pub(crate) fn digest(&self, data: &[u8]) -> Rv<Vec<u8>> {
        call!(self.lib, C_DigestInit, self.handle, &mut mech(SM3, &mut []))?;
        let (mut out, mut length) = (vec![0; 32], 32);
        let (pointer, size) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        call!(self.lib, C_Digest, self.handle, pointer, size, out.as_mut_ptr(), &mut length)?;
        Ok(out)
    }
}

/// CK_GCM_PARAMS with what they point to.
pub(crate) struct GcmParams {
    pub(crate) params: CK_GCM_PARAMS,
    _iv: Vec<u8>,
    _aad: Vec<u8>,
}

impl GcmParams {
    pub(crate) fn new(iv: &[u8], aad: &[u8]) -> Self {
        let (mut iv, mut aad) = (iv.to_vec(), aad.to_vec());
        let params = CK_GCM_PARAMS {
            pIv: if iv.is_empty() { null_mut() } else { iv.as_mut_ptr() },
            ulIvLen: iv.len() as CK_ULONG,
            ulIvBits: iv.len() as CK_ULONG * 8,
            pAAD: if aad.is_empty() { null_mut() } else { aad.as_mut_ptr() },
            ulAADLen: aad.len() as CK_ULONG,
            ulTagBits: 128,
        };
        Self { params, _iv: iv, _aad: aad }
    }

    pub(crate) fn mech(&mut self) -> CK_MECHANISM {
        let size = size_of::<CK_GCM_PARAMS>() as CK_ULONG;
        CK_MECHANISM { mechanism: GCM, pParameter: (&raw mut self.params).cast(), ulParameterLen: size }
    }
}

pub(crate) fn unhex(text: &serde_json::Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap()).unwrap()
}

/// A vector file of this directory.
pub(crate) fn vectors(name: &str) -> serde_json::Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
