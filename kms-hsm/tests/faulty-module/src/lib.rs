//! A PKCS#11 module for tests: passes every call on to a real one, except that one call goes wrong.
//!
//! Configured by environment, for one process has one module: `FAULTY_MODULE` is the real module,
//! `FAULTY_SCRIPT` says `<function> <n> <action>`: from the n-th call of the function on, do
//! `rv:<hex>` (answer that), `late:<hex>` (do it, then answer that), `hang`, `crash` (do it, then
//! die), `short` (answer one byte less), `flip` (damage the first byte) or `print` (write to standard
//! output); `pass` does nothing. `FAULTY_ONCE`, if set, names a file: the fault fires only while it is there, and removes it.
//! `FAULTY_COUNT`, if set, names a file that holds two numbers: keys derived or unwrapped, and objects destroyed.
#![expect(unsafe_code, non_snake_case, clippy::unwrap_used, reason = "a C function table, for tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_FLAGS, CK_FUNCTION_LIST, CK_MECHANISM, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE,
    CK_SLOT_ID, CK_ULONG, CK_USER_TYPE, CKR_OK,
};

static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Real {
    _library: cryptoki_sys::Pkcs11,
    table: CK_FUNCTION_LIST,
}

fn real() -> &'static CK_FUNCTION_LIST {
    static REAL: OnceLock<Real> = OnceLock::new();
    let open = || {
        // SAFETY: a module built beside this one; the table lives as long as the library, here for ever.
        unsafe {
            let module = std::env::var_os("FAULTY_MODULE").unwrap();
            let library = cryptoki_sys::Pkcs11::new(module).unwrap();
            let mut list = std::ptr::null_mut();
            assert_eq!(library.C_GetFunctionList.as_ref().unwrap()(&mut list), CKR_OK);
            Real { table: *list, _library: library }
        }
    };
    &REAL.get_or_init(open).table
}

/// The action, if it is this function's turn.
fn action(function: &str) -> Option<String> {
    let script = std::env::var("FAULTY_SCRIPT").unwrap();
    let mut words = script.split(' ');
    let (name, from, action) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    if name != function || CALLS.fetch_add(1, Ordering::SeqCst) + 1 < from.parse().unwrap() {
        return None;
    }
    match std::env::var_os("FAULTY_ONCE") {
        Some(file) if std::fs::remove_file(&file).is_err() => None,
        _ => Some(action.to_owned()),
    }
}

/// Carries the fault out around `call`; `out` is the answer's buffer and length, if it has one.
fn around(function: &str, out: Option<(*mut u8, *mut CK_ULONG)>, call: impl FnOnce() -> CK_RV) -> CK_RV {
    let Some(action) = action(function) else { return call() };
    let hex = |text: &str| CK_RV::from_str_radix(text, 16).unwrap();
    match action.split_once(':') {
        Some(("rv", code)) => return hex(code),
        Some(("late", code)) => {
            call();
            return hex(code);
        }
        _ => {}
    }
    match action.as_str() {
        "hang" => loop {
            std::thread::sleep(std::time::Duration::from_secs(60));
        },
        "print" => println!("a vendor's greeting on standard output"),
        _ => {}
    }
    let rv = call();
    match (action.as_str(), out) {
        ("crash", _) => std::process::abort(),
        // SAFETY: the caller's buffer and length, valid for this call by contract.
        ("short", Some((_, length))) => unsafe { *length -= 1 },
        // SAFETY: as above; the answer has at least one byte.
        ("flip", Some((bytes, _))) => unsafe { *bytes ^= 1 },
        _ => {}
    }
    rv
}

/// Counts the objects that come and go, for whoever looks for one that stayed.
fn counted(function: &str, rv: CK_RV) -> CK_RV {
    static COUNTS: Mutex<[u64; 2]> = Mutex::new([0; 2]);
    let of = match function {
        "C_DeriveKey" | "C_UnwrapKey" => 0,
        "C_DestroyObject" => 1,
        _ => return rv,
    };
    if let Some(file) = std::env::var_os("FAULTY_COUNT").filter(|_| rv == CKR_OK) {
        let mut counts = COUNTS.lock().unwrap();
        counts[of] += 1;
        std::fs::write(file, format!("{} {}", counts[0], counts[1])).unwrap();
    }
    rv
}

/// A function that goes wrong on demand, with the standard's signature.
macro_rules! interposed {
    ($name:ident($($argument:ident: $kind:ty),* $(,)?) $out:expr) => {
        unsafe extern "C" fn $name($($argument: $kind),*) -> CK_RV {
            // SAFETY: passes the caller's arguments on unchanged.
            let rv = around(stringify!($name), $out, || unsafe { real().$name.unwrap()($($argument),*) });
            counted(stringify!($name), rv)
        }
    };
}

type Handle = CK_OBJECT_HANDLE;
type Session = CK_SESSION_HANDLE;

interposed!(C_OpenSession(slot: CK_SLOT_ID, flags: CK_FLAGS, own: *mut std::ffi::c_void, notify: CK_NOTIFY, out: *mut Session) None);
interposed!(C_Login(session: Session, user: CK_USER_TYPE, pin: *mut u8, length: CK_ULONG) None);
interposed!(C_GenerateKey(session: Session, mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, count: CK_ULONG, out: *mut Handle) None);
interposed!(C_GetAttributeValue(session: Session, object: Handle, template: *mut CK_ATTRIBUTE, count: CK_ULONG) None);
interposed!(C_DeriveKey(session: Session, mechanism: *mut CK_MECHANISM, base: Handle, template: *mut CK_ATTRIBUTE, count: CK_ULONG, out: *mut Handle) None);
interposed!(C_WrapKey(session: Session, mechanism: *mut CK_MECHANISM, wrapping: Handle, key: Handle, out: *mut u8, length: *mut CK_ULONG) Some((out, length)));
interposed!(C_Sign(session: Session, data: *mut u8, count: CK_ULONG, out: *mut u8, length: *mut CK_ULONG) Some((out, length)));
interposed!(C_SetAttributeValue(session: Session, object: Handle, template: *mut CK_ATTRIBUTE, count: CK_ULONG) None);
interposed!(C_UnwrapKey(session: Session, mechanism: *mut CK_MECHANISM, unwrapping: Handle, blob: *mut u8, size: CK_ULONG, template: *mut CK_ATTRIBUTE, count: CK_ULONG, out: *mut Handle) None);
interposed!(C_DestroyObject(session: Session, object: Handle) None);

/// The real table with some entries replaced.
///
/// # Safety
/// `list` must be valid for writing, as PKCS#11 5.4 wants it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    static TABLE: OnceLock<CK_FUNCTION_LIST> = OnceLock::new();
    let table = TABLE.get_or_init(|| CK_FUNCTION_LIST {
        C_OpenSession: Some(C_OpenSession),
        C_Login: Some(C_Login),
        C_GenerateKey: Some(C_GenerateKey),
        C_GetAttributeValue: Some(C_GetAttributeValue),
        C_DeriveKey: Some(C_DeriveKey),
        C_WrapKey: Some(C_WrapKey),
        C_Sign: Some(C_Sign),
        C_SetAttributeValue: Some(C_SetAttributeValue),
        C_UnwrapKey: Some(C_UnwrapKey),
        C_DestroyObject: Some(C_DestroyObject),
        ..*real()
    });
    // SAFETY: valid for writing by this function's contract.
    unsafe { *list = std::ptr::from_ref(table).cast_mut() };
    CKR_OK
}
