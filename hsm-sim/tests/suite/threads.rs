//! Many threads on one token: no wrong answers, no lost objects, and one winner where there can be one only.

use std::{
    ptr::null_mut,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
};

use cryptoki_sys::*;

use crate::{
    harness::*,
    roles::{kek, master},
};

const THREADS: usize = 32;
const LOOPS: usize = 500;

#[test]
fn threads_do_not_disturb_each_other() {
    if !alone("threads::threads_do_not_disturb_each_other") {
        return;
    }
    let s = user_token();
    s.generate(&master("master", false)).unwrap();
    s.become_(CKU_SO);
    s.generate(&kek("kek")).unwrap();
    s.become_(CKU_USER);
    let (lib, master, kek) = (s.lib, s.by_id("master")[0], s.by_id("kek")[0]);
    let block = |at: usize| ((at as u128) << 64 | 1).to_be_bytes();
    let expected: Vec<Vec<u8>> = (0..LOOPS)
        .map(|at| {
            let child = s.derive(master, &block(at), &[]).unwrap();
            let blob = s.wrap(KEY_WRAP, kek, child).unwrap();
            s.destroy(child).unwrap();
            blob
        })
        .collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // One thread changes the token all the time, so that the others keep meeting changed generations.
        let writer = scope.spawn(|| {
            let s = lib.open(0);
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                let object = s.generate(&[A::B(CKA_TOKEN, true), A::D(CKA_ID, b"moving".to_vec())]).unwrap();
                assert_eq!(s.by_id("moving"), [object]);
                s.destroy(object).unwrap();
                written += 1;
            }
            written
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let s = lib.open(0);
                    for (at, blob) in expected.iter().enumerate() {
                        let child = s.derive(master, &block(at), &[]).unwrap();
                        assert_eq!(s.wrap(KEY_WRAP, kek, child).unwrap(), *blob);
                        s.destroy(child).unwrap();
                    }
                    call!(lib, C_CloseSession, s.handle).unwrap();
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
    });
    assert_eq!(s.find(&[A::B(CKA_TOKEN, false)]), [0; 0], "a session object stayed behind");
}

#[test]
fn of_many_initialisations_one_wins() {
    if !alone("threads::of_many_initialisations_one_wins") {
        return;
    }
    let lib = Lib::load();
    for _ in 0..20 {
        let gate = Barrier::new(THREADS);
        let outcomes: Vec<Rv<()>> = std::thread::scope(|scope| {
            let attempt = || {
                gate.wait();
                call!(lib, C_Initialize, null_mut())
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(attempt)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        let others = outcomes.iter().filter(|outcome| **outcome == Err(CKR_CRYPTOKI_ALREADY_INITIALIZED)).count();
        assert_eq!(others, THREADS - 1);
        call!(lib, C_Finalize, null_mut()).unwrap();
    }
}
