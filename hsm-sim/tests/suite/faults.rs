//! Every kind of fault that a script can ask for, through the C boundary, and the record of those that fired.

use std::{
    path::PathBuf,
    process::Stdio,
    ptr::null_mut,
    time::{Duration, Instant},
};

use cryptoki_sys::*;

use crate::{
    harness::*,
    roles::{kek, known, master},
};

/// A process with places for a script and for the record of fired faults.
pub(crate) fn scripted(test: &str) -> bool {
    alone_with(test, |command, dir| {
        command.env("HSM_SIM_FAULTS", dir.join("faults")).env("HSM_SIM_FAULTS_LOG", dir.join("fired"));
        std::fs::write(dir.join("faults"), "# no fault\n").unwrap();
    })
}

pub(crate) fn path(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap().into()
}

/// Starts the library again, under this script.
pub(crate) fn under(lib: Lib, script: &str) -> Rv<()> {
    let _ = call!(lib, C_Finalize, null_mut());
    std::fs::write(path("HSM_SIM_FAULTS"), script).unwrap();
    call!(lib, C_Initialize, null_mut())
}

/// The same with a user session.
pub(crate) fn user_under(lib: Lib, script: &str) -> Session {
    under(lib, script).unwrap();
    let s = lib.open(0);
    s.login(CKU_USER, USER_PIN).unwrap();
    s
}

/// A token with a master and a KEK.
pub(crate) fn prepared() -> Lib {
    let s = user_token();
    s.generate(&master("master", false)).unwrap();
    s.become_(CKU_SO);
    s.generate(&kek("kek")).unwrap();
    s.lib
}

/// What fired since the last time, without process numbers.
pub(crate) fn fired() -> Vec<String> {
    let path = path("HSM_SIM_FAULTS_LOG");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(path, "").unwrap();
    let process = std::process::id().to_string();
    text.lines()
        .map(|line| {
            let (rest, number) = line.rsplit_once(' ').unwrap();
            assert_eq!(number, process);
            rest.to_owned()
        })
        .collect()
}

fn random(s: &Session) -> Rv<()> {
    let mut bytes = [0; 8];
    call!(s.lib, C_GenerateRandom, s.handle, bytes.as_mut_ptr(), 8)
}

