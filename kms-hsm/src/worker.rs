//! The worker process: lock down, load one module, serve one pipe.
//!
//! Guards: a role fixed at start decides which requests are answered at all; secrets come over the
//! pipe in frames of their own, never by argument or environment; when the other end is gone the
//! process ends at once, even in the middle of a call that hangs.

mod start;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::mpsc;

use kms_core::id::ObjectId;
use kms_core::keys::{PublicKey, SealingKey};
use kms_core::ports::{
    Confirmation, Custody, HsmResult, InstanceKeyIds, MasterSpec, SealedComponent, SealedMaster, TrustedObject,
    TrustedRole,
};
use kms_core::secret::{Pin, Secret};
use zeroize::Zeroizing;

use crate::bureau::RewrapWork;
use crate::fault::refused;
use crate::issue::{Chunk, ChunkWork};
use crate::lockdown::{self, Dropped};
use crate::session::Token;
use crate::wire::{self, Hello, Id, Master, Request, Response, Sealed, Status, WireKcv, WorkerRole};
use start::{Started, lock_secret, pin_fault, restrict, start};

use crate::{bureau, doctor, instance, inventory, masters, officer, probe, seal, setup, storage};

/// Most secrets in a greeting.
const SECRETS_MAX: u8 = 2;

/// A frame as it arrived.
type Frame = Zeroizing<Vec<u8>>;

/// `main` of `kms-hsm-worker`.
#[doc(hidden)]
#[must_use]
pub fn run() -> ExitCode {
    let mut dropped = lockdown::drop_privileges();
    dropped.push(lockdown::close_inherited());
    match serve(dropped) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kms-hsm-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(dropped: Vec<Dropped>) -> io::Result<()> {
    let mut to = lockdown::take_stdout()?;
    // Not std's stdin: it buffers, and a PIN would stay in the buffer.
    let mut from = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(hello) = wire::read_frame(&mut from)? else { return Ok(()) };
    let hello: Hello = wire::decode(&hello)?;
    let (map, restrictions) = match restrict(&hello, dropped) {
        Ok(restricted) => restricted,
        Err(error) => return answer(&mut to, Err(error)),
    };
    let (sender, frames) = mpsc::channel();
    std::thread::spawn(move || {
        loop {
            let sent = match wire::read_frame_into(&mut from, lock_secret) {
                Ok(Some(frame)) => sender.send(frame).is_ok(),
                _ => false,
            };
            if !sent {
                // The client is gone: nobody waits for what may be going on.
                lockdown::exit_now(0);
            }
        }
    });
    answer(&mut to, Ok(Response::Restricted(restrictions.iter().cloned().map(Into::into).collect())))?;
    let mut secrets = Vec::new();
    for _ in 0..hello.secrets.min(SECRETS_MAX) {
        secrets.push(next(&frames)?);
    }
    let role = hello.role;
    match start(hello, map, restrictions, secrets) {
        Ok(Started::Token(mut token)) => {
            answer(&mut to, token.status().map(|status| Response::Status(Status::from(status))))?;
            loop {
                let request: Request = wire::decode(&next(&frames)?)?;
                let scalar = match request {
                    Request::InstallImportKey { .. } | Request::Probe { throw_away: true } => Some(next(&frames)?),
                    _ => None,
                };
                let result = allowed(role, &request).and_then(|()| handle(&mut token, &request, scalar));
                answer(&mut to, result)?;
            }
        }
        Ok(Started::Setup { module, so_pin, user_pin }) => {
            answer(&mut to, Ok(Response::Done))?;
            let result = match wire::decode(&next(&frames)?)? {
                Request::InitToken { label, software_only } => {
                    setup::initialise(&module, &label, &so_pin, &user_pin, software_only)
                        .map(|status| Response::Status(Status::from(status)))
                }
                other => allowed(role, &other).map(|()| Response::Done),
            };
            answer(&mut to, result)
        }
        Err(error) => answer(&mut to, Err(error)),
    }
}

fn next(frames: &mpsc::Receiver<Frame>) -> io::Result<Frame> {
    frames.recv().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))
}

fn answer(to: &mut File, result: HsmResult<Response>) -> io::Result<()> {
    let response = result.unwrap_or_else(|error| Response::Fault(error.into()));
    wire::write_frame(to, &wire::encode(&response)?)
}

