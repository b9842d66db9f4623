//! The numberings of vendors: each does what its numbers promise, in its encodings, and nothing else.

use std::ptr::null_mut;

use cryptoki_sys::*;
use sm3::{Digest, Sm3};

pub(crate) use crate::profiles_tables::*;
use crate::{harness::*, roles::known};

/// A process with this numbering.
pub(crate) fn numbered(test: &str, vendor: &Vendor) -> bool {
    alone_with(test, |command, _| _ = command.env("HSM_SIM_PROFILE", vendor.name))
}

const EC_PARAMS: [u8; 10] = [0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];

impl Vendor {
    pub(crate) fn sm4_key(&self, s: &Session, value: &[u8], granted: &[CK_ATTRIBUTE_TYPE]) -> Rv<CK_OBJECT_HANDLE> {
        s.create(&with(&known(value, granted), &[A::U(CKA_KEY_TYPE, self.sm4)]))
    }

    pub(crate) fn sm2_pair(
        &self,
        s: &Session,
        public: &[CK_ATTRIBUTE_TYPE],
        private: &[CK_ATTRIBUTE_TYPE],
    ) -> (CK_ULONG, CK_ULONG) {
        let flags = |granted: &[CK_ATTRIBUTE_TYPE]| granted.iter().map(|kind| A::B(*kind, true)).collect::<Vec<_>>();
        let public = [flags(public), vec![A::D(CKA_EC_PARAMS, EC_PARAMS.into())]].concat();
        s.pair_with(self.pair, &public, &flags(private)).unwrap()
    }

    fn numbers(&self) -> Vec<CK_ULONG> {
        let mut all = [self.modes.as_slice(), self.digest, self.also, &[self.pair]].concat();
        all.extend(self.raw.iter().map(|(number, _)| *number));
        all.extend(self.message.iter().map(|(number, ..)| *number));
        all.extend(self.seal.iter().flat_map(|(encrypt, wrap, unwrap, _)| [*encrypt, *wrap, *unwrap]));
        all.extend([self.hmac, self.gcm, self.derive].into_iter().flatten());
        all.extend(self.macs.into_iter().flatten());
        if self.sha256 {
            all.extend([CKM_GENERIC_SECRET_KEY_GEN, CKM_SHA256_HMAC]);
        }
        all.retain(|number| *number != ABSENT);
        all.sort_unstable();
        all.dedup();
        all
    }

    fn check(&self) {
        let s = user_token();
        self.lists_agree(&s);
        self.ciphers(&s);
        self.wrapping(&s);
        self.macs(&s);
        self.signatures(&s);
        self.sealing(&s);
        for attribute in NO_PINS {
            let value = match *attribute {
                CKA_ALLOWED_MECHANISMS => A::M(vec![self.modes[1]]),
                CKA_TRUSTED | CKA_WRAP_WITH_TRUSTED => A::B(*attribute, false),
                _ => A::T(*attribute, vec![A::B(CKA_SENSITIVE, true)]),
            };
            let made = s.generate_with(self.modes[0], &[value, A::B(CKA_SENSITIVE, true)]);
            let expected = if self.lacks.contains(attribute) { Err(CKR_ATTRIBUTE_TYPE_INVALID) } else { Ok(()) };
            assert_eq!(made.map(|_| ()), expected, "{attribute:#x}");
            if let Ok(key) = made {
                s.get(key, *attribute).unwrap();
            } else {
                let key = s.generate_with(self.modes[0], &[]).unwrap();
                assert_eq!(s.get(key, *attribute), expected.map(|()| vec![]));
            }
        }
    }

    fn lists_agree(&self, s: &Session) {
        let mut count = 0;
        call!(s.lib, C_GetMechanismList, 0, null_mut(), &mut count).unwrap();
        let mut list = vec![0; count as usize];
        call!(s.lib, C_GetMechanismList, 0, list.as_mut_ptr(), &mut count).unwrap();
        list.sort_unstable();
        assert_eq!(list, self.numbers(), "{list:x?}");
        let mut info = std::mem::MaybeUninit::<CK_MECHANISM_INFO>::zeroed();
        for number in &list {
            call!(s.lib, C_GetMechanismInfo, 0, *number, info.as_mut_ptr()).unwrap();
        }
        for number in [SM4_KEY_GEN, KEY_WRAP, CMAC, XOR_KEYS, CKM_AES_ECB, V].iter().filter(|n| !list.contains(n)) {
            assert_eq!(call!(s.lib, C_GetMechanismInfo, 0, *number, info.as_mut_ptr()), Err(CKR_MECHANISM_INVALID));
            assert_eq!(s.generate_with(*number, &[]), Err(CKR_MECHANISM_INVALID));
        }
        let sm1 = [self.sm1.map(|sm1| sm1[1]).unwrap_or(V + 0xF)];
        assert_eq!(s.generate_with(sm1[0], &[]), Err(CKR_MECHANISM_INVALID), "the stand-in is off");
    }

