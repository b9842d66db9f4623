//! Public known answers.

use crate::vendor::Suite;

/// The message of both digest vectors.
pub(super) const MESSAGE: &[u8] = b"abc";

/// SM3 (GM/T 0004, example 1) or SHA-256 (FIPS 180-4) of "abc".
pub(super) const fn digest(suite: Suite) -> [u8; 32] {
    match suite {
        Suite::Sm => [
            0x66, 0xc7, 0xf0, 0xf4, 0x62, 0xee, 0xed, 0xd9, 0xd1, 0xf2, 0xd4, 0x6b, 0xdc, 0x10, 0xe4, 0xe2, 0x41, 0x67,
            0xc4, 0x87, 0x5c, 0xf2, 0xf7, 0xa2, 0x29, 0x7d, 0xa0, 0x2b, 0x8f, 0x4b, 0xa8, 0xe0,
        ],
        Suite::Intl => [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03,
            0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        ],
    }
}

/// Key, block and its encryption: SM4 (GB/T 32907, example 1), AES-128 (FIPS 197, appendix C.1).
pub(super) const fn block(suite: Suite) -> [[u8; 16]; 3] {
    match suite {
        Suite::Sm => {
            let key = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes();
            [key, key, 0x681e_df34_d206_965e_86b3_e94f_536e_4246_u128.to_be_bytes()]
        }
        Suite::Intl => [
            0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f_u128.to_be_bytes(),
            0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes(),
            0x69c4_e0d8_6a7b_0430_d8cd_b780_70b4_c55a_u128.to_be_bytes(),
        ],
    }
}

/// Key, block and its encryption: SM1, the one public vector.
pub(super) const SM1: [[u8; 16]; 3] = [
    0x40bb_12dd_6a82_7386_7f35_29d3_54b4_a026_u128.to_be_bytes(),
    0xffee_ddcc_bbaa_9988_7766_5544_3322_1100_u128.to_be_bytes(),
    0x6d7f_45b0_8bc4_d966_444c_86c2_b07d_2993_u128.to_be_bytes(),
];
