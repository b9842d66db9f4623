//! One process per test, the function list of the real cdylib, and templates as data.

use std::{
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    ptr::null_mut,
};

use cryptoki_sys::*;

pub(crate) use crate::session::*;

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
    alone_with(test, |_, _| {})
}

/// As [`alone`], with more in the environment of that process; it gets a folder of its own too.
pub(crate) fn alone_with(test: &str, environment: impl FnOnce(&mut Command, &std::path::Path)) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = again(test, &dir.path().join("tokens"));
    environment(&mut command, dir.path());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{test} failed in its process:\n{text}");
    if std::env::args().any(|argument| argument == "--nocapture") {
        println!("{text}");
    }
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
macro_rules! call {
    ($lib:expr, $name:ident $(, $arg:expr)* $(,)?) => {
        // SAFETY: the test hands over memory that it owns, or null on purpose.
        $crate::harness::ok(unsafe { $lib.0.$name.unwrap()($($arg),*) })
    };
}

pub(crate) use call;

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

pub(crate) fn unhex(text: &serde_json::Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap()).unwrap()
}

/// A vector file of this directory.
pub(crate) fn vectors(name: &str) -> serde_json::Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