    fn ciphers(&self, s: &Session) {
        let key = hex::decode("0123456789abcdeffedcba9876543210").unwrap();
        let handle = self.sm4_key(s, &key, &[CKA_ENCRYPT, CKA_DECRYPT]).unwrap();
        let expected = hex::decode("681edf34d206965e86b3e94f536e4246").unwrap();
        let [_, ecb, cbc, pad] = self.modes;
        assert_eq!(s.encrypt(&mut mech(ecb, &mut []), handle, &key).unwrap(), expected);
        assert_eq!(s.encrypt(&mut mech(cbc, &mut [0; 16]), handle, &key).unwrap(), expected);
        if pad != ABSENT {
            let sealed = s.encrypt(&mut mech(pad, &mut [0; 16]), handle, b"text").unwrap();
            assert_eq!(s.decrypt(&mut mech(pad, &mut [0; 16]), handle, &sealed).unwrap(), b"text");
        }
        if let Some(number) = self.gcm {
            let mut gcm = GcmParams::new(&[4; 12], b"header");
            let mut how = CK_MECHANISM { mechanism: number, ..gcm.mech() };
            let sealed = s.encrypt(&mut how, handle, b"text").unwrap();
            assert_eq!(s.decrypt(&mut how, handle, &sealed).unwrap(), b"text");
        }
        for number in self.digest {
            call!(s.lib, C_DigestInit, s.handle, &mut mech(*number, &mut [])).unwrap();
            let (mut out, mut length) = ([0; 32], 32);
            call!(s.lib, C_Digest, s.handle, b"abc".as_ptr().cast_mut(), 3, out.as_mut_ptr(), &mut length).unwrap();
            assert_eq!(out[..], Sm3::digest(b"abc")[..]);
        }
    }

