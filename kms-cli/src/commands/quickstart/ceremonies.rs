//! What every act of the story does: a ceremony from proposal to effect, by the people of one instance.

use kms_core::digest::Digest;
use kms_core::encoding::Document;
use kms_core::plan::Plan;

use super::narrator::{Narrator, Show};
use super::site::{InstanceSite, digest_of};
use crate::failure::Outcome;

/// Drafted by the server, signed by every officer, submitted.
pub(super) fn genesis(n: &mut Narrator, instance: &InstanceSite, show: Show) -> Outcome<()> {
    let (here, url) = (instance.site.name, &instance.url);
    n.kms(
        None,
        &format!("genesis draft --server {url} --people {here}/people.toml --out {here}/genesis.der"),
        &[],
        show,
    )?;
    let digest = digest_of(n.root(), &format!("{here}/genesis.der"), Plan::BYTES_MAX)?;
    let mut submit = format!("genesis submit --server {url} --plan {here}/genesis.der --anchor {here}/anchor.der");
    for person in instance.officers() {
        let id = person.id;
        let key = format!("--key {here}/{id}.pem --password-file {here}/{id}.password");
        let out = format!("{here}/{id}.genesis.der");
        let sign = format!("genesis sign --plan {here}/genesis.der {key} --yes-digest {digest} --out {out}");
        n.kms(None, &sign, &[], Show::Last(1))?;
        submit += &format!(" --approval {out}");
    }
    n.kms(None, &submit, &[], Show::Last(13))?;
    Ok(())
}

/// Proposed by the first officer, approved by the second and third, run by the first.
pub(super) fn hold(n: &mut Narrator, instance: &InstanceSite, what: &str, show: Show) -> Outcome<Digest> {
    let plan = propose_and_approve(n, instance, what)?;
    run(n, instance, plan, show)?;
    Ok(plan)
}

/// The same with the security officer's session at the HSM in between.
pub(super) fn hold_with_trust(n: &mut Narrator, instance: &InstanceSite, what: &str) -> Outcome<()> {
    let plan = hold(n, instance, what, Show::Last(1))?;
    let (site, anchor, officer) = (&instance.site, instance.anchor(), instance.officer(1));
    let trust = format!(
        "ceremony trust {plan} --anchor {anchor} --so-pin-file {}/so-pin --yes-digest {plan} --config {officer}",
        site.name
    );
    n.kms(Some(&site.hsm), &trust, &[], Show::Last(4))?;
    run(n, instance, plan, Show::Last(9))
}

/// Proposed by the first officer, approved by the second and third.
pub(super) fn propose_and_approve(n: &mut Narrator, instance: &InstanceSite, what: &str) -> Outcome<Digest> {
    let name = what.split(' ').next().unwrap_or_default();
    let out = instance.site.path(&format!("{name}.der"));
    n.kms(None, &format!("ceremony propose {what} --out {out} --config {}", instance.officer(0)), &[], Show::Essence)?;
    let plan = digest_of(n.root(), &out, Plan::BYTES_MAX)?;
    approve(n, instance, plan, [1, 2])?;
    Ok(plan)
}

/// Approved by two officers. Their own programs decode and show what was shown above.
pub(super) fn approve(n: &mut Narrator, instance: &InstanceSite, plan: Digest, officers: [usize; 2]) -> Outcome<()> {
    for officer in officers {
        let config = instance.officer(officer);
        n.kms(None, &format!("ceremony approve {plan} --yes-digest {plan} --config {config}"), &[], Show::Last(1))?;
    }
    Ok(())
}

/// Run by the first officer.
pub(super) fn run(n: &mut Narrator, instance: &InstanceSite, plan: Digest, show: Show) -> Outcome<()> {
    n.kms(None, &format!("ceremony run {plan} --config {}", instance.officer(0)), &[], show)?;
    Ok(())
}
