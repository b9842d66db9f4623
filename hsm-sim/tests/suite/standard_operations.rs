//! PKCS#11 2.40 §5.2 and §5.8 to §5.12 clause by clause: when an operation begins, goes on and ends.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::harness::*;

/// One kind of operation, with a mechanism and a key that do it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Encrypt,
    Decrypt,
    Digest,
    Sign,
    Verify,
}

use Kind::{Decrypt, Digest, Encrypt, Sign, Verify};

struct Scene {
    s: Session,
    cipher: CK_OBJECT_HANDLE,
    mac: CK_OBJECT_HANDLE,
}

/// A call that answers bytes: what became of it, and the length that it told.
type Answer = (Rv<()>, CK_ULONG);

const OVER: Rv<()> = Err(CKR_OPERATION_NOT_INITIALIZED);

impl Scene {
    fn new() -> Self {
        let s = user_token();
        let cipher = s.generate(&[A::B(CKA_ENCRYPT, true), A::B(CKA_DECRYPT, true)]).unwrap();
        let mac = s.generate(&[A::B(CKA_SIGN, true), A::B(CKA_VERIFY, true)]).unwrap();
        Self { s, cipher, mac }
    }

    fn begin(&self, kind: Kind) -> Rv<()> {
        let (lib, h) = (self.s.lib, self.s.handle);
        match kind {
            Encrypt => call!(lib, C_EncryptInit, h, &mut mech(SM4_CBC_PAD, &mut [7; 16]), self.cipher),
            Decrypt => call!(lib, C_DecryptInit, h, &mut mech(SM4_CBC, &mut [7; 16]), self.cipher),
            Digest => call!(lib, C_DigestInit, h, &mut mech(SM3, &mut [])),
            Sign => call!(lib, C_SignInit, h, &mut mech(CMAC, &mut []), self.mac),
            Verify => call!(lib, C_VerifyInit, h, &mut mech(CMAC, &mut []), self.mac),
        }
    }

    fn part(&self, kind: Kind, data: *mut u8, size: CK_ULONG, out: *mut u8, mut room: CK_ULONG) -> Answer {
        let (lib, h, length) = (self.s.lib, self.s.handle, &raw mut room);
        let outcome = match kind {
            Encrypt => call!(lib, C_EncryptUpdate, h, data, size, out, length),
            Decrypt => call!(lib, C_DecryptUpdate, h, data, size, out, length),
            Digest => call!(lib, C_DigestUpdate, h, data, size),
            Sign => call!(lib, C_SignUpdate, h, data, size),
            Verify => call!(lib, C_VerifyUpdate, h, data, size),
        };
        (outcome, room)
    }

    fn whole(&self, kind: Kind, data: *mut u8, size: CK_ULONG, out: *mut u8, mut room: CK_ULONG) -> Answer {
        let (lib, h, length) = (self.s.lib, self.s.handle, &raw mut room);
        let outcome = match kind {
            Encrypt => call!(lib, C_Encrypt, h, data, size, out, length),
            Decrypt => call!(lib, C_Decrypt, h, data, size, out, length),
            Digest => call!(lib, C_Digest, h, data, size, out, length),
            Sign => call!(lib, C_Sign, h, data, size, out, length),
            Verify => call!(lib, C_Verify, h, data, size, out, room),
        };
        (outcome, room)
    }

    fn last(&self, kind: Kind, out: *mut u8, mut room: CK_ULONG) -> Answer {
        let (lib, h, length) = (self.s.lib, self.s.handle, &raw mut room);
        let outcome = match kind {
            Encrypt => call!(lib, C_EncryptFinal, h, out, length),
            Decrypt => call!(lib, C_DecryptFinal, h, out, length),
            Digest => call!(lib, C_DigestFinal, h, out, length),
            Sign => call!(lib, C_SignFinal, h, out, length),
            Verify => call!(lib, C_VerifyFinal, h, out, room),
        };
        (outcome, room)
    }

    /// Begun again, which only works if nothing was under way, and ended.
    fn assert_over(&self, kind: Kind) {
        let mut byte = [0; 64];
        assert_eq!(self.part(kind, byte.as_mut_ptr(), 1, byte.as_mut_ptr(), 64).0, OVER, "{kind:?}");
        assert_eq!(self.whole(kind, byte.as_mut_ptr(), 1, byte.as_mut_ptr(), 64).0, OVER, "{kind:?}");
        assert_eq!(self.last(kind, byte.as_mut_ptr(), 64).0, OVER, "{kind:?}");
    }
}

