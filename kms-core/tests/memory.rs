//! What is left in memory of an SM2 private key after its use: nothing.
//!
//! Reads the memory of this very process, so it is a test binary of its own with one test in it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may read /proc/self")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use getrandom::SysRng;
use kms_core::{
    secret::{Pin, Secret},
    sm2::SecretKey,
};

/// The key under search is kept under this mask, so that the searcher does not find itself.
const MASK: u8 = 0x5a;

/// Length of the windows searched for: parts of a key survive more often than the whole.
const WINDOW_BYTES: usize = 8;

/// Mappings larger than this are reserved address space, not memory in use.
const MAPPING_BYTES_MAX: usize = 64 * 1024 * 1024;

#[test]
fn nothing_is_left_of_a_private_key() {
    let masked = use_a_key();
    assert_eq!(count_windows(&masked), 0, "windows of the private key are left");

    // Positive control: the search finds a key that is there.
    let mut scalar = [0; 32];
    scalar.iter_mut().zip(masked).for_each(|(byte, masked)| *byte = masked ^ MASK);
    let present = Secret::take(&mut scalar);
    assert_eq!(count_windows(&masked), masked.len() - WINDOW_BYTES + 1);
    drop(present);
}

/// Everything an officer's tool does with a key. The masked scalar remains.
#[inline(never)]
fn use_a_key() -> [u8; 32] {
    let key = SecretKey::generate(&mut SysRng).unwrap();
    let masked = mask(&key);
    let signature = key.sign(b"a plan").unwrap();
    key.public().verify(b"a plan", &signature).unwrap();
    let sealed = key.public().encrypt(&[7; 32], &mut SysRng).unwrap();
    assert_eq!(key.decrypt(&sealed).unwrap().as_slice(), [7; 32]);
    let pin = || Pin::try_from("four words or more".to_owned()).unwrap();
    let pem = key.to_pkcs8_encrypted_pem(&pin(), &mut SysRng).unwrap();
    let read = SecretKey::from_pkcs8_encrypted_pem(&pem, &pin()).unwrap();
    assert_eq!(read.sign(b"a plan").unwrap(), signature);
    masked
}

/// Byte by byte: `map` on the array would leave a copy on the stack.
#[inline(never)]
fn mask(key: &SecretKey) -> [u8; 32] {
    let mut masked = [0; 32];
    masked.iter_mut().zip(key.expose_scalar()).for_each(|(masked, byte)| *masked = byte ^ MASK);
    masked
}

/// How many different windows of the key stand somewhere in writable memory.
fn count_windows(masked: &[u8; 32]) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = [false; 32 - WINDOW_BYTES + 1];
    let mut buffer = Vec::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|flags| flags.starts_with("rw"))) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let length = (u64::from_str_radix(end, 16).unwrap() - start) as usize;
        if length > MAPPING_BYTES_MAX {
            continue;
        }
        buffer.resize(length, 0);
        if memory.read_exact_at(&mut buffer, start).is_err() {
            continue;
        }
        // Last bytes of all windows, so that most of the memory costs one look per byte.
        let mut lasts = [false; 256];
        masked[WINDOW_BYTES - 1..].iter().for_each(|byte| lasts[usize::from(byte ^ MASK)] = true);
        for end in (WINDOW_BYTES..=length).filter(|end| lasts[usize::from(buffer[end - 1])]) {
            let window = &buffer[end - WINDOW_BYTES..end];
            for (position, part) in masked.windows(WINDOW_BYTES).enumerate() {
                found[position] |= window.iter().zip(part).all(|(byte, part)| *byte == part ^ MASK);
            }
        }
        buffer.fill(0);
    }
    found.iter().filter(|found| **found).count()
}
