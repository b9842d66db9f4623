//! The loop that personalisation runs millions of times: derive, wrap, destroy. Figures need a release build:
//! `cargo test --release -p hsm-sim speed -- --ignored --nocapture`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki_sys::*;

use crate::{
    harness::*,
    roles::{card, kek, master},
};

const RUN: Duration = Duration::from_secs(2);

fn prepare() -> Session {
    let s = user_token();
    s.generate(&master("master", false)).unwrap();
    s.become_(CKU_SO);
    s.generate(&kek("kek")).unwrap();
    s.become_(CKU_USER);
    s
}

/// One loop in three calls, the buffer being large enough.
fn once(
    s: &Session,
    master: CK_OBJECT_HANDLE,
    kek: CK_OBJECT_HANDLE,
    template: &mut Raw,
    block: &[u8; 16],
) -> [u8; 24] {
    let mut data = CK_KEY_DERIVATION_STRING_DATA { pData: block.as_ptr().cast_mut(), ulLen: 16 };
    let mut how = CK_MECHANISM {
        mechanism: DIVERSIFY,
        pParameter: (&raw mut data).cast(),
        ulParameterLen: size_of_val(&data) as CK_ULONG,
    };
    let (mut child, mut blob, mut length) = (0, [0; 24], 24);
    let (list, count) = (template.list.as_mut_ptr(), template.list.len() as CK_ULONG);
    call!(s.lib, C_DeriveKey, s.handle, &mut how, master, list, count, &mut child).unwrap();
    let wrap = &mut mech(KEY_WRAP, &mut []);
    call!(s.lib, C_WrapKey, s.handle, wrap, kek, child, blob.as_mut_ptr(), &mut length).unwrap();
    call!(s.lib, C_DestroyObject, s.handle, child).unwrap();
    blob
}

fn rate(threads: usize) -> f64 {
    let s = prepare();
    let (master, kek) = (s.by_id("master")[0], s.by_id("kek")[0]);
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|number| {
            let (stop, lib) = (Arc::clone(&stop), s.lib);
            std::thread::spawn(move || {
                let s = lib.open(0);
                let mut template = raw(&card());
                let mut done = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    let block = (u128::from(done) << 8 | number as u128 | 1 << 127).to_be_bytes();
                    once(&s, master, kek, &mut template, &block);
                    done += 1;
                }
                done
            })
        })
        .collect();
    std::thread::sleep(RUN);
    stop.store(true, Ordering::Relaxed);
    let done: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    done as f64 / started.elapsed().as_secs_f64()
}

#[test]
#[ignore = "a measurement, not a check"]
fn one_thread() {
    if alone("speed::one_thread") {
        println!("derive + wrap + destroy, 1 thread: {:.0} loops/s", rate(1));
    }
}

#[test]
#[ignore = "a measurement, not a check"]
fn two_threads() {
    if alone("speed::two_threads") {
        println!("derive + wrap + destroy, 2 threads: {:.0} loops/s", rate(2));
    }
}
