//! The battery in the worker.

use kms_core::ports::HsmResult;
use kms_core::secret::Pin;

use super::bench::{Attempt, Bench};
use super::{Finding, Verdict, derivation, handles, identity, pairs, unwrapping, values, wrapping};
use crate::session::Token;

/// Every form of every attack that runs on any token.
const ANYWHERE: &[(u8, &[Attempt])] = &[
    (1, &[wrapping::wrap_and_decrypt, wrapping::wrap_then_decrypt]),
    (2, &[pairs::pair_wraps_and_decrypts, pairs::pair_wraps_and_unwraps, pairs::public_half_again]),
    (3, &[values::read_sensitive]),
    (4, &[values::read_unextractable]),
    (5, &[values::sensitive_off, values::extractable_on, values::trusted_only_off]),
    (6, &[values::copy_readable, values::copy_extractable, values::copy_that_wraps, values::copy_that_decrypts]),
    (7, &[wrapping::known_kek]),
    (8, &[unwrapping::readable_again, unwrapping::readable_against_pins, unwrapping::other_type_against_pins]),
    (9, &[unwrapping::mixed_halves, unwrapping::ecb_unwrap, unwrapping::cbc_unwrap]),
    (10, &[derivation::truncated_generic, derivation::truncated_block]),
    (11, &[derivation::readable_child, derivation::loose_child]),
    (12, &[derivation::derive_and_encrypt, derivation::master_with_encrypt]),
    (13, &[derivation::derive_and_sign]),
    (14, &[derivation::ctr_keystream, derivation::gcm_keystream]),
    (
        15,
        &[
            derivation::concatenate_key,
            derivation::concatenate_data,
            derivation::xor_data,
            derivation::extract_bits,
            derivation::xor_master,
        ],
    ),
    (16, &[wrapping::make_wrap_decrypt, wrapping::make_wrap_unwrap]),
    (17, &[unwrapping::cbc_padding, unwrapping::pkcs1_padding, unwrapping::damaged_seals]),
    (18, &[identity::set_trusted, identity::make_trusted, identity::copy_trusted]),
    (19, &[wrapping::untrusted_kek]),
    (20, &[wrapping::against_wrap_template]),
    (21, &[identity::second_identity]),
    (25, &[wrapping::gcm_iv, wrapping::ctr_iv]),
];

/// The attacks that a token in use must be spared.
const SPARED: [u8; 3] = [22, 23, 24];

/// Runs the battery; answers one finding for each attack, by number.
pub(crate) fn run(token: &mut Token, so_pin: Option<&Pin>) -> HsmResult<Vec<Finding>> {
    identity::sweep(token)?;
    let mut bench = Bench::new(token)?;
    let mut findings =
        ANYWHERE.iter().map(|(id, attempts)| bench.attack(*id, attempts)).collect::<HsmResult<Vec<_>>>()?;
    match so_pin {
        None => findings.extend(SPARED.map(|id| Finding {
            id,
            verdict: Verdict::NotApplicable,
            refusals: Vec::new(),
            notes: vec!["not tried: runs on throw-away tokens only".to_owned()],
        })),
        Some(so_pin) => {
            findings.push(bench.attack(22, &[handles::closed_session, handles::login_before, handles::login_after])?);
            findings.push(bench.attack(24, &[handles::fork])?);
            findings.push(bench.last_attack(23, |bench| handles::exhaust_pin(bench, so_pin))?);
        }
    }
    findings.sort_unstable_by_key(|finding| finding.id);
    Ok(findings)
}