    /// Wrapping with what such tokens have: the key's bytes, encrypted.
    fn wrapping(&self, s: &Session) {
        let key = hex::decode("0123456789abcdeffedcba9876543210").unwrap();
        let expected = hex::decode("681edf34d206965e86b3e94f536e4246").unwrap();
        let [_, ecb, cbc, pad] = self.modes;
        let flags = [A::B(CKA_EXTRACTABLE, true), A::B(CKA_SENSITIVE, true)];
        let target = s.generate_with(self.modes[0], &flags).unwrap();
        let kek = s.generate_with(self.modes[0], &[A::B(CKA_WRAP, true)]).unwrap();
        for (mut how, length) in
            [(mech(ecb, &mut []), 16), (mech(cbc, &mut [9; 16]), 16), (mech(pad, &mut [9; 16]), 32)]
        {
            if how.mechanism != ABSENT {
                assert_eq!(s.wrap_with(&mut how, kek, target).unwrap().len(), length);
            }
        }
        let opener = self.sm4_key(s, &key, &[CKA_UNWRAP]).unwrap();
        let template = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, self.sm4)];
        let opened = s.unwrap_with(&mut mech(ecb, &mut []), opener, &expected, &template).unwrap();
        let twin = self.sm4_key(s, &key, &[]).unwrap();
        assert_eq!(s.get(opened, CKA_CHECK_VALUE), s.get(twin, CKA_CHECK_VALUE));
        let short = s.unwrap_with(&mut mech(pad, &mut [0; 16]), opener, &expected, &template);
        assert_eq!(short, Err(if pad == ABSENT { CKR_MECHANISM_INVALID } else { CKR_WRAPPED_KEY_INVALID }));
    }

    fn macs(&self, s: &Session) {
        for number in [self.hmac, self.sha256.then_some(CKM_SHA256_HMAC)].into_iter().flatten() {
            let template = [A::U(CKA_VALUE_LEN, 32), A::B(CKA_SIGN, true), A::B(CKA_VERIFY, true)];
            let key = s.generate_with(CKM_GENERIC_SECRET_KEY_GEN, &template).unwrap();
            let tag = s.sign(&mut mech(number, &mut []), key, b"text").unwrap();
            s.verify(&mut mech(number, &mut []), key, b"text", &tag).unwrap();
        }
        if self.sha256 {
            // RFC 4231, test case 2.
            let flags = [A::B(CKA_SIGN, true), A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET)];
            let key = s.create(&with(&known(b"Jefe", &[]), &flags)).unwrap();
            let tag = s.sign(&mut mech(CKM_SHA256_HMAC, &mut []), key, b"what do ya want for nothing?").unwrap();
            assert_eq!(hex::encode(tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        }
        let Some([mac, general]) = self.macs else { return };
        // A CBC-MAC is the last block of CBC under a zero IV, of the text with zeros up to a whole block.
        let value = [0x42; 16];
        let encrypter = self.sm4_key(s, &value, &[CKA_ENCRYPT]).unwrap();
        let signer = self.sm4_key(s, &value, &[CKA_SIGN, CKA_VERIFY]).unwrap();
        for text in [&[7; 16][..], &[8; 17], &[9; 32], &[1; 5]] {
            let mut padded = text.to_vec();
            padded.resize(text.len().next_multiple_of(16), 0);
            let sealed = s.encrypt(&mut mech(self.modes[2], &mut [0; 16]), encrypter, &padded).unwrap();
            let last = &sealed[sealed.len() - 16..];
            assert_eq!(s.sign(&mut mech(mac, &mut []), signer, text).unwrap(), last[..8]);
            for kept in [1, 4, 8, 16] {
                let mut length = (kept as CK_ULONG).to_ne_bytes();
                let tag = s.sign(&mut mech(general, &mut length), signer, text).unwrap();
                assert_eq!(tag, last[..kept]);
                s.verify(&mut mech(general, &mut length), signer, text, &tag).unwrap();
                let other = [tag[0] ^ 1].into_iter().chain(tag[1..].iter().copied()).collect::<Vec<_>>();
                let wrong = s.verify(&mut mech(general, &mut length), signer, text, &other);
                assert_eq!(wrong, Err(CKR_SIGNATURE_INVALID));
            }
        }
        for length in [0_u64, 17, CK_ULONG::MAX] {
            let refused = s.sign(&mut mech(general, &mut length.to_ne_bytes()), signer, b"text");
            assert_eq!(refused, Err(CKR_MECHANISM_PARAM_INVALID));
        }
        assert_eq!(s.sign(&mut mech(general, &mut []), signer, b"text"), Err(CKR_MECHANISM_PARAM_INVALID));
        assert_eq!(s.sign(&mut mech(mac, &mut [8; 8]), signer, b"text"), Err(CKR_MECHANISM_PARAM_INVALID));
    }

    /// All ways to sign agree: what one makes another checks, over the e that it should stand for.
    fn signatures(&self, s: &Session) {
        let (public, private) = self.sm2_pair(s, &[CKA_VERIFY], &[CKA_SIGN]);
        let point = s.get(public, CKA_EC_POINT).unwrap();
        assert_eq!(s.get(private, CKA_EC_POINT).unwrap(), point);
        assert_eq!(s.get(public, CKA_KEY_TYPE).unwrap(), self.sm2.to_ne_bytes());
        let z = z_of(&point[3..]);
        let with_z: [u8; 32] = Sm3::new_with_prefix(z).chain_update(b"text").finalize().into();
        let without: [u8; 32] = Sm3::digest(b"text").into();
        let (raw, raw_der) = self.raw[0];
        for (number, der) in self.raw {
            let signature = sign(s, *number, private, &with_z);
            assert_form(&signature, *der);
            s.verify(&mut mech(*number, &mut []), public, &with_z, &signature).unwrap();
            assert!(s.verify(&mut mech(*number, &mut []), public, &without, &signature).is_err());
        }
        for (number, der, has_z) in self.message {
            let signature = sign(s, *number, private, b"text");
            assert_form(&signature, *der);
            s.verify(&mut mech(*number, &mut []), public, b"text", &signature).unwrap();
            let e = if *has_z { with_z } else { without };
            let converted = convert(&signature, *der, raw_der);
            s.verify(&mut mech(raw, &mut []), public, &e, &converted).unwrap();
            let own_id = s.verify(&mut mech(*number, &mut [1, 2, 3]), public, b"text", &signature);
            // Only EP11 is said to take another signer's ID.
            assert_eq!(own_id, Err(if self.own_id { CKR_SIGNATURE_INVALID } else { CKR_MECHANISM_PARAM_INVALID }));
        }
        assert_eq!(
            s.verify(&mut mech(raw, &mut []), public, &with_z, &[0x30; 72]),
            Err(if raw_der { CKR_SIGNATURE_INVALID } else { CKR_SIGNATURE_LEN_RANGE })
        );
    }

    fn sealing(&self, s: &Session) {
        let [key_gen, ..] = self.modes;
        let (public, private) = self.sm2_pair(s, &[CKA_ENCRYPT], &[CKA_DECRYPT]);
        let (wrapper, _) = self.sm2_pair(s, &[CKA_WRAP], &[CKA_SIGN]);
        let target = s.generate_with(key_gen, &[A::B(CKA_EXTRACTABLE, true)]).unwrap();
        for (encrypt, wrap, unwrap, der) in self.seal {
            let sealed = s.encrypt(&mut mech(*encrypt, &mut []), public, &[7; 16]).unwrap();
            assert_eq!((sealed[0], sealed.len()), if *der { (0x30, 124) } else { (4, 65 + 32 + 16) });
            assert_eq!(s.decrypt(&mut mech(*encrypt, &mut []), private, &sealed).unwrap(), [7; 16]);
            for at in 0..sealed.len() {
                let mut bad = sealed.clone();
                bad[at] ^= 1;
                call!(s.lib, C_DecryptInit, s.handle, &mut mech(*encrypt, &mut []), private).unwrap();
                let (mut out, mut length) = ([0; 200], 200);
                let size = bad.len() as CK_ULONG;
                let opened = call!(s.lib, C_Decrypt, s.handle, bad.as_mut_ptr(), size, out.as_mut_ptr(), &mut length);
                assert_eq!(opened, Err(CKR_ENCRYPTED_DATA_INVALID), "byte {at}");
            }
            let blob = s.wrap(*wrap, wrapper, target);
            if self.lacks.contains(&CKA_TRUSTED) {
                let blob = blob.unwrap();
                assert_eq!((blob[0], blob.len()), if *der { (0x30, 124) } else { (4, 65 + 32 + 16) });
            } else {
                assert_eq!(blob, Err(CKR_KEY_NOT_WRAPPABLE), "a public key is trusted first");
            }
            if wrap != unwrap {
                assert_eq!(s.wrap(*unwrap, wrapper, target), Err(CKR_MECHANISM_INVALID));
            }
        }
    }
}