#[test]
fn any_return_value_on_any_call() {
    if !scripted("faults::any_return_value_on_any_call") {
        return;
    }
    let lib = prepared();
    let s = user_under(lib, "C_GenerateRandom 2 return CKR_DEVICE_ERROR\nC_GenerateRandom 4-5 return 0x30 # same\n");
    let outcomes: Vec<_> = (0..6).map(|_| random(&s)).collect();
    let broken = Err(CKR_DEVICE_ERROR);
    assert_eq!(outcomes, [Ok(()), broken, Ok(()), broken, broken, Ok(())]);
    let line = |call| format!("return:CKR_DEVICE_ERROR C_GenerateRandom {call}");
    assert_eq!(fired(), [line(2), line(4), line(5)]);

    let s = user_under(lib, "C_GenerateRandom 3+ return CKR_FUNCTION_FAILED\nC_GenerateRandom every/2 delay 1us\n");
    assert_eq!((0..4).map(|_| random(&s).is_ok()).collect::<Vec<_>>(), [true, true, false, false]);
    let expected = ["delay:1us C_GenerateRandom 2", "return:CKR_FUNCTION_FAILED C_GenerateRandom 3"];
    assert_eq!(fired()[..2], expected);
    // The script is read again, and no script is no fault.
    let s = user_under(lib, "");
    (0..9).for_each(|_| random(&s).unwrap());
    // Also the first call of all, and a vendor's own number.
    assert_eq!(under(lib, "C_Initialize 1 return 0x80000001"), Err(0x8000_0001));
    call!(lib, C_Initialize, null_mut()).unwrap();
    assert_eq!(under(lib, "* 2+ return CKR_CRYPTOKI_NOT_INITIALIZED"), Ok(()));
    assert_eq!(call!(lib, C_Finalize, null_mut()), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
}

#[test]
fn calls_take_their_time() {
    if !scripted("faults::calls_take_their_time") {
        return;
    }
    let lib = prepared();
    let timed = |s: &Session| {
        let begin = Instant::now();
        random(s).unwrap();
        begin.elapsed()
    };
    let s = user_under(lib, "C_GenerateRandom 2 delay 80ms\n");
    let times = [timed(&s), timed(&s), timed(&s)];
    assert!(times[1] >= Duration::from_millis(80) && times[0] < times[1] && times[2] < times[1], "{times:?}");

    // Slow is one call at a time, a network is many at a time.
    let all_of = |script: &str, calls: u32| {
        under(lib, script).unwrap();
        let sessions: Vec<Session> = (0..calls).map(|_| lib.open(0)).collect();
        let begin = Instant::now();
        std::thread::scope(|scope| {
            sessions.iter().for_each(|s| _ = scope.spawn(|| random(s).unwrap()));
        });
        begin.elapsed()
    };
    let slow = all_of("C_GenerateRandom every slow 30ms\n", 4);
    assert!(slow >= Duration::from_millis(120), "{slow:?}");
    fired();
    let wide = all_of("network 40ms lanes 4\n", 4);
    assert!(wide >= Duration::from_millis(40) && wide < Duration::from_millis(120), "{wide:?}");
    let narrow = all_of("network 40ms lanes 2\n", 8);
    assert!(narrow >= Duration::from_millis(160), "{narrow:?}");
    assert_eq!(fired(), [""; 0], "a network is not a fault");
}

#[test]
fn sessions_and_logins_are_lost() {
    if !scripted("faults::sessions_and_logins_are_lost") {
        return;
    }
    let lib = prepared();
    let s = user_under(lib, "C_FindObjectsInit 1 drop-session\n");
    let other = lib.open(0);
    assert_eq!(call!(lib, C_FindObjectsInit, s.handle, null_mut(), 0), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(random(&s), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(other.by_id("master").len(), 1, "the login was not in that session alone");
    assert_eq!(fired(), ["drop-session C_FindObjectsInit 1"]);

    let s = user_under(lib, "C_DeriveKey 2 drop-login\n");
    let master = s.by_id("master")[0];
    s.derive(master, &[1; 16], &[]).unwrap();
    assert_eq!(s.derive(master, &[2; 16], &[]), Err(CKR_KEY_HANDLE_INVALID));
    s.login(CKU_USER, USER_PIN).unwrap();
    s.derive(s.by_id("master")[0], &[2; 16], &[]).unwrap();
    assert_eq!(fired(), ["drop-login C_DeriveKey 2"]);
}

#[test]
fn a_token_goes_and_comes_back() {
    if !scripted("faults::a_token_goes_and_comes_back") {
        return;
    }
    let lib = prepared();
    let s = user_under(lib, "C_GenerateRandom 2 lose-token 5\n");
    random(&s).unwrap();
    assert_eq!(random(&s), Err(CKR_DEVICE_REMOVED));
    assert_eq!(random(&s), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(lib.open_with(0, CKF_SERIAL_SESSION).err(), Some(CKR_TOKEN_NOT_PRESENT));
    assert_eq!(lib.slots(), [1], "two calls");
    let mut info = std::mem::MaybeUninit::zeroed();
    call!(lib, C_GetSlotInfo, 0, info.as_mut_ptr()).unwrap();
    // SAFETY: plain data, filled.
    assert_eq!(unsafe { info.assume_init() }.flags & CKF_TOKEN_PRESENT, 0);
    assert_eq!(lib.slots(), [0, 1]);
    let s = lib.open(0);
    s.login(CKU_USER, USER_PIN).unwrap();
    assert_eq!(s.by_id("master").len(), 1);
    assert_eq!(fired(), ["lose-token:5 C_GenerateRandom 2"]);
}

#[test]
fn answers_are_spoilt() {
    if !scripted("faults::answers_are_spoilt") {
        return;
    }
    let lib = prepared();
    let script = "C_WrapKey 2 flip-bit\nC_WrapKey 3 flip-bit 0\nC_WrapKey 4 repeat-answer\nC_WrapKey 6 truncate 3\n\
                  C_WrapKey 7 length-plus 8\nC_GetAttributeValue 2 wrong-check-value\nC_DeriveKey 8 repeat-answer\n";
    let s = user_under(lib, script);
    let (master, kek) = (s.by_id("master")[0], s.by_id("kek")[0]);
    let once = |byte: u8| {
        let child = s.derive(master, &[byte; 16], &[]).unwrap();
        let (mut blob, mut length) = (vec![0; 64], 64);
        let how = &mut mech(KEY_WRAP, &mut []);
        call!(lib, C_WrapKey, s.handle, how, kek, child, blob.as_mut_ptr(), &mut length).unwrap();
        blob.truncate(length as usize);
        (child, blob)
    };
    let (child, good) = once(1);
    let (_, flipped) = once(1);
    let (_, first) = once(1);
    let differences = |a: &[u8], b: &[u8]| -> u32 { a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum() };
    assert_eq!((differences(&good, &flipped), differences(&good, &first)), (1, 1));
    assert_eq!((good[12] ^ flipped[12], good[0] ^ first[0]), (1, 1));
    // Only an earlier answer that differs can be repeated: call 3 answered the same blob.
    let blobs: Vec<_> = (10..16).map(|byte| once(byte).1).collect();
    assert_eq!(blobs[2].len(), 21);
    let repeated = blobs.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(repeated, 1, "{blobs:02x?}");

    let value = |s: &Session| s.get(child, CKA_CHECK_VALUE).unwrap();
    let (right, wrong) = (value(&s), value(&s));
    assert_eq!(wrong, [right[0] ^ 0xff, right[1], right[2]]);
    assert_eq!(value(&s), right);

    let mut lengths = Vec::new();
    for _ in 0..8 {
        let mut length = 0;
        let how = &mut mech(KEY_WRAP, &mut []);
        call!(lib, C_WrapKey, s.handle, how, kek, child, null_mut(), &mut length).unwrap();
        lengths.push(length);
    }
    assert_eq!(lengths, [24, 24, 24, 24, 24, 24, 32, 24]);
    let kinds: Vec<String> = fired().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    for kind in ["flip-bit", "flip-bit:0", "repeat-answer", "truncate:3", "length-plus:8", "wrong-check-value"] {
        assert_eq!(kinds.iter().filter(|fired| *fired == kind).count(), 1 + usize::from(kind == "repeat-answer"));
    }
}

#[test]
fn objects_are_doubled_and_missing() {
    if !scripted("faults::objects_are_doubled_and_missing") {
        return;
    }
    let s = user_under(prepared(), "C_FindObjects 2 duplicate-object\nC_FindObjects 3 missing-object\n");
    let found: Vec<usize> = (0..4).map(|_| s.by_id("master").len()).collect();
    assert_eq!(found, [1, 2, 0, 1]);
    assert_eq!(fired(), ["duplicate-object C_FindObjects 2", "missing-object C_FindObjects 3"]);
}

#[test]
fn done_but_said_error_and_memory_full() {
    if !scripted("faults::done_but_said_error_and_memory_full") {
        return;
    }
    let lib = prepared();
    let s = user_under(lib, "C_GenerateKey 1 said-error CKR_GENERAL_ERROR\n* 2 memory-full\n");
    let data = |id: &str| vec![A::B(CKA_TOKEN, true), A::D(CKA_ID, id.into())];
    assert_eq!(s.generate(&data("first")), Err(CKR_GENERAL_ERROR));
    assert_eq!(s.by_id("first").len(), 1, "it was done");
    assert_eq!(s.create(&known(&[1; 16], &[])), Err(CKR_DEVICE_MEMORY));
    s.generate(&data("second")).unwrap();
    assert_eq!(fired(), ["said-error:CKR_GENERAL_ERROR C_GenerateKey 1", "memory-full C_CreateObject 2"]);
}

/// Helper of the next test: one call under the script that is there already.
#[test]
#[ignore = "a helper of the tests here, not a test"]
fn helper_one_call() {
    if std::env::var_os("HSM_SIM_TEST_HELPER").is_some() {
        let s = Lib::initialised().open(0);
        let _ = s.login(CKU_USER, USER_PIN);
        let _ = s.generate(&[A::B(CKA_TOKEN, true), A::D(CKA_ID, b"made".to_vec())]);
    }
}

#[test]
fn crashes_and_hangs_with_shared_counters() {
    if !scripted("faults::crashes_and_hangs_with_shared_counters") {
        return;
    }
    let lib = prepared();
    call!(lib, C_Finalize, null_mut()).unwrap();
    let script = "counters shared\nC_GenerateKey 1 crash\nC_GenerateKey 1 crash-after\nC_GenerateKey 3 hang\n";
    std::fs::write(path("HSM_SIM_FAULTS"), script).unwrap();
    let start = || {
        let mut command = again("faults::helper_one_call", &path("HSM_SIM_DIR"));
        command.env("HSM_SIM_TEST_HELPER", "1").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let made = || {
        under(lib, "").unwrap();
        let s = lib.open(0);
        s.login(CKU_USER, USER_PIN).unwrap();
        let made = s.by_id("made").len();
        call!(lib, C_Finalize, null_mut()).unwrap();
        std::fs::write(path("HSM_SIM_FAULTS"), script).unwrap();
        made
    };
    assert!(!start().wait().unwrap().success());
    assert_eq!(made(), 0, "it died before");
    assert!(!start().wait().unwrap().success());
    assert_eq!(made(), 1, "it died after");
    let mut hanging = start();
    let log = path("HSM_SIM_FAULTS_LOG");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !std::fs::read_to_string(&log).unwrap().contains("hang C_GenerateKey 3") {
        assert!(Instant::now() < deadline, "it did not hang");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(hanging.try_wait().unwrap().is_none());
    hanging.kill().unwrap();
    hanging.wait().unwrap();
    assert!(start().wait().unwrap().success(), "the fourth call finds the object there, and lives");
    let text = std::fs::read_to_string(log).unwrap();
    let kinds: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["crash", "crash-after", "hang"]);
}
