//! Processor time of processes, threads that have ended included.

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

/// What one round took.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    /// Keys per second.
    pub(crate) rate: f64,
    /// Seconds of processor time for a key, on all processors together.
    pub(crate) cost: f64,
}

/// Seconds of processor time that a process has used; 0 is the own one.
pub(crate) fn processor_seconds(process: u32) -> f64 {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let process = libc::pid_t::try_from(process).unwrap();
    // SAFETY: both pointers lead to live locals.
    unsafe {
        assert_eq!(libc::clock_getcpuclockid(process, &raw mut clock), 0);
        assert_eq!(libc::clock_gettime(clock, &raw mut time), 0);
    }
    time.tv_sec as f64 + time.tv_nsec as f64 / NANOS
}
