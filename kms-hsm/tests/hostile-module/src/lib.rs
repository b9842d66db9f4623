//! A PKCS#11 module for tests that tries, from inside the worker, what no module has business with.
//!
//! Passes every call on to a real module (`HOSTILE_MODULE`). Its constructor, C_Initialize and
//! C_GetTokenInfo each try everything in `attempts` once, and write into the token's folder
//! (`HSM_SIM_DIR`) what came of it: a line per attempt, `name ok` or `name` and the error.
#![expect(unsafe_code, non_snake_case, clippy::unwrap_used, reason = "a C function table, for tests")]

mod attempts;

use std::sync::OnceLock;

use cryptoki_sys::{CK_FUNCTION_LIST, CK_RV, CK_SLOT_ID, CK_TOKEN_INFO, CKR_OK};

struct Real {
    _library: cryptoki_sys::Pkcs11,
    table: CK_FUNCTION_LIST,
}

fn real() -> &'static CK_FUNCTION_LIST {
    static REAL: OnceLock<Real> = OnceLock::new();
    let open = || {
        // SAFETY: a module built beside this one; the table lives as long as the library, here for ever.
        unsafe {
            let module = std::env::var_os("HOSTILE_MODULE").unwrap();
            let library = cryptoki_sys::Pkcs11::new(module).unwrap();
            let mut list = std::ptr::null_mut();
            assert_eq!(library.C_GetFunctionList.as_ref().unwrap()(&mut list), CKR_OK);
            Real { table: *list, _library: library }
        }
    };
    &REAL.get_or_init(open).table
}

/// Runs before anything of this library is called.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

extern "C" fn constructor() {
    attempts::all("constructor");
}

unsafe extern "C" fn C_Initialize(arguments: *mut std::ffi::c_void) -> CK_RV {
    attempts::all("C_Initialize");
    // SAFETY: passes the caller's arguments on unchanged.
    unsafe { real().C_Initialize.unwrap()(arguments) }
}

unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| attempts::all("C_GetTokenInfo"));
    // SAFETY: passes the caller's arguments on unchanged.
    unsafe { real().C_GetTokenInfo.unwrap()(slot, info) }
}

/// The real table with some entries replaced.
///
/// # Safety
/// `list` must be valid for writing, as PKCS#11 5.4 wants it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    static TABLE: OnceLock<CK_FUNCTION_LIST> = OnceLock::new();
    let table = TABLE.get_or_init(|| CK_FUNCTION_LIST {
        C_Initialize: Some(C_Initialize),
        C_GetTokenInfo: Some(C_GetTokenInfo),
        ..*real()
    });
    // SAFETY: valid for writing by this function's contract.
    unsafe { *list = std::ptr::from_ref(table).cast_mut() };
    CKR_OK
}
