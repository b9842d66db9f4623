//! Card keys per second — derive, check value, wrap, destroy — on every way that a key can take.
//!
//! `cargo bench -p kms-hsm --bench issue [-- --json]`; `docs/benchmarks.md` says what the figures mean. Rounds of what is
//! compared take turns, and a ratio is the median of the rounds' ratios: the machine may be busy, but it is equally busy
//! for both. Nothing fails here for being slow.
#![expect(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the comparison is plain C calls"
)]

mod clock;
mod raw;
mod report;
mod site;
mod table;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use clock::{Round, processor_seconds};
use raw::Raw;
use report::Report;
use site::{Recheck, Site};
use sm4::Sm4;
use sm4::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use table::WrapCalls::{One, Two};

const ROUNDS: usize = 9;
/// Cards of a chunk on the simulator.
const CARDS: usize = 1000;
/// On SoftHSM, which is slower.
const SOFTHSM_CARDS: usize = 100;
const SOFTHSM: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
/// The network HSM of the model: time of a call, calls at a time.
const LATENCY: &str = "1ms";
const NETWORK_LANES: u16 = 64;
const NETWORK_ROUNDS: usize = 3;
/// Calls for a key: C_DeriveKey, C_GetAttributeValue, C_WrapKey, C_DestroyObject.
const CALLS_PER_KEY: f64 = 4.0;
/// Calls per second of the model when no lane is ever idle.
const NETWORK_CALLS: f64 = 64_000.0;
const BARE_BLOCKS: u32 = 400_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == raw::ARGUMENT) {
        return raw::serve(&arguments[at + 1], Path::new(&arguments[at + 2]));
    }
    let mut report = Report::default();
    let site = Site::simulator();
    simulator(&site, &mut report);
    softhsm(&mut report);
    network(&site, &mut report);
    report.print(arguments.iter().any(|argument| argument == "--json"));
}

fn simulator(site: &Site, report: &mut Report) {
    let mut raw = Raw::start(&site.module, "sm4", &site.environment());
    let (port, port_on_two) = (site.port(1, Recheck::OneCard), site.port(2, Recheck::OneCard));
    let careful = site.port(1, Recheck::EveryKey);
    // The first round of each looks for keys and warms caches.
    let [mut bare, mut one, mut two, mut through, mut through_two, mut twice] = [const { Vec::new() }; 6];
    for round in 0..=ROUNDS {
        let rates = [
            sm4_alone(),
            raw.round(1, One, CARDS),
            port.round(CARDS),
            raw.round(2, One, CARDS),
            port_on_two.round(CARDS),
            careful.round(CARDS),
        ];
        let all = [&mut bare, &mut one, &mut through, &mut two, &mut through_two, &mut twice];
        for (rounds, rate) in all.into_iter().zip(rates) {
            if round > 0 {
                rounds.push(rate);
            }
        }
    }
    report.rate("SM4 alone: key set-up and one block", &bare);
    report.rate("hsm-sim, bare loop, 1 thread", &one);
    report.rate("hsm-sim, bare loop, 2 threads", &two);
    report.rate("hsm-sim, port and worker, 1 lane", &through);
    report.rate("hsm-sim, port and worker, 2 lanes", &through_two);
    report.rate("hsm-sim, port and worker, every key made twice", &twice);
    report.ratio("port, 1 lane / bare loop, 1 thread", (&through, &one), 0.9, Some(1.0));
    report.ratio("port, 2 lanes / bare loop, 2 threads", (&through_two, &two), 0.9, Some(1.0));
    report.ratio("hsm-sim, bare loop / SM4 alone", (&one, &bare), 1.0 / 12.0, Some(1.0));
    report.ratio("hsm-sim, bare loop, 2 threads / 1", (&two, &one), 1.7, Some(2.0));
    // As delivered: twice the work of the bare loop.
    report.ratio("port, every key made twice / bare loop", (&twice, &one), 0.45, Some(1.0));
}

fn softhsm(report: &mut Report) {
    let Some(module) = SOFTHSM.iter().map(Path::new).find(|module| module.is_file()) else {
        return report.note("SoftHSM2: not installed (Debian package libsofthsm2), not measured".to_owned());
    };
    let directory = tempfile::tempdir().unwrap();
    let mut raw = Raw::start(module, "aes", &[site::softhsm_settings(directory.path())]);
    let site = Site::softhsm(module);
    let port = site.port(1, Recheck::OneCard);
    let [mut one, mut two, mut through] = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        let measured =
            [raw.round(1, Two, SOFTHSM_CARDS), port.plain_round(SOFTHSM_CARDS), raw.round(1, One, SOFTHSM_CARDS)];
        for (rounds, rate) in [&mut two, &mut through, &mut one].into_iter().zip(measured) {
            if round > 0 {
                rounds.push(rate);
            }
        }
    }
    report.rate("SoftHSM2, C-style loop, C_WrapKey twice", &two);
    report.rate("SoftHSM2, C-style loop, C_WrapKey once", &one);
    report.rate("SoftHSM2, port and worker", &through);
    report.ratio("SoftHSM2, port / C-style loop with two calls", (&through, &two), 1.0, Some(1.0));
}

fn network(site: &Site, report: &mut Report) {
    let environment = site.network(LATENCY, NETWORK_LANES);
    let mut raw = Raw::start(&site.module, "sm4", &environment);
    let port = site.port_with(NETWORK_LANES, environment);
    let [mut bare, mut through] = [const { Vec::new() }; 2];
    // Finds the keys, one call after the other.
    port.round(1);
    for _ in 0..NETWORK_ROUNDS {
        bare.push(raw.round(usize::from(NETWORK_LANES), One, CARDS));
        through.push(port.round(CARDS));
    }
    report.rate("network HSM (model), bare loop, 64 threads", &bare);
    report.rate("network HSM (model), port and worker, 64 lanes", &through);
    let full = [Round { rate: NETWORK_CALLS / CALLS_PER_KEY, cost: 0.0 }; NETWORK_ROUNDS];
    report.ratio("network HSM, port: lanes busy", (&through, &full), 0.95, None);
    report.ratio("network HSM, bare loop: lanes busy", (&bare, &full), 0.95, None);
}

/// Key set-ups with one block each.
fn sm4_alone() -> Round {
    let mut block = [0x5a; 16].into();
    let (before, started) = (processor_seconds(0), Instant::now());
    for number in 0..BARE_BLOCKS {
        let mut key = [0x11; 16];
        key[..4].copy_from_slice(&number.to_be_bytes());
        Sm4::new((&black_box(key)).into()).encrypt_block(&mut block);
    }
    black_box(block);
    let (took, used) = (started.elapsed().as_secs_f64(), processor_seconds(0) - before);
    Round { rate: f64::from(BARE_BLOCKS) / took, cost: used / f64::from(BARE_BLOCKS) }
}
