//! What changes besides the numbers: derivation without templates, the SM1 stand-in, directories that belong to one
//! numbering.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::{harness::*, profiles::*, roles::known};

#[test]
fn sansec_derives_wraps_and_seals() {
    if !numbered("profiles_rules::sansec_derives_wraps_and_seals", &SANSEC) {
        return;
    }
    let s = user_token();
    let value = hex::decode("0123456789abcdeffedcba9876543210").unwrap();
    let base = SANSEC.sm4_key(&s, &value, &[CKA_DERIVE]).unwrap();
    let mut data = CK_KEY_DERIVATION_STRING_DATA { pData: value.as_ptr().cast_mut(), ulLen: 16 };
    let mut how = CK_MECHANISM {
        mechanism: SANSEC.derive.unwrap(),
        pParameter: (&raw mut data).cast(),
        ulParameterLen: size_of_val(&data) as CK_ULONG,
    };
    let child = s.derive_with(&mut how, base, &[A::B(CKA_EXTRACTABLE, true), A::B(CKA_SENSITIVE, true)]).unwrap();
    let expected = SANSEC.sm4_key(&s, &hex::decode("681edf34d206965e86b3e94f536e4246").unwrap(), &[]).unwrap();
    assert_eq!(s.get(child, CKA_CHECK_VALUE), s.get(expected, CKA_CHECK_VALUE));
    // A master of its own: sensitive, and without a template that such a token does not know.
    let master = s.generate_with(SANSEC.modes[0], &[A::B(CKA_DERIVE, true)]).unwrap();
    let child = s.derive_with(&mut how, master, &[A::B(CKA_EXTRACTABLE, true)]).unwrap();
    let readable = [A::B(CKA_EXTRACTABLE, true), A::B(CKA_SENSITIVE, false)];
    assert_eq!(s.derive_with(&mut how, master, &readable), Err(CKR_TEMPLATE_INCONSISTENT));
    let useful = [A::B(CKA_DECRYPT, true)];
    assert_eq!(s.derive_with(&mut how, master, &useful), Err(CKR_TEMPLATE_INCONSISTENT));
    let kek = s.generate_with(SANSEC.modes[0], &[A::B(CKA_WRAP, true)]).unwrap();
    assert_eq!(s.wrap(SANSEC.modes[1], kek, child).unwrap().len(), 16);

    // A master that arrives: sealed for a key of this token, with DERIVE, for lack of a template that pins it.
    let (public, private) = SANSEC.sm2_pair(&s, &[CKA_ENCRYPT], &[CKA_UNWRAP]);
    let sealed = s.encrypt(&mut mech(SANSEC.seal[1].0, &mut []), public, &value).unwrap();
    let template = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, SANSEC.sm4), A::B(CKA_DERIVE, true)];
    let arrived = s.unwrap(SANSEC.seal[1].2, private, &sealed, &template).unwrap();
    let child = s.derive_with(&mut how, arrived, &[]).unwrap();
    assert_eq!(s.get(child, CKA_CHECK_VALUE), s.get(expected, CKA_CHECK_VALUE));
    let wraps = with(&template, &[A::B(CKA_DERIVE, false), A::B(CKA_WRAP, true)]);
    assert_eq!(s.unwrap(SANSEC.seal[1].2, private, &sealed, &wraps), Err(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn luna_wants_the_curve() {
    if numbered("profiles_rules::luna_wants_the_curve", &LUNA) {
        let s = user_token();
        assert_eq!(s.pair_with(LUNA.pair, &[], &[]), Err(CKR_TEMPLATE_INCOMPLETE));
        LUNA.sm2_pair(&s, &[], &[]);
    }
}

/// The stand-in must not be SM1, nor SM4, and every other mode must rest on it.
fn check_stand_in(vendor: &Vendor) {
    let s = user_token();
    let [kind, key_gen, ecb, cbc, pad] = vendor.sm1.unwrap();
    // The one public vector of SM1.
    let key = hex::decode("40BB12DD6A8273867F3529D354B4A026").unwrap();
    let text = hex::decode("FFEEDDCCBBAA99887766554433221100").unwrap();
    let answer = hex::decode("6D7F45B08BC4D966444C86C2B07D2993").unwrap();
    let create = |granted: &[CK_ATTRIBUTE_TYPE]| s.create(&with(&known(&key, granted), &[A::U(CKA_KEY_TYPE, kind)]));
    let handle = create(&[CKA_ENCRYPT, CKA_DECRYPT]).unwrap();
    let sealed = s.encrypt(&mut mech(ecb, &mut []), handle, &text).unwrap();
    assert_ne!(sealed, answer, "this would be SM1");
    assert_eq!(hex::encode(&sealed), STAND_IN, "what the stand-in gives is the same everywhere");
    assert_eq!(s.decrypt(&mut mech(ecb, &mut []), handle, &sealed).unwrap(), text);
    assert_eq!(s.encrypt(&mut mech(cbc, &mut [0; 16]), handle, &text).unwrap(), sealed);
    let padded = s.encrypt(&mut mech(pad, &mut [0; 16]), handle, &text).unwrap();
    assert_eq!((&padded[..16], padded.len()), (&sealed[..], 32));
    let sm4 = vendor.sm4_key(&s, &key, &[CKA_ENCRYPT, CKA_DECRYPT]).unwrap();
    assert_ne!(s.encrypt(&mut mech(vendor.modes[1], &mut []), sm4, &text).unwrap(), sealed);
    // Neither kind of key does the other's work.
    let begin = |how: CK_ULONG, key| call!(s.lib, C_EncryptInit, s.handle, &mut mech(how, &mut []), key);
    assert_eq!(begin(vendor.modes[1], handle), Err(CKR_KEY_TYPE_INCONSISTENT));
    assert_eq!(begin(ecb, sm4), Err(CKR_KEY_TYPE_INCONSISTENT));
    let made = s.generate_with(key_gen, &[A::B(CKA_EXTRACTABLE, true)]).unwrap();
    assert_eq!(s.get(made, CKA_KEY_TYPE).unwrap(), kind.to_ne_bytes());
    let zero = s.encrypt(&mut mech(ecb, &mut []), handle, &[0; 16]).unwrap();
    assert_eq!(s.get(handle, CKA_CHECK_VALUE).unwrap(), zero[..3]);
    let kek = s.generate_with(key_gen, &[A::B(CKA_WRAP, true)]).unwrap();
    match vendor.name {
        "hsm-sim" => assert_eq!(s.wrap(ecb, kek, made), Err(CKR_MECHANISM_INVALID), "it has better"),
        _ => assert_eq!(s.wrap(ecb, kek, made).unwrap().len(), 16),
    }
}

/// A chain of SM1 keys, as a card programme on SM1 needs it: pinned derivation, key wrap under an SM4 key.
#[test]
fn sm1_keys_are_derived_and_wrapped() {
    let test = "profiles_rules::sm1_keys_are_derived_and_wrapped";
    if !alone_with(test, |command, _| _ = command.env("HSM_SIM_SM1_STAND_IN", "1")) {
        return;
    }
    let s = user_token();
    let [kind, key_gen, ecb, ..] = HSM_SIM.sm1.unwrap();
    let derive = V + 0x0D53_0015;
    let child = [A::U(CKA_KEY_TYPE, kind), A::U(CKA_VALUE_LEN, 16), A::B(CKA_EXTRACTABLE, true)];
    let pins = with(&child, &[A::B(CKA_SENSITIVE, true), A::B(CKA_WRAP_WITH_TRUSTED, true)]);
    let value = [0x31; 16];
    let pinned = [A::U(CKA_KEY_TYPE, kind), A::T(CKA_DERIVE_TEMPLATE, pins.clone())];
    let base = s.create(&with(&known(&value, &[CKA_DERIVE]), &pinned)).unwrap();
    let block = [0x17; 16];
    let mut data = CK_KEY_DERIVATION_STRING_DATA { pData: block.as_ptr().cast_mut(), ulLen: 16 };
    let mut how = CK_MECHANISM {
        mechanism: derive,
        pParameter: (&raw mut data).cast(),
        ulParameterLen: size_of_val(&data) as CK_ULONG,
    };
    let made = s.derive_with(&mut how, base, &[]).unwrap();
    assert_eq!(s.get(made, CKA_KEY_TYPE).unwrap(), kind.to_ne_bytes());
    // The child is what encryption with that key gives.
    let encrypter = s.create(&with(&known(&value, &[CKA_ENCRYPT]), &[A::U(CKA_KEY_TYPE, kind)])).unwrap();
    let expected = s.encrypt(&mut mech(ecb, &mut []), encrypter, &block).unwrap();
    let twin = s.create(&with(&known(&expected, &[]), &[A::U(CKA_KEY_TYPE, kind)])).unwrap();
    assert_eq!(s.get(made, CKA_CHECK_VALUE), s.get(twin, CKA_CHECK_VALUE));
    // Each derivation takes bases of its own kind, and a child of another kind is not to be had.
    let sm4 = s.create(&with(&known(&value, &[CKA_DERIVE]), &pinned[1..])).unwrap();
    assert_eq!(s.derive_with(&mut how, sm4, &[]), Err(CKR_KEY_TYPE_INCONSISTENT));
    assert_eq!(s.derive(base, &block, &[]), Err(CKR_KEY_TYPE_INCONSISTENT));
    let other = s.derive_with(&mut how, base, &[A::U(CKA_KEY_TYPE, CKK_SM4)]);
    assert_eq!(other, Err(CKR_TEMPLATE_INCONSISTENT));
    // A master made inside; without pins it derives nothing.
    let naked = s.generate_with(key_gen, &[A::B(CKA_DERIVE, true)]).unwrap();
    assert_eq!(s.derive_with(&mut how, naked, &[]), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    let master = s.generate_with(key_gen, &[A::B(CKA_DERIVE, true), A::T(CKA_DERIVE_TEMPLATE, pins)]).unwrap();
    s.derive_with(&mut how, master, &[]).unwrap();
    let kek = s.generate(&[A::B(CKA_WRAP, true)]).unwrap();
    assert_eq!(s.wrap(KEY_WRAP, kek, made), Err(CKR_KEY_NOT_WRAPPABLE), "it wants a trusted key");
}

const STAND_IN: &str = "717f0ae6cfb0267589bd547402c8fe5e";

macro_rules! stand_ins {
    ($($test:ident: $vendor:expr;)*) => {$(
        #[test]
        fn $test() {
            let test = concat!("profiles_rules::", stringify!($test));
            if alone_with(test, |c, _| _ = c.env("HSM_SIM_PROFILE", $vendor.name).env("HSM_SIM_SM1_STAND_IN", "1")) {
                check_stand_in(&$vendor);
            }
        }
    )*};
}

stand_ins! {
    sm1_stand_in_of_hsm_sim: HSM_SIM;
    sm1_stand_in_of_sansec: SANSEC;
    sm1_stand_in_of_tass: TASS;
    sm1_stand_in_of_koal: KOAL;
    sm1_stand_in_of_westone: WESTONE;
}

/// Initialises under the environment that its caller has chosen, and fails with the answer.
#[test]
#[ignore = "a helper of the tests here, not a test"]
fn helper_initialise() {
    if let Some(expected) = std::env::var_os("HSM_SIM_TEST_EXPECTED") {
        let lib = Lib::load();
        let outcome = call!(lib, C_Initialize, null_mut());
        assert_eq!(outcome.is_ok(), expected == "ok", "{outcome:x?}");
        if outcome.is_ok() {
            _ = lib.init_token(0, SO_PIN);
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let run = |dir: &std::path::Path, variables: &[(&str, &str)], expected: &str| {
        let mut command = again("profiles_rules::helper_initialise", dir);
        let output = command.envs(variables.iter().copied()).env("HSM_SIM_TEST_EXPECTED", expected).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{variables:?}: {text}");
    };
    let (profile, sm1) = ("HSM_SIM_PROFILE", "HSM_SIM_SM1_STAND_IN");
    let fresh = || tempfile::tempdir().unwrap();
    for bad in ["", "Luna", "luna ", "no-such-vendor", "ibm-ep11,luna"] {
        run(fresh().path(), &[(profile, bad)], "refused");
    }
    // The stand-in is a switch, and only where the vendor numbers SM1.
    for bad in ["", "yes", "2"] {
        run(fresh().path(), &[(profile, "tass"), (sm1, bad)], "refused");
    }
    run(fresh().path(), &[(profile, "tass"), (sm1, "0")], "ok");
    run(fresh().path(), &[(sm1, "1")], "ok");
    for without in ["ibm-ep11", "luna", "xipki", "low-numbers"] {
        run(fresh().path(), &[(profile, without), (sm1, "1")], "refused");
    }
    // Numbers that mean one key in one numbering mean another in the next: a directory keeps to one.
    let dir = fresh();
    run(dir.path(), &[(profile, "tass")], "ok");
    run(dir.path(), &[(profile, "koal")], "refused");
    run(dir.path(), &[], "refused");
    run(dir.path(), &[(profile, "tass")], "ok");
    // A directory without a file that says so is of the simulator's own numbering.
    let dir = fresh();
    run(dir.path(), &[], "ok");
    assert!(!dir.path().join("profile").exists());
    run(dir.path(), &[(profile, "tass")], "refused");
    run(dir.path(), &[(profile, "ibm-ep11")], "refused");
    run(dir.path(), &[(profile, "hsm-sim")], "ok");
    let dir = fresh();
    run(dir.path(), &[(profile, "ibm-ep11")], "ok");
    run(dir.path(), &[], "refused");
    run(dir.path(), &[(profile, "ibm-ep11")], "ok");
}
