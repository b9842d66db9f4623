//! The numberings of vendors, written down a second time: what the tests expect of each.

use cryptoki_sys::*;

use crate::harness::{CKK_SM4, SM4_CBC, SM4_CBC_PAD, SM4_ECB, SM4_KEY_GEN, V};

/// What is expected of one numbering.
pub(crate) struct Vendor {
    pub(crate) name: &'static str,
    pub(crate) sm4: CK_ULONG,
    pub(crate) sm2: CK_ULONG,
    /// Generate, ECB, CBC, CBC with padding.
    pub(crate) modes: [CK_ULONG; 4],
    pub(crate) pair: CK_ULONG,
    /// Over e: number, DER?
    pub(crate) raw: &'static [(CK_ULONG, bool)],
    /// Over a message: number, DER?, with Z?
    pub(crate) message: &'static [(CK_ULONG, bool, bool)],
    /// May the message mechanisms be given an ID?
    pub(crate) own_id: bool,
    /// Encrypt, wrap, unwrap, DER?
    pub(crate) seal: &'static [(CK_ULONG, CK_ULONG, CK_ULONG, bool)],
    pub(crate) digest: &'static [CK_ULONG],
    pub(crate) hmac: Option<CK_ULONG>,
    /// The standard's HMAC with SHA-256 and the keys for it.
    pub(crate) sha256: bool,
    /// CBC-MACs: of half a block, of a stated length.
    pub(crate) macs: Option<[CK_ULONG; 2]>,
    pub(crate) gcm: Option<CK_ULONG>,
    pub(crate) derive: Option<CK_ULONG>,
    /// Numbers beyond those above.
    pub(crate) also: &'static [CK_ULONG],
    pub(crate) lacks: &'static [CK_ATTRIBUTE_TYPE],
    /// Key type, generate, ECB, CBC, CBC with padding.
    pub(crate) sm1: Option<[CK_ULONG; 5]>,
}

pub(crate) const NO_PINS: &[CK_ATTRIBUTE_TYPE] = &[
    CKA_ALLOWED_MECHANISMS,
    CKA_TRUSTED,
    CKA_WRAP_WITH_TRUSTED,
    CKA_WRAP_TEMPLATE,
    CKA_UNWRAP_TEMPLATE,
    CKA_DERIVE_TEMPLATE,
];
const X: CK_ULONG = 0xFFFF_F000;
/// In the place of a mode that a vendor does not number.
pub(crate) const ABSENT: CK_ULONG = 0;
const NOTHING: Vendor = Vendor {
    name: "",
    sm4: 0,
    sm2: 0,
    modes: [0; 4],
    pair: 0,
    raw: &[],
    message: &[],
    own_id: false,
    seal: &[],
    digest: &[],
    hmac: None,
    sha256: true,
    macs: None,
    gcm: None,
    derive: None,
    also: &[],
    lacks: &[],
    sm1: None,
};

/// The default; the tests of the other files say the rest of it.
pub(crate) const HSM_SIM: Vendor = Vendor {
    name: "hsm-sim",
    sm4: CKK_SM4,
    modes: [SM4_KEY_GEN, SM4_ECB, SM4_CBC, SM4_CBC_PAD],
    sm1: Some([V + 0x0D53_0011, V + 0x0D53_0011, V + 0x0D53_0012, V + 0x0D53_0013, V + 0x0D53_0014]),
    ..NOTHING
};

pub(crate) const IBM_EP11: Vendor = Vendor {
    name: "ibm-ep11",
    sm4: V + 0x50001,
    sm2: V + 0x50002,
    modes: [V + 0x50001, V + 0x50004, V + 0x50002, V + 0x50003],
    pair: V + 0x5000A,
    raw: &[(V + 0x5000B, false)],
    message: &[(V + 0x5000C, false, true)],
    own_id: true,
    seal: &[(V + 0x5000D, V + 0x5000D, V + 0x5000D, false)],
    digest: &[V + 0x5000E],
    derive: Some(V + 0x50009),
    macs: Some([V + 0x58007, V + 0x50007]),
    lacks: NO_PINS,
    ..NOTHING
};

pub(crate) const LUNA: Vendor = Vendor {
    name: "luna",
    sm4: V + 0x15,
    sm2: V + 0x16,
    modes: [V + 0xB10, V + 0xB11, V + 0xB12, V + 0xB13],
    pair: V + 0xB20,
    raw: &[(V + 0xB21, false)],
    message: &[(V + 0xB22, false, true)],
    digest: &[V + 0xB01],
    hmac: Some(V + 0xB02),
    lacks: &[CKA_ALLOWED_MECHANISMS, CKA_TRUSTED, CKA_WRAP_WITH_TRUSTED, CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE],
    ..NOTHING
};