/// Signs; the length asked for is the greatest one.
pub(crate) fn sign(s: &Session, number: CK_ULONG, key: CK_OBJECT_HANDLE, data: &[u8]) -> Vec<u8> {
    call!(s.lib, C_SignInit, s.handle, &mut mech(number, &mut []), key).unwrap();
    let (pointer, size, mut length) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG, 0);
    call!(s.lib, C_Sign, s.handle, pointer, size, null_mut(), &mut length).unwrap();
    let mut out = vec![0; length as usize];
    call!(s.lib, C_Sign, s.handle, pointer, size, out.as_mut_ptr(), &mut length).unwrap();
    out.truncate(length as usize);
    out
}

fn assert_form(signature: &[u8], der: bool) {
    let is_der = signature[0] == 0x30 && usize::from(signature[1]) == signature.len() - 2;
    assert!(if der { is_der && signature.len() > 64 } else { signature.len() == 64 }, "{signature:02x?}");
}

/// From one form to the other.
fn convert(signature: &[u8], from_der: bool, to_der: bool) -> Vec<u8> {
    let parsed = match from_der {
        true => sm2::dsa::Signature::from_der(signature),
        false => sm2::dsa::Signature::from_slice(signature),
    };
    if to_der { parsed.unwrap().to_der().as_bytes().to_vec() } else { parsed.unwrap().to_vec() }
}

/// Z of the default ID for a point 04 ‖ x ‖ y of which the first byte is left out.
fn z_of(coordinates: &[u8]) -> [u8; 32] {
    let curve = "fffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffc28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e9332c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0";
    let digest =
        Sm3::new_with_prefix([0, 128]).chain_update(b"1234567812345678").chain_update(hex::decode(curve).unwrap());
    digest.chain_update(coordinates).finalize().into()
}

macro_rules! vendors {
    ($($test:ident: $vendor:expr;)*) => {$(
        #[test]
        fn $test() {
            if numbered(concat!("profiles::", stringify!($test)), &$vendor) {
                $vendor.check();
            }
        }
    )*};
}

vendors! {
    ibm_ep11: IBM_EP11;
    luna: LUNA;
    sansec: SANSEC;
    tass: TASS;
    koal: KOAL;
    westone: WESTONE;
    low_numbers: LOW_NUMBERS;
    xipki: XIPKI;
}
