//! `kms ceremony component`: a custodian makes a root component and seals it to the HSM.
//!
//! The component exists in the custodian's own process and on their paper. Guards: neither server nor
//! worker sees it; it is sealed to the key in a trust anchor that the custodian compared.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use der::asn1::OctetString;
use getrandom::SysRng;
use kms_api::body::CeremonyView;
use kms_core::digest::Digest;
use kms_core::document::{Component, TrustAnchor};
use kms_core::encoding::Document;
use kms_core::id::{PersonId, PlanId};
use kms_core::keys::SealingKey;
use kms_core::plan::Step;
use kms_core::secret::{Kcv, KcvMethod, Secret};
use sm4::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::{Zeroize, Zeroizing};

use super::{fetch_plan, officer_id};
use crate::client::ServerOptions;
use crate::commands::{anchor, view};
use crate::console;
use crate::failure::{Failure, Outcome, no_entropy};
use crate::files;
use crate::identity;
use crate::plans::ReadPlan;

/// Bytes of a component.
const COMPONENT_BYTES: usize = 16;

/// Root components of custodians
#[derive(Subcommand, Debug)]
pub(crate) enum ComponentCommand {
    /// Make a component: shown once, to be written down on paper
    New(New),
    /// Seal a component to the HSM and hand it in
    HandIn(HandIn),
}

/// Options of `kms ceremony component new`.
#[derive(Args, Debug)]
pub(crate) struct New {
    /// Do not make one: show the check value of the component in this file (32 hexadecimal digits)
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
}

/// Options of `kms ceremony component hand-in`.
#[derive(Args, Debug)]
pub(crate) struct HandIn {
    /// Plan id (64 hexadecimal digits)
    id: Digest,
    #[command(flatten)]
    server: ServerOptions,
    /// Trust anchor of the instance: the component is sealed to its component import key
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    /// Test instances: the component from a file; otherwise it is typed in, unseen
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// Say yes beforehand to exactly this plan id (for scripts)
    #[arg(long, value_name = "HEX")]
    yes_digest: Option<Digest>,
}

impl ComponentCommand {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        match self {
            Self::New(new) => new.run(),
            Self::HandIn(hand_in) => hand_in.run(),
        }
    }
}

impl New {
    fn run(&self) -> Outcome<()> {
        if let Some(file) = &self.value_file {
            console::field("check value (KCV)", check_value(&read_component(file)?)?);
            return Ok(());
        }
        let component = Secret::<COMPONENT_BYTES>::try_from_fn(|bytes| getrandom::fill(bytes).map_err(no_entropy))?;
        let digits = Zeroizing::new(hex::encode_upper(component.expose()));
        let groups: Vec<&str> = (0..8).filter_map(|i| digits.get(4 * i..4 * i + 4)).collect();
        console::say("┌────────────────────────────────────────────────────────────┐");
        console::say("│  ROOT COMPONENT — write it down, seal the envelope, tell   │");
        console::say("│  nobody. It is shown once and kept nowhere.                │");
        console::say(&format!("│     {}                │", Zeroizing::new(groups.join(" ")).as_str()));
        console::say("└────────────────────────────────────────────────────────────┘");
        console::field("check value (KCV)", check_value(&component)?);
        console::say("Give the check value, and only that, to the officer who proposes the ceremony.");
        Ok(())
    }
}

