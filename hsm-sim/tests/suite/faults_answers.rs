//! Stale handles, answers of a wrong length, attributes with a wrong bit, random numbers that repeat, and the census.

use cryptoki_sys::*;

use crate::{faults::*, harness::*};

/// A wrapped child; what the token said of its length beside it.
fn wrapped(s: &Session, kek: CK_OBJECT_HANDLE, child: CK_OBJECT_HANDLE) -> (Vec<u8>, usize) {
    let (mut blob, mut length) = (vec![0; 24], 24);
    let how = &mut mech(KEY_WRAP, &mut []);
    call!(s.lib, C_WrapKey, s.handle, how, kek, child, blob.as_mut_ptr(), &mut length).unwrap();
    (blob, length as usize)
}

#[test]
fn calls_work_on_another_object_than_they_name() {
    if !scripted("faults_answers::calls_work_on_another_object_than_they_name") {
        return;
    }
    let s = user_under(prepared(), "C_WrapKey 2 other-object\n");
    let (master, kek) = (s.by_id("master")[0], s.by_id("kek")[0]);
    let children: Vec<_> = (1..=3).map(|byte| s.derive(master, &[byte; 16], &[]).unwrap()).collect();
    let blobs: Vec<_> = children.iter().map(|child| wrapped(&s, kek, *child).0).collect();
    assert_ne!(blobs[0], blobs[1]);
    assert_eq!(blobs[2], blobs[1], "the third call wrapped the key of the second");
    assert_ne!(wrapped(&s, kek, children[2]).0, blobs[1], "once");
    assert_eq!(fired(), ["other-object C_WrapKey 2"]);
}

#[test]
fn answers_are_said_to_be_longer_than_they_are() {
    if !scripted("faults_answers::answers_are_said_to_be_longer_than_they_are") {
        return;
    }
    let s = user_under(prepared(), "C_WrapKey 2 long-answer 8\n");
    let (master, kek) = (s.by_id("master")[0], s.by_id("kek")[0]);
    let child = s.derive(master, &[1; 16], &[]).unwrap();
    let lengths: Vec<usize> = (0..3).map(|_| wrapped(&s, kek, child).1).collect();
    assert_eq!(lengths, [24, 32, 24]);
    assert_eq!(fired(), ["long-answer:8 C_WrapKey 2"]);
}

#[test]
fn attributes_and_random_numbers_are_spoilt() {
    if !scripted("faults_answers::attributes_and_random_numbers_are_spoilt") {
        return;
    }
    let script =
        "C_GetAttributeValue 2 flip-bit 0\nC_GetAttributeValue 3 truncate 2\nC_GenerateRandom 1 repeat-answer\n";
    let s = user_under(prepared(), script);
    let master = s.by_id("master")[0];
    let id = || {
        let mut bytes = [0_u8; 16];
        let mut asked = CK_ATTRIBUTE { type_: CKA_ID, pValue: bytes.as_mut_ptr().cast(), ulValueLen: 16 };
        call!(s.lib, C_GetAttributeValue, s.handle, master, &mut asked, 1).unwrap();
        bytes[..asked.ulValueLen as usize].to_vec()
    };
    let values: Vec<_> = (0..4).map(|_| id()).collect();
    assert_eq!(values[0], b"master");
    assert_eq!(values[1], b"laster");
    assert_eq!(values[2], b"mast");
    assert_eq!(values[3], b"master");
    let random = || {
        let mut bytes = [0; 8];
        call!(s.lib, C_GenerateRandom, s.handle, bytes.as_mut_ptr(), 8).unwrap();
        bytes
    };
    let drawn = [random(), random(), random()];
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[1], drawn[2]);
    let expected = ["flip-bit:0 C_GetAttributeValue 2", "truncate:2 C_GetAttributeValue 3"];
    assert_eq!(fired(), [expected[0], expected[1], "repeat-answer C_GenerateRandom 1"]);
}

#[test]
fn a_census_counts_session_objects() {
    if !scripted("faults_answers::a_census_counts_session_objects") {
        return;
    }
    let s = user_under(prepared(), "C_GenerateRandom every census\n");
    let mut byte = [0];
    let mut count = || call!(s.lib, C_GenerateRandom, s.handle, byte.as_mut_ptr(), 1).unwrap();
    count();
    let master = s.by_id("master")[0];
    let child = s.derive(master, &[1; 16], &[]).unwrap();
    s.derive(master, &[2; 16], &[]).unwrap();
    count();
    call!(s.lib, C_DestroyObject, s.handle, child).unwrap();
    count();
    assert_eq!(
        fired(),
        [0, 2, 1].iter().zip(1..).map(|(n, c)| format!("census:{n} C_GenerateRandom {c}")).collect::<Vec<_>>()
    );
}
