//! Fault scripts that are not understood stop C_Initialize; the counters are those of the script.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::{faults::*, harness::*};

#[test]
fn a_script_is_strict() {
    if !scripted("faults_script::a_script_is_strict") {
        return;
    }
    let lib = Lib::load();
    for bad in [
        "C_Sign 1",
        "C_Sing 1 hang",
        "C_Sign 0 hang",
        "C_Sign 3-2 hang",
        "C_Sign +1 hang",
        "C_Sign every/0 hang",
        "C_Sign 1 explode",
        "C_Sign 1 hang 3",
        "C_Sign 1 return",
        "C_Sign 1 return CKR_OK",
        "C_Sign 1 return 0",
        "C_Sign 1 return CKR_NO_SUCH_THING",
        "C_Sign 1 return 0x+1",
        "C_Sign 1 delay 20",
        "C_Sign 1 delay 0ms",
        "C_Sign 1 delay 2d",
        "C_Sign 1 delay 20ms 3",
        "C_Sign 1 delay 99999999s",
        "C_Sign 1 memory-full",
        "C_Sign 1 wrong-check-value",
        "C_Initialize 1 drop-session",
        "C_OpenSession 1 drop-login",
        "C_GenerateRandom 1 flip-bit",
        "C_GetFunctionList 1 hang",
        "C_FindObjects 1 flip-bit -1",
        "C_GenerateRandom 1 truncate 1",
        "C_GetAttributeValue 1 length-plus 1",
        "C_Sign 1 other-object",
        "C_Sign 1 long-answer",
        "C_OpenSession 1 census",
        "network 1ms lanes 0",
        "network 1 lanes 3",
        "network 1ms lanes 3\nnetwork 1ms lanes 3",
        "counters",
        "counters shared\ncounters shared",
        "c_sign 1 hang",
    ] {
        assert_eq!(under(lib, bad), Err(CKR_ARGUMENTS_BAD), "{bad:?}");
        assert_eq!(under(lib, &format!("# fine\n\n{bad}\n")), Err(CKR_ARGUMENTS_BAD), "{bad:?}");
    }
    for good in ["", "# only a remark", "  \n\t", "C_Sign 1 hang # or not", "* every/7 delay 1us\nnetwork 1us lanes 64"]
    {
        assert_eq!(under(lib, good), Ok(()), "{good:?}");
    }
    call!(lib, C_Finalize, null_mut()).unwrap();
    std::fs::remove_file(path("HSM_SIM_FAULTS")).unwrap();
    assert_eq!(call!(lib, C_Initialize, null_mut()), Err(CKR_ARGUMENTS_BAD), "a script that is not there");
}

#[test]
fn the_refusal_names_file_line_and_reason() {
    if !alone_with("faults_script::the_refusal_names_file_line_and_reason", |command, dir| {
        command.env("HSM_SIM_TEST_FOLDER", dir);
    }) {
        return;
    }
    let script = path("HSM_SIM_TEST_FOLDER").join("faults");
    std::fs::write(&script, "\nC_Sign 1 hang\nC_Sign 1 delay 20\n").unwrap();
    let mut command = again("faults::helper_one_call", &path("HSM_SIM_DIR"));
    let output = command.env("HSM_SIM_FAULTS", &script).env("HSM_SIM_TEST_HELPER", "1").output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    let expected = format!("hsm-sim: {}:3: the argument is missing, out of range", script.display());
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn counters_outlive_finalisation_and_end_with_the_script() {
    if !scripted("faults_script::counters_outlive_finalisation_and_end_with_the_script") {
        return;
    }
    let lib = Lib::initialised();
    let info = || {
        let mut info = std::mem::MaybeUninit::zeroed();
        call!(lib, C_GetSlotInfo, 0, info.as_mut_ptr())
    };
    for counters in ["", "counters shared\n"] {
        let script = format!("{counters}C_GetSlotInfo 3 return CKR_DEVICE_ERROR\n");
        under(lib, &script).unwrap();
        info().unwrap();
        under(lib, &script).unwrap();
        info().unwrap();
        under(lib, &script).unwrap();
        assert_eq!(info(), Err(CKR_DEVICE_ERROR));
        under(lib, &script).unwrap();
        info().unwrap();
        under(lib, &format!("{script}# changed")).unwrap();
        assert_eq!([info(), info(), info()], [Ok(()), Ok(()), Err(CKR_DEVICE_ERROR)]);
    }
    assert_eq!(fired().len(), 4);
}