pub(crate) const SANSEC: Vendor = Vendor {
    name: "sansec",
    sm4: V + 0x106,
    sm2: V + 4,
    modes: [V + 0x107, V + 0x108, V + 0x109, V + 0xA201],
    pair: V + 0x8001,
    raw: &[(V + 0x8104, true), (V + 0x8105, false)],
    message: &[
        (V + 0x8100, false, false),
        (V + 0x8101, true, false),
        (V + 0x8102, false, true),
        (V + 0x8103, true, true),
    ],
    seal: &[(V + 0x8200, V + 0x8200, V + 0x8200, false), (V + 0x8201, V + 0x8201, V + 0x8201, true)],
    digest: &[V + 0x9001],
    derive: Some(V + 0x50009),
    macs: Some([V + 0x58007, V + 0x50007]),
    also: &[V + 0x50001, V + 0x50002, V + 0x50004, V + 0x5000A, V + 0x5000B, V + 0x5000C, V + 0x5000D, V + 0x5000E],
    lacks: NO_PINS,
    sm1: Some([V + 3, V + 15, V + 16, V + 17, V + 22]),
    ..NOTHING
};

pub(crate) const TASS: Vendor = Vendor {
    name: "tass",
    sm4: V + 2,
    sm2: V + 4,
    modes: [V + 0x107, V + 0x108, V + 0x109, V + 0x10C],
    pair: V + 0x8001,
    raw: &[(V + 0x8000, true)],
    message: &[(V + 0x8100, true, true)],
    seal: &[(V + 0x8200, V + 0x8200, V + 0x8200, false)],
    digest: &[V + 5],
    macs: Some([V + 0x10A, V + 0x10B]),
    lacks: NO_PINS,
    sm1: Some([V + 1, V + 0xF, V + 0x10, V + 0x11, V + 0x22]),
    ..NOTHING
};

pub(crate) const KOAL: Vendor = Vendor {
    name: "koal",
    sm4: V + 2,
    sm2: V + 4,
    modes: [V + 0x107, V + 0x108, V + 0x109, V + 0x10C],
    pair: V + 0x8001,
    raw: &[(V + 0x8104, true)],
    message: &[(V + 0x8100, false, true), (V + 0x8101, true, true)],
    seal: &[(V + 0x8200, V + 0x8200, V + 0x8200, false)],
    digest: &[V + 5, V + 6],
    gcm: Some(V + 0x10F),
    sm1: Some([V + 1, V + 0xF, V + 0xA, V + 0xB, V + 0x16]),
    ..NOTHING
};

pub(crate) const WESTONE: Vendor = Vendor {
    name: "westone",
    sm4: V + 5,
    sm2: V + 1,
    modes: [V + 40, V + 41, V + 42, V + 43],
    pair: V + 1,
    raw: &[(V + 2, false)],
    seal: &[(V + 2, V + 61, V + 62, false)],
    digest: &[V + 31],
    hmac: Some(V + 32),
    sm1: Some([V + 3, V + 20, V + 21, V + 22, V + 23]),
    ..NOTHING
};

pub(crate) const XIPKI: Vendor = Vendor {
    name: "xipki",
    sm4: X + 2,
    sm2: X + 1,
    modes: [X + 6, X + 7, X + 8, X + 0xB],
    pair: X + 1,
    raw: &[(X + 2, false)],
    message: &[(X + 3, false, true)],
    seal: &[(X + 4, X + 4, X + 4, false)],
    digest: &[X + 5],
    gcm: Some(X + 0xD),
    sha256: false,
    macs: Some([X + 0xA, X + 9]),
    ..NOTHING
};

/// No CBC with padding.
pub(crate) const LOW_NUMBERS: Vendor = Vendor {
    name: "low-numbers",
    sm4: 0x0001_0002,
    sm2: 0x0001_0001,
    modes: [0x0001_000A, 0x0001_0007, 0x0001_0008, ABSENT],
    pair: 0x0001_0009,
    raw: &[(0x0001_0002, false)],
    message: &[(0x0001_0004, false, true)],
    seal: &[(0x0001_0001, 0x0001_0001, 0x0001_0001, false)],
    digest: &[0x0001_0005],
    sha256: false,
    ..NOTHING
};
