//! OpenSSL as the second opinion: what one side makes, the other opens.

use cryptoki_sys::*;

use crate::{
    harness::*,
    roles::{known, recipient},
};

const ID: &str = "distid:1234567812345678";

struct Openssl(tempfile::TempDir);

impl Openssl {
    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn run(&self, args: &[&str]) -> bool {
        tool("openssl", "openssl", args).0.success()
    }

    /// Runs with `-out`, and gives what was written.
    fn output(&self, args: &[&str]) -> Vec<u8> {
        let out = self.path("out");
        let (status, text) = tool("openssl", "openssl", &[&args[..1], &["-out", &out], &args[1..]].concat());
        assert!(status.success(), "openssl {args:?}: {text}");
        std::fs::read(out).unwrap()
    }
}

/// An SM2 key pair made by OpenSSL: path of the private key, path of the public key, d, bare point.
fn openssl_pair(openssl: &Openssl) -> (String, String, Vec<u8>, Vec<u8>) {
    let private = openssl.output(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"]);
    let private = openssl.write("key.pem", &private);
    let public = openssl.output(&["pkey", "-in", &private, "-pubout"]);
    let public = openssl.write("pub.pem", &public);
    let traditional = openssl.output(&["pkey", "-in", &private, "-traditional", "-outform", "DER"]);
    let spki = openssl.output(&["pkey", "-pubin", "-in", &public, "-outform", "DER"]);
    // ECPrivateKey ::= SEQUENCE { 1, OCTET STRING d, … }: header, version, then 04 20 and d.
    let at = traditional.windows(2).position(|pair| pair == [0x04, 0x20]).unwrap() + 2;
    (private, public, traditional[at..at + 32].to_vec(), spki[spki.len() - 65..].to_vec())
}

fn der_signature(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap();
        let mut body = bytes[start..].to_vec();
        if body[0] >= 0x80 {
            body.insert(0, 0);
        }
        [vec![2, body.len() as u8], body].concat()
    };
    let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
    [vec![0x30, body.len() as u8], body].concat()
}

#[test]
fn sm3_and_sm4_agree() {
    if !alone("openssl::sm3_and_sm4_agree") {
        return;
    }
    let s = user_token();
    let openssl = Openssl(tempfile::tempdir().unwrap());
    for round in 0..8u8 {
        let value: Vec<u8> = (0..16).map(|at| (at * 7) ^ (round * 31)).collect();
        let text: Vec<u8> = (0..16 * (usize::from(round) + 1)).map(|at| (at * 13) as u8 ^ round).collect();
        let (key_hex, iv_hex) = (hex::encode(&value), hex::encode([round; 16]));
        let input = openssl.write("in", &text);
        let key = s.create(&known(&value, &[CKA_ENCRYPT, CKA_DECRYPT])).unwrap();
        let ecb = openssl.output(&["enc", "-sm4-ecb", "-nopad", "-K", &key_hex, "-in", &input]);
        assert_eq!(s.encrypt(&mut mech(SM4_ECB, &mut []), key, &text).unwrap(), ecb);
        let cbc = openssl.output(&["enc", "-sm4-cbc", "-K", &key_hex, "-iv", &iv_hex, "-in", &input]);
        assert_eq!(s.encrypt(&mut mech(SM4_CBC_PAD, &mut [round; 16]), key, &text).unwrap(), cbc);
        assert_eq!(s.decrypt(&mut mech(SM4_CBC_PAD, &mut [round; 16]), key, &cbc).unwrap(), text);
        assert_eq!(s.digest(&text).unwrap(), openssl.output(&["dgst", "-sm3", "-binary", &input]));
        let mac_key = with(&known(&value, &[CKA_SIGN]), &[A::U(CKA_KEY_TYPE, CKK_GENERIC_SECRET)]);
        let tag = s.sign(&mut mech(HMAC, &mut []), s.create(&mac_key).unwrap(), &text).unwrap();
        let hexkey = format!("hexkey:{key_hex}");
        let theirs = openssl.output(&["dgst", "-sm3", "-mac", "HMAC", "-macopt", &hexkey, "-binary", &input]);
        assert_eq!(tag, theirs);
    }
}