/// Which role answers which request. One role per process, so a process that serves batches cannot
/// be talked into importing a key, nor one with the SO's PIN into anything but trust.
fn allowed(role: WorkerRole, request: &Request) -> HsmResult<()> {
    let by = match request {
        Request::CardIndex { .. }
        | Request::IssueChunk { .. }
        | Request::LogHead
        | Request::Protect { .. }
        | Request::Random { .. }
        | Request::SealDiversified { .. }
        | Request::SealTransportKey { .. }
        | Request::SetLogHead { .. }
        | Request::Sign { .. }
        | Request::TrustedObject { .. }
        | Request::Unprotect { .. } => WorkerRole::Runtime,
        Request::CreateInstanceKeys { .. }
        | Request::GenerateMasters { .. }
        | Request::ImportMasters { .. }
        | Request::MastersFromComponents { .. } => WorkerRole::Ceremony,
        Request::CreatePersonalizationKey { .. }
        | Request::CreateTransportKey { .. }
        | Request::TrustRecipient { .. } => WorkerRole::SecurityOfficer,
        Request::CreateImportKey { .. }
        | Request::InstallImportKey { .. }
        | Request::OpenTransportKey { .. }
        | Request::Rewrap { .. } => WorkerRole::Bureau,
        Request::InitToken { .. } => WorkerRole::Setup,
        Request::Examine | Request::Inventory { .. } | Request::Probe { .. } => WorkerRole::Inspector,
        Request::Status => return Ok(()),
    };
    if by == role {
        return Ok(());
    }
    Err(refused("worker", "ROLE", format!("a {role:?} worker does not answer requests for {by:?}")))
}

fn handle(token: &mut Token, request: &Request, scalar: Option<Frame>) -> HsmResult<Response> {
    if let Request::InstallImportKey { label } = request {
        let mut scalar = scalar.unwrap_or_default();
        let bytes: &mut [u8; 32] = scalar
            .as_mut_slice()
            .try_into()
            .map_err(|_| refused("install_import_key", "SCALAR", "a private scalar has 32 bytes"))?;
        return bureau::install_import_key(token, label, Secret::take(bytes)).map(public_key);
    }
    if let Request::Probe { .. } = request {
        let so_pin = scalar.map(|mut pin| Pin::new(std::mem::take(&mut *pin))).transpose();
        let so_pin = so_pin.map_err(|error| pin_fault(&error.to_string()))?;
        return probe::run(token, so_pin.as_ref()).map(Response::Findings);
    }
    // Work on many keys keeps what is finished when a session is lost.
    match request {
        Request::IssueChunk { kek, masters, blocks } => {
            let mut work = ChunkWork::new(id(kek), masters, blocks, token.lanes())?;
            token.attempt(|token| work.run(token))?;
            let Chunk { wrapped, kcvs } = work.finish();
            Ok(Response::Chunk { wrapped, kcvs })
        }
        Request::Rewrap { transport, personalization_label, items } => {
            let items: HsmResult<Vec<_>> = items
                .iter()
                .map(|(blob, kcv)| Ok((blob.as_slice(), kcv.as_ref().map(WireKcv::decode).transpose()?)))
                .collect();
            let mut work = RewrapWork::new(id(transport), personalization_label, items?, token.lanes())?;
            token.attempt(|token| work.run(token))?;
            let done = work.finish();
            Ok(Response::Rewrapped { blobs: done.blobs, compared: done.compared })
        }
        _ => token.attempt(|token| dispatch(token, request)),
    }
}