const ALL: [Kind; 5] = [Encrypt, Decrypt, Digest, Sign, Verify];
/// Those that answer bytes.
const ANSWERING: [Kind; 4] = [Encrypt, Decrypt, Digest, Sign];

#[test]
fn nothing_goes_on_that_was_not_begun() {
    if !alone("standard_operations::nothing_goes_on_that_was_not_begun") {
        return;
    }
    let scene = Scene::new();
    ALL.iter().for_each(|kind| scene.assert_over(*kind));
    // What cannot begin leaves nothing behind.
    let (s, k) = (&scene.s, scene.cipher);
    let mut short_iv = [1; 15];
    let (mut cbc, mut ecb) = (mech(SM4_CBC, &mut short_iv), mech(SM4_ECB, &mut []));
    assert_eq!(call!(s.lib, C_EncryptInit, s.handle, &mut cbc, k), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(call!(s.lib, C_EncryptInit, s.handle, &mut ecb, 0), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(call!(s.lib, C_EncryptInit, s.handle, &mut ecb, scene.mac), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(call!(s.lib, C_EncryptInit, s.handle, &mut mech(SM3, &mut []), k), Err(CKR_MECHANISM_INVALID));
    assert_eq!(call!(s.lib, C_EncryptInit, s.handle, null_mut(), k), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(call!(s.lib, C_DigestInit, s.handle, &mut mech(CMAC, &mut [])), Err(CKR_MECHANISM_INVALID));
    assert_eq!(
        call!(s.lib, C_SignInit, s.handle, &mut mech(SM2_RAW, &mut []), scene.mac),
        Err(CKR_KEY_TYPE_INCONSISTENT)
    );
    assert_eq!(
        call!(s.lib, C_VerifyInit, s.handle, &mut mech(HMAC, &mut []), scene.mac),
        Err(CKR_KEY_TYPE_INCONSISTENT)
    );
    ALL.iter().for_each(|kind| scene.assert_over(*kind));
}

#[test]
fn questions_and_short_buffers_end_nothing() {
    if !alone("standard_operations::questions_and_short_buffers_end_nothing") {
        return;
    }
    let scene = Scene::new();
    for kind in ANSWERING {
        let mut data = [5; 32];
        let data = data.as_mut_ptr();
        let full = match kind {
            Encrypt => 48,
            Decrypt | Digest => 32,
            _ => 16,
        };
        scene.begin(kind).unwrap();
        assert_eq!(scene.begin(kind), Err(CKR_OPERATION_ACTIVE), "{kind:?}");
        let mut out = [0; 64];
        for _ in 0..2 {
            assert_eq!(scene.whole(kind, data, 32, null_mut(), 0), (Ok(()), full), "{kind:?}");
            for room in [0, 1, full - 1] {
                let short = scene.whole(kind, data, 32, out.as_mut_ptr(), room);
                assert_eq!(short, (Err(CKR_BUFFER_TOO_SMALL), full), "{kind:?}");
            }
        }
        assert_eq!(out, [0; 64], "{kind:?} wrote into a short buffer");
        assert_eq!(scene.whole(kind, data, 32, out.as_mut_ptr(), full), (Ok(()), full));
        assert!(out[full as usize..].iter().all(|byte| *byte == 0), "{kind:?} wrote more than it said");
        scene.assert_over(kind);

        // The same in parts, and it gives the same.
        let mut parts = Vec::new();
        scene.begin(kind).unwrap();
        for _ in 0..2 {
            let mut room = [0; 64];
            let gives = if matches!(kind, Encrypt | Decrypt) { 16 } else { 64 };
            if gives == 16 {
                assert_eq!(scene.part(kind, data, 16, null_mut(), 0), (Ok(()), 16), "{kind:?}");
                assert_eq!(scene.part(kind, data, 16, room.as_mut_ptr(), 15), (Err(CKR_BUFFER_TOO_SMALL), 16));
            }
            assert_eq!(scene.part(kind, data, 16, room.as_mut_ptr(), 64), (Ok(()), gives), "{kind:?}");
            parts.extend_from_slice(&room[..if gives == 16 { 16 } else { 0 }]);
        }
        let rest = full - parts.len() as CK_ULONG;
        let mut room = [0; 64];
        assert_eq!(scene.last(kind, null_mut(), 0), (Ok(()), rest), "{kind:?}");
        if rest > 0 {
            assert_eq!(scene.last(kind, room.as_mut_ptr(), rest - 1), (Err(CKR_BUFFER_TOO_SMALL), rest));
        }
        assert_eq!(scene.last(kind, room.as_mut_ptr(), rest), (Ok(()), rest));
        parts.extend_from_slice(&room[..rest as usize]);
        assert_eq!(parts, out[..full as usize], "{kind:?} in parts gave something else");
        scene.assert_over(kind);
    }
}

#[test]
fn every_other_error_ends_the_operation() {
    if !alone("standard_operations::every_other_error_ends_the_operation") {
        return;
    }
    let scene = Scene::new();
    let (mut data, mut out) = ([5; 32], [0; 64]);
    let (data, out) = (data.as_mut_ptr(), out.as_mut_ptr());
    for kind in ALL {
        scene.begin(kind).unwrap();
        assert_eq!(scene.whole(kind, null_mut(), 16, out, 64).0, Err(CKR_ARGUMENTS_BAD), "{kind:?}");
        scene.assert_over(kind);
        scene.begin(kind).unwrap();
        assert_eq!(scene.part(kind, null_mut(), 16, out, 64).0, Err(CKR_ARGUMENTS_BAD), "{kind:?}");
        scene.assert_over(kind);
        scene.begin(kind).unwrap();
        let absurd = scene.part(kind, data, CK_ULONG::MAX, out, 64).0;
        assert!(matches!(absurd, Err(CKR_DATA_LEN_RANGE | CKR_ENCRYPTED_DATA_LEN_RANGE)), "{kind:?}: {absurd:x?}");
        scene.assert_over(kind);
        // One call for everything does not follow calls for parts.
        scene.begin(kind).unwrap();
        scene.part(kind, data, 16, out, 64).0.unwrap();
        assert_eq!(scene.whole(kind, data, 16, out, 64).0, Err(CKR_OPERATION_ACTIVE), "{kind:?}");
        scene.assert_over(kind);
    }
    // Lengths that the mechanism does not take.
    scene.begin(Decrypt).unwrap();
    assert_eq!(scene.whole(Decrypt, data, 15, out, 64).0, Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
    scene.assert_over(Decrypt);
    scene.begin(Decrypt).unwrap();
    scene.part(Decrypt, data, 15, out, 64).0.unwrap();
    assert_eq!(scene.last(Decrypt, out, 64).0, Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
    scene.assert_over(Decrypt);
    // Verification is over whatever comes of it.
    for (length, reason) in [(16, CKR_SIGNATURE_INVALID), (15, CKR_SIGNATURE_LEN_RANGE), (0, CKR_SIGNATURE_LEN_RANGE)] {
        scene.begin(Verify).unwrap();
        assert_eq!(scene.whole(Verify, data, 16, out, length).0, Err(reason));
        scene.assert_over(Verify);
        scene.begin(Verify).unwrap();
        scene.part(Verify, data, 16, out, 64).0.unwrap();
        assert_eq!(scene.last(Verify, out, length).0, Err(reason));
        scene.assert_over(Verify);
    }
    let s = &scene.s;
    let k = scene.cipher;
    call!(s.lib, C_DecryptInit, s.handle, &mut mech(SM4_CBC_PAD, &mut [7; 16]), k).unwrap();
    assert_eq!(scene.whole(Decrypt, data, 32, out, 64).0, Err(CKR_ENCRYPTED_DATA_INVALID));
    scene.assert_over(Decrypt);
}

/// Operations of different kinds and of different sessions do not disturb each other.
#[test]
fn operations_stand_beside_each_other() {
    if !alone("standard_operations::operations_stand_beside_each_other") {
        return;
    }
    let one = Scene::new();
    let other = Scene { s: one.s.lib.open(0), cipher: one.cipher, mac: one.mac };
    let mut data = [5; 32];
    let data = data.as_mut_ptr();
    for scene in [&one, &other] {
        ALL.iter().for_each(|kind| scene.begin(*kind).unwrap());
    }
    let mut answers = [[[0; 64]; 4]; 2];
    for at in 0..2 {
        let scene = [&one, &other][at];
        for (kind, answer) in ANSWERING.iter().zip(&mut answers[at]) {
            scene.whole(*kind, data, 32, answer.as_mut_ptr(), 64).0.unwrap();
        }
        let tag = answers[at][3].as_mut_ptr();
        scene.whole(Verify, data, 32, tag, 16).0.unwrap();
        ALL.iter().for_each(|kind| scene.assert_over(*kind));
    }
    assert_eq!(answers[0], answers[1]);
    // A session that closes takes its operation along.
    other.begin(Digest).unwrap();
    call!(other.s.lib, C_CloseSession, other.s.handle).unwrap();
    assert_eq!(other.part(Digest, data, 1, null_mut(), 0).0, Err(CKR_SESSION_HANDLE_INVALID));
}

/// §5.2: output may be written over the input, and empty input is input.
#[test]
fn work_in_place_and_on_nothing() {
    if !alone("standard_operations::work_in_place_and_on_nothing") {
        return;
    }
    let scene = Scene::new();
    let s = &scene.s;
    let plain = *b"sixteen bytes, twice: in place!!";
    let apart = s.encrypt(&mut mech(SM4_CBC, &mut [7; 16]), scene.cipher, &plain).unwrap();
    let mut buffer = plain;
    let b = buffer.as_mut_ptr();
    call!(s.lib, C_EncryptInit, s.handle, &mut mech(SM4_CBC, &mut [7; 16]), scene.cipher).unwrap();
    assert_eq!(scene.whole(Encrypt, b, 32, b, 32), (Ok(()), 32));
    assert_eq!(buffer, *apart);
    scene.begin(Decrypt).unwrap();
    let b = buffer.as_mut_ptr();
    assert_eq!(scene.part(Decrypt, b, 16, b, 16), (Ok(()), 16));
    // SAFETY: the second half of the buffer.
    let half = unsafe { b.add(16) };
    assert_eq!(scene.part(Decrypt, half, 16, half, 16), (Ok(()), 16));
    assert_eq!(scene.last(Decrypt, half, 16), (Ok(()), 0));
    assert_eq!(buffer, plain);
    for kind in ANSWERING {
        let (mut out, full) = ([0; 64], [16, 0, 32, 16][kind as usize]);
        scene.begin(kind).unwrap();
        assert_eq!(scene.whole(kind, null_mut(), 0, out.as_mut_ptr(), 64), (Ok(()), full), "{kind:?}");
        scene.begin(kind).unwrap();
        scene.part(kind, null_mut(), 0, out.as_mut_ptr(), 64).0.unwrap();
        let mut again = [0; 64];
        assert_eq!(scene.last(kind, again.as_mut_ptr(), 64), (Ok(()), full), "{kind:?}");
        assert_eq!(out, again);
    }
}

/// SHA-2 is the standard's: FIPS 180-4 and RFC 4231.
#[test]
fn sha_2_is_there_too() {
    if !alone("standard_operations::sha_2_is_there_too") {
        return;
    }
    let s = user_token();
    let template = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET)];
    let uses = [A::D(CKA_VALUE, b"Jefe".to_vec()), A::B(CKA_SIGN, true), A::B(CKA_VERIFY, true)];
    let key = s.create(&[&template[..], &uses].concat()).unwrap();
    for (digest, hmac, abc, jefe) in [
        (CKM_SHA224, CKM_SHA224_HMAC, "23097d223405d822", "a30e01098bc6dbbf"),
        (CKM_SHA256, CKM_SHA256_HMAC, "ba7816bf8f01cfea", "5bdcc146bf60754e"),
        (CKM_SHA384, CKM_SHA384_HMAC, "cb00753f45a35e8b", "af45d2e376484031"),
        (CKM_SHA512, CKM_SHA512_HMAC, "ddaf35a193617aba", "164b7a7bfcf819e2"),
    ] {
        call!(s.lib, C_DigestInit, s.handle, &mut mech(digest, &mut [])).unwrap();
        let (mut out, mut length) = ([0; 64], 64);
        call!(s.lib, C_Digest, s.handle, b"abc".as_ptr().cast_mut(), 3, out.as_mut_ptr(), &mut length).unwrap();
        assert_eq!(hex::encode(&out[..8]), abc);
        let tag = s.sign(&mut mech(hmac, &mut []), key, b"what do ya want for nothing?").unwrap();
        assert_eq!((hex::encode(&tag[..8]), tag.len()), (jefe.into(), length as usize));
        s.verify(&mut mech(hmac, &mut []), key, b"what do ya want for nothing?", &tag).unwrap();
    }
    // An HMAC-SM3 key is one of HMAC with SM3.
    let template = [A::U(CKA_KEY_TYPE, V + 0x0D53_0001), A::U(CKA_VALUE_LEN, 32), A::B(CKA_SIGN, true)];
    let sm3_key = s.generate_with(CKM_GENERIC_SECRET_KEY_GEN, &template).unwrap();
    assert_eq!(s.sign(&mut mech(CKM_SHA256_HMAC, &mut []), sm3_key, b"x"), Err(CKR_KEY_TYPE_INCONSISTENT));
}