#[test]
fn sm2_signatures_go_both_ways() {
    if !alone("openssl::sm2_signatures_go_both_ways") {
        return;
    }
    let s = user_token();
    let openssl = Openssl(tempfile::tempdir().unwrap());
    let (private_file, public_file, d, point) = openssl_pair(&openssl);
    let message = openssl.write("message", b"key log checkpoint");
    let half = |class, attribute, uses| {
        let fixed = [A::U(CKA_CLASS, class), A::U(CKA_KEY_TYPE, CKK_SM2), A::B(uses, true)];
        s.create(&with(&fixed, &[attribute])).unwrap()
    };
    let sign = half(CKO_PRIVATE_KEY, A::D(CKA_VALUE, d), CKA_SIGN);
    let verify = half(CKO_PUBLIC_KEY, A::D(CKA_EC_POINT, point.clone()), CKA_VERIFY);
    assert_eq!(s.get(sign, CKA_EC_POINT).unwrap()[2..], point, "the point follows from d");

    let ours = s.sign(&mut mech(SM2_SM3, &mut []), sign, b"key log checkpoint").unwrap();
    let signature = openssl.write("sig", &der_signature(&ours));
    let check = ["dgst", "-sm3", "-verify", &public_file, "-sigopt", ID, "-signature", &signature, &message];
    assert!(openssl.run(&check), "OpenSSL refuses the token's signature");
    let other = openssl.write("other", b"another message");
    assert!(!openssl.run(&[&check[..check.len() - 1], &[&other]].concat()));

    let theirs = openssl.output(&["dgst", "-sm3", "-sign", &private_file, "-sigopt", ID, &message]);
    let raw = raw_signature(&theirs);
    s.verify(&mut mech(SM2_SM3, &mut []), verify, b"key log checkpoint", &raw).unwrap();
    assert_eq!(s.verify(&mut mech(SM2_SM3, &mut []), verify, b"another", &raw), Err(CKR_SIGNATURE_INVALID));
}

fn raw_signature(der: &[u8]) -> Vec<u8> {
    let r_length = usize::from(der[3]);
    let (r, s) = (&der[4..4 + r_length], &der[6 + r_length..]);
    let fixed = |bytes: &[u8]| {
        let mut out = vec![0; 32];
        let body = &bytes[bytes.len().saturating_sub(32)..];
        out[32 - body.len()..].copy_from_slice(body);
        out
    };
    [fixed(r), fixed(s)].concat()
}

#[test]
fn openssl_opens_what_the_token_wraps() {
    if !alone("openssl::openssl_opens_what_the_token_wraps") {
        return;
    }
    let s = fresh_token();
    let openssl = Openssl(tempfile::tempdir().unwrap());
    let (private_file, public_file, d, point) = openssl_pair(&openssl);
    s.login(CKU_SO, SO_PIN).unwrap();
    s.create(&recipient("bureau", &point)).unwrap();
    s.become_(CKU_USER);
    let bureau = s.by_id("bureau")[0];
    for round in 0..10u8 {
        let value = [round ^ 0xc3; 16];
        let extractable = [A::B(CKA_EXTRACTABLE, true), A::B(CKA_WRAP_WITH_TRUSTED, true)];
        let key = s.create(&with(&known(&value, &[CKA_ENCRYPT]), &extractable)).unwrap();
        let blob = s.wrap(SM2_ENCRYPT, bureau, key).unwrap();
        let blob = openssl.write("blob", &blob);
        assert_eq!(openssl.output(&["pkeyutl", "-decrypt", "-inkey", &private_file, "-in", &blob]), value);
    }
    // And the other way round: a key sealed by OpenSSL arrives in the token.
    let sealed = openssl.write("plain", &[0x77; 16]);
    let sealed = openssl.output(&["pkeyutl", "-encrypt", "-pubin", "-inkey", &public_file, "-in", &sealed]);
    let private =
        [A::U(CKA_CLASS, CKO_PRIVATE_KEY), A::U(CKA_KEY_TYPE, CKK_SM2), A::D(CKA_VALUE, d), A::B(CKA_UNWRAP, true)];
    let private = s.create(&private).unwrap();
    let plain = [A::U(CKA_CLASS, CKO_SECRET_KEY), A::U(CKA_KEY_TYPE, CKK_SM4)];
    let arrived = s.unwrap(SM2_ENCRYPT, private, &sealed, &plain).unwrap();
    let expected = s.create(&known(&[0x77; 16], &[])).unwrap();
    assert_eq!(s.get(arrived, CKA_CHECK_VALUE).unwrap(), s.get(expected, CKA_CHECK_VALUE).unwrap());
}