fn dispatch(token: &mut Token, request: &Request) -> HsmResult<Response> {
    match request {
        Request::CardIndex { index, values } => storage::card_index(token, id(index), values).map(Response::Items),
        Request::CreateImportKey { label } => bureau::create_import_key(token, label).map(public_key),
        Request::CreateInstanceKeys { log, instance, import, index, storage, component_import } => {
            let ids = InstanceKeyIds {
                log: id(log),
                instance: id(instance),
                import: id(import),
                index: id(index),
                storage: id(storage),
                component_import: component_import.as_ref().map(id),
            };
            let keys = instance::create_keys(token, &ids)?;
            let made = [PublicKey::from(keys.log), keys.instance.into(), keys.import.into()].into_iter();
            let made = made.chain(keys.component_import.map(PublicKey::from));
            Ok(Response::Items(made.map(|key| key.to_spki_der()).collect()))
        }
        Request::CreatePersonalizationKey { label } => {
            officer::create_personalization_key(token, label).map(|kcv| Response::Kcvs(vec![kcv.into()]))
        }
        Request::CreateTransportKey { id: key, label } => {
            officer::create_transport_key(token, id(key), label).map(|kcv| Response::Kcvs(vec![kcv.into()]))
        }
        Request::GenerateMasters { masters: wanted } => {
            let wanted: Vec<MasterSpec> = wanted.iter().map(spec).collect();
            masters::generate(token, &wanted).map(|kcvs| Response::Kcvs(kcvs.into_iter().map(WireKcv::from).collect()))
        }
        Request::ImportMasters { import, masters: wanted } => {
            let wanted: HsmResult<Vec<(MasterSpec, SealedMaster)>> =
                wanted.iter().map(|(master, sealed)| Ok((spec(master), sealed_master(sealed)?))).collect();
            let kcvs = masters::import(token, id(import), &wanted?)?;
            Ok(Response::Kcvs(kcvs.into_iter().map(WireKcv::from).collect()))
        }
        Request::InitToken { .. }
        | Request::InstallImportKey { .. }
        | Request::IssueChunk { .. }
        | Request::Probe { .. }
        | Request::Rewrap { .. } => Err(refused("worker", "ROLE", "not a request for a token in use")),
        Request::Examine => doctor::run(token).map(Response::Checks),
        Request::Inventory { wanted } => inventory::run(token, wanted).map(Response::Inventory),
        Request::LogHead => Ok(storage::log_head(token)?.map_or(Response::Absent, Response::Bytes)),
        Request::MastersFromComponents { component_import, components, masters: wanted } => {
            let components: HsmResult<Vec<SealedComponent>> = components
                .iter()
                .map(|sealed| Ok(SealedComponent { ciphertext: sealed.ciphertext.clone(), kcv: sealed.kcv.decode()? }))
                .collect();
            let wanted: Vec<(MasterSpec, Id)> = wanted.iter().map(|(master, block)| (spec(master), *block)).collect();
            let (seed, kcvs) = masters::from_components(token, id(component_import), &components?, &wanted)?;
            Ok(Response::Kcvs(std::iter::once(seed).chain(kcvs).map(WireKcv::from).collect()))
        }
        Request::OpenTransportKey { import_label, id: key, sealed } => {
            let by = bureau::open_transport_key(token, import_label, id(key), &sealed_master(sealed)?)?;
            Ok(Response::Confirmed { by_check_value: by == Confirmation::ByCheckValue })
        }
        Request::Protect { storage, plaintext, context } => {
            storage::protect(token, id(storage), plaintext, context).map(Response::Bytes)
        }
        Request::Random { count } => storage::random(token, *count).map(Response::Bytes),
        Request::SealDiversified { masters, block, recipient } => {
            let masters: Vec<ObjectId> = masters.iter().map(id).collect();
            let sealed = seal::diversified(token, &masters, block, id(recipient))?;
            Ok(Response::Sealed(sealed.into_iter().map(Sealed::from).collect()))
        }
        Request::SealTransportKey { kek, recipient } => {
            seal::transport_key(token, id(kek), id(recipient)).map(|sealed| Response::Sealed(vec![sealed.into()]))
        }
        Request::SetLogHead { head } => storage::set_log_head(token, head).map(|()| Response::Done),
        Request::Sign { key, e } => {
            instance::sign(token, id(key), e).map(|signature| Response::Bytes(signature.to_raw().to_vec()))
        }
        Request::Status => token.status().map(|status| Response::Status(status.into())),
        Request::TrustRecipient { id: key, label, key: spki } => {
            let public = SealingKey::from_spki_der(spki)
                .map_err(|error| refused("trust_recipient", "PUBLIC_KEY", error.to_string()))?;
            officer::trust_recipient(token, id(key), label, &public).map(|()| Response::Done)
        }
        Request::TrustedObject { id: key, transport_key } => {
            let role = if *transport_key { TrustedRole::TransportKey } else { TrustedRole::Recipient };
            Ok(match seal::look_up(token, id(key), role)? {
                TrustedObject::Absent => Response::Absent,
                TrustedObject::Present { public_key, kcv } => Response::Present {
                    public_key: public_key.map(|key| key.to_spki_der()),
                    kcv: kcv.map(WireKcv::from),
                },
            })
        }
        Request::Unprotect { storage, protected, context } => {
            storage::unprotect(token, id(storage), protected, context).map(Response::Bytes)
        }
    }
}

const fn id(bytes: &Id) -> ObjectId {
    ObjectId::from_bytes(*bytes)
}

fn spec(master: &Master) -> MasterSpec {
    let custody = if master.transferable { Custody::Transferable } else { Custody::Local };
    MasterSpec { id: id(&master.id), label: master.label.clone(), custody }
}

fn sealed_master(sealed: &Sealed) -> HsmResult<SealedMaster> {
    Ok(SealedMaster { ciphertext: sealed.ciphertext.clone(), kcv: sealed.kcv.decode()? })
}

fn public_key(key: impl Into<PublicKey>) -> Response {
    Response::Bytes(key.into().to_spki_der())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_belongs_to_one_role() {
        use WorkerRole as Role;
        let roles = [Role::Bureau, Role::Ceremony, Role::Inspector, Role::Runtime, Role::SecurityOfficer, Role::Setup];
        let label = || "label".to_owned();
        for (request, of) in [
            (Request::LogHead, Role::Runtime),
            (Request::Sign { key: [0; 16], e: [0; 32] }, Role::Runtime),
            (Request::IssueChunk { kek: [0; 16], masters: Vec::new(), blocks: Vec::new() }, Role::Runtime),
            (Request::GenerateMasters { masters: Vec::new() }, Role::Ceremony),
            (Request::ImportMasters { import: [0; 16], masters: Vec::new() }, Role::Ceremony),
            (Request::CreateTransportKey { id: [0; 16], label: label() }, Role::SecurityOfficer),
            (Request::TrustRecipient { id: [0; 16], label: label(), key: Vec::new() }, Role::SecurityOfficer),
            (Request::InstallImportKey { label: label() }, Role::Bureau),
            (Request::InitToken { label: label(), software_only: false }, Role::Setup),
            (Request::Probe { throw_away: false }, Role::Inspector),
        ] {
            for role in roles {
                let answer = allowed(role, &request).map_err(|error| error.code);
                let expected = if role == of { Ok(()) } else { Err("ROLE".to_owned()) };
                assert_eq!(answer, expected, "{role:?} {request:?}");
            }
        }
    }
}