impl HandIn {
    fn run(&self) -> Outcome<()> {
        let trusted = anchor::read(&self.anchor)?;
        if self.value_file.is_some() {
            trusted.require_test("--value-file")?;
        }
        let client = self.server.connect()?;
        let plan = fetch_plan(&client, &self.id)?;
        plan.show()?;
        if plan.plan.origin != trusted.anchor.origin {
            return Err(Failure::not_verified(
                format!("the plan is for {}, the trust anchor is of {}", plan.plan.origin, trusted.anchor.origin),
                "use the trust anchor of the instance that holds the ceremony",
            ));
        }
        let officer = officer_id(&client)?;
        let planned = custodian(&plan, &officer)?;
        let component = match &self.value_file {
            Some(file) => read_component(file)?,
            None => ask_component(&officer)?,
        };
        let found = check_value(&component)?;
        if found != planned {
            return Err(Failure::not_verified(
                format!("the component has check value {found}; the plan says {planned}"),
                "check the component letter by letter; if it is right, the plan is wrong: reject it",
            ));
        }
        console::digest("sealed to the anchor", &Digest::of(&trusted.bytes));
        let question =
            format!("You, {officer}, hand in your root component (check value {found}) for the plan shown above.");
        console::confirm_digest(&plan.digest, self.yes_digest.as_ref(), &question)?;
        let ciphertext =
            component_key(&trusted.anchor)?.encrypt(component.expose(), &mut SysRng).map_err(no_entropy)?;
        let document = Component {
            label: Component::LABEL.to_owned(),
            plan: PlanId::from_digest(self.id),
            officer,
            kcv: found,
            ciphertext: OctetString::new(ciphertext).map_err(Failure::internal)?,
        };
        let signed = identity::sign(document, client.key()?)?;
        let ceremony: CeremonyView =
            client.post_der(&format!("/v1/ceremonies/{}/components", self.id), signed.bytes())?;
        view::ceremony(&ceremony);
        Ok(())
    }
}

/// What components are sealed to: SM2, the only suite whose HSMs combine them.
fn component_key(anchor: &TrustAnchor) -> Outcome<&kms_core::sm2::PublicKey> {
    anchor.component_key.as_ref().and_then(SealingKey::as_sm2).ok_or_else(|| {
        Failure::input(
            format!("the HSM of {} combines no components", anchor.origin),
            "let the masters be generated in the HSM: `kms ceremony propose create-roots` without --custodian",
        )
    })
}

fn custodian(plan: &ReadPlan, officer: &PersonId) -> Outcome<Kcv> {
    let custodians = plan.plan.steps.iter().flat_map(|step| match step {
        Step::CreateMasters(create) => create.custodians.as_slice(),
        _ => &[],
    });
    let own = custodians.into_iter().find(|custodian| custodian.person == *officer);
    own.map(|custodian| custodian.kcv).ok_or_else(|| {
        Failure::input(
            format!("{officer} is not a custodian of this plan"),
            "use the key of a custodian that the plan names",
        )
    })
}

fn read_component(path: &Path) -> Outcome<Secret<COMPONENT_BYTES>> {
    let text = files::read_secret(path)?;
    decode_component(text.expose())
}

fn ask_component(officer: &PersonId) -> Outcome<Secret<COMPONENT_BYTES>> {
    let typed = console::password(&format!("root component of {officer} (32 hexadecimal digits)"), false)?;
    decode_component(typed.expose())
}

/// 32 hexadecimal digits, spaces between groups allowed.
fn decode_component(text: &[u8]) -> Outcome<Secret<COMPONENT_BYTES>> {
    let digits = Zeroizing::new(text.iter().copied().filter(|b| *b != b' ').collect::<Vec<u8>>());
    Secret::try_from_fn(|bytes| {
        hex::decode_to_slice(&*digits, bytes).map_err(|_| {
            Failure::input(
                "a component is 32 hexadecimal digits",
                "write it in groups of four, as it stands on the paper",
            )
        })
    })
}

/// First three bytes of SM4 over a zero block: compared inside the HSM before the component is used.
fn check_value(component: &Secret<COMPONENT_BYTES>) -> Outcome<Kcv> {
    let mut block = [0u8; 16].into();
    sm4::Sm4::new(component.expose().into()).encrypt_block(&mut block);
    let kcv = Kcv::truncated(KcvMethod::Ecb3, block.as_slice()).map_err(Failure::internal);
    block.as_mut_slice().zeroize();
    kcv
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root of the published worked chain and its check value.
    #[test]
    fn check_value_of_the_worked_chain() {
        let component = decode_component(b"0123 4567 89AB CDEF FEDC BA98 7654 3210").unwrap();
        assert_eq!(check_value(&component).unwrap().to_string(), "ecb3:2677f4");
    }

    #[test]
    fn must_be_refused() {
        for text in [&b""[..], b"0123", b"0123456789ABCDEFFEDCBA987654321", b"0123456789ABCDEFFEDCBA987654321G"] {
            assert!(decode_component(text).is_err(), "{text:?}");
        }
    }
}
