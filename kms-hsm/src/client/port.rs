//! [`Hsm`] for [`HsmClient`]: domain values to wire values and back.

use kms_core::id::ObjectId;
use kms_core::keys::Signature;
use kms_core::ports::{
    Abilities, ChunkOrder, ExpectedKey, Hsm, HsmResult, InstanceKeyIds, InstancePublicKeys, MasterSpec, ProbeVerdict,
    SealedComponent, SealedMaster, TokenSnapshot, TokenStatus, TrustedObject, TrustedRole, Wrapped, WrappedKey,
};
use kms_core::secret::{Kcv, KcvMethod};
use kms_core::suite::KeyWrap;

use super::{HsmClient, array, byte_string, bytes, done, items, kcvs, master, public_key, scaled, sealed};
use crate::fault::refused;
use crate::wire::{CHUNK_KEYS_MAX, KCV_BYTES, Request, Response, Sealed, WireKcv, garbled};
use crate::{inventory, probe};

impl Hsm for HsmClient {
    fn abilities(&self) -> Abilities {
        self.map().abilities()
    }

    fn status(&self) -> HsmResult<TokenStatus> {
        match self.runtime.call(&Request::Status)? {
            Response::Status(status) => Ok(status.into()),
            _ => Err(garbled("not a status")),
        }
    }

    fn random(&self, count: usize) -> HsmResult<Vec<u8>> {
        let wanted = u32::try_from(count).unwrap_or(u32::MAX);
        let random = byte_string(self.runtime.call(&Request::Random { count: wanted })?)?;
        if random.len() == count { Ok(random) } else { Err(garbled("not the number of random bytes asked for")) }
    }

    fn create_instance_keys(&self, ids: &InstanceKeyIds) -> HsmResult<InstancePublicKeys> {
        let request = Request::CreateInstanceKeys {
            log: bytes(ids.log),
            instance: bytes(ids.instance),
            import: bytes(ids.import),
            index: bytes(ids.index),
            storage: bytes(ids.storage),
            component_import: ids.component_import.map(bytes),
        };
        let count = 3 + usize::from(ids.component_import.is_some());
        let keys = items(self.ceremony.call(&request)?, count)?;
        let [log, instance, import, component_import @ ..] = keys.as_slice() else {
            return Err(garbled("not the public keys asked for"));
        };
        Ok(InstancePublicKeys {
            log: public_key(log)?,
            instance: public_key(instance)?,
            import: public_key(import)?,
            component_import: component_import.first().map(|key| public_key(key)).transpose()?,
        })
    }

    fn sign(&self, key: ObjectId, e: &[u8; 32]) -> HsmResult<Signature> {
        let raw = byte_string(self.runtime.call(&Request::Sign { key: bytes(key), e: *e })?)?;
        Signature::from_raw(&array(&raw)?).map_err(|error| garbled(&error.to_string()))
    }

    fn generate_masters(&self, masters: &[MasterSpec]) -> HsmResult<Vec<Kcv>> {
        let request = Request::GenerateMasters { masters: masters.iter().map(master).collect() };
        kcvs(self.ceremony.call(&request)?, masters.len())
    }

    fn masters_from_components(
        &self,
        component_import: ObjectId,
        components: &[SealedComponent],
        masters: &[(MasterSpec, [u8; 16])],
    ) -> HsmResult<(Kcv, Vec<Kcv>)> {
        let component = |component: &SealedComponent| Sealed {
            ciphertext: component.ciphertext.clone(),
            kcv: component.kcv.into(),
        };
        let request = Request::MastersFromComponents {
            component_import: bytes(component_import),
            components: components.iter().map(component).collect(),
            masters: masters.iter().map(|(spec, block)| (master(spec), *block)).collect(),
        };
        let mut kcvs = kcvs(self.ceremony.call(&request)?, 1 + masters.len())?;
        let seed = kcvs.remove(0);
        Ok((seed, kcvs))
    }

    fn seal_diversified(
        &self,
        masters: &[ObjectId],
        block: &[u8; 16],
        recipient: ObjectId,
    ) -> HsmResult<Vec<SealedMaster>> {
        let request = Request::SealDiversified {
            masters: masters.iter().copied().map(bytes).collect(),
            block: *block,
            recipient: bytes(recipient),
        };
        sealed(self.runtime.call(&request)?, masters.len())
    }

    fn import_masters(&self, import: ObjectId, masters: &[(MasterSpec, SealedMaster)]) -> HsmResult<Vec<Kcv>> {
        let request = Request::ImportMasters {
            import: bytes(import),
            masters: masters.iter().map(|(spec, sealed)| (master(spec), sealed.clone().into())).collect(),
        };
        kcvs(self.ceremony.call(&request)?, masters.len())
    }

    fn trusted_object(&self, id: ObjectId, role: TrustedRole) -> HsmResult<TrustedObject> {
        let transport_key = role == TrustedRole::TransportKey;
        match self.runtime.call(&Request::TrustedObject { id: bytes(id), transport_key })? {
            Response::Absent => Ok(TrustedObject::Absent),
            Response::Present { public_key: point, kcv } => Ok(TrustedObject::Present {
                public_key: point.as_deref().map(public_key).transpose()?,
                kcv: kcv.as_ref().map(WireKcv::decode).transpose()?,
            }),
            _ => Err(garbled("not a trusted object")),
        }
    }

    fn seal_transport_key(&self, kek: ObjectId, recipient: ObjectId) -> HsmResult<SealedMaster> {
        let request = Request::SealTransportKey { kek: bytes(kek), recipient: bytes(recipient) };
        sealed(self.runtime.call(&request)?, 1)?.pop().ok_or_else(|| garbled("no sealed key"))
    }

    fn issue_chunk(&self, order: &ChunkOrder) -> HsmResult<Vec<Vec<WrappedKey>>> {
        let keys = order.masters.len().saturating_mul(order.blocks.len());
        if keys > CHUNK_KEYS_MAX {
            let detail = format!("{keys} keys in one chunk; at most {CHUNK_KEYS_MAX} are issued");
            return Err(refused("issue_chunk", "CHUNK_TOO_LARGE", detail));
        }
        let request = Request::IssueChunk {
            kek: bytes(order.kek),
            masters: order.masters.iter().map(|(id, with_kcv)| (bytes(*id), *with_kcv)).collect(),
            blocks: order.blocks.clone(),
        };
        match self.runtime.call_within(&request, None, scaled(self.shared.deadline(), keys))? {
            Response::Chunk { wrapped, kcvs } => cut(order, self.abilities().wrap, &wrapped, &kcvs),
            _ => Err(garbled("not a chunk")),
        }
    }

    fn card_index(&self, index: ObjectId, values: &[Vec<u8>]) -> HsmResult<Vec<[u8; 32]>> {
        let request = Request::CardIndex { index: bytes(index), values: values.to_vec() };
        let deadline = scaled(self.shared.deadline(), values.len());
        let answers = items(self.runtime.call_within(&request, None, deadline)?, values.len())?;
        answers.iter().map(|answer| array(answer)).collect()
    }

    fn protect(&self, storage: ObjectId, plaintext: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
        let (plaintext, context) = (plaintext.to_vec(), context.to_vec());
        byte_string(self.runtime.call(&Request::Protect { storage: bytes(storage), plaintext, context })?)
    }

    fn unprotect(&self, storage: ObjectId, protected: &[u8], context: &[u8]) -> HsmResult<Vec<u8>> {
        let (protected, context) = (protected.to_vec(), context.to_vec());
        byte_string(self.runtime.call(&Request::Unprotect { storage: bytes(storage), protected, context })?)
    }

    fn log_head(&self) -> HsmResult<Option<Vec<u8>>> {
        match self.runtime.call(&Request::LogHead)? {
            Response::Absent => Ok(None),
            Response::Bytes(head) => Ok(Some(head)),
            _ => Err(garbled("not a log head")),
        }
    }

    fn set_log_head(&self, head: &[u8]) -> HsmResult<()> {
        done(self.runtime.call(&Request::SetLogHead { head: head.to_vec() })?)
    }

    fn audit(&self, expected: &[ExpectedKey]) -> HsmResult<TokenSnapshot> {
        self.shared.look(|inspector| inventory::audit(inspector, expected))
    }

    fn probe(&self) -> HsmResult<ProbeVerdict> {
        self.shared.look(|inspector| probe::verdict(inspector, self.shared.map_digest()))
    }
}

/// Cuts a chunk's answer into cards and keys; every byte must be accounted for.
fn cut(order: &ChunkOrder, wrap: KeyWrap, wrapped: &[u8], kcvs: &[u8]) -> HsmResult<Vec<Vec<WrappedKey>>> {
    let mut wrapped = wrapped.chunks_exact(wrap.wrapped_bytes());
    let mut kcvs = kcvs.chunks_exact(KCV_BYTES);
    let mut key = |with_kcv: bool| -> HsmResult<WrappedKey> {
        let blob = wrapped.next().ok_or_else(|| garbled("too few wrapped keys"))?;
        let kcv = match with_kcv {
            true => {
                let value = kcvs.next().ok_or_else(|| garbled("too few check values"))?;
                Some(Kcv::new(KcvMethod::Ecb3, value).map_err(|error| garbled(&error.to_string()))?)
            }
            false => None,
        };
        let wrapped = Wrapped::new(wrap, blob).ok_or_else(|| garbled("a wrapped key of another length"))?;
        Ok(WrappedKey { wrapped, kcv })
    };
    let cards: HsmResult<Vec<Vec<WrappedKey>>> =
        order.blocks.iter().map(|_| order.masters.iter().map(|(_, with_kcv)| key(*with_kcv)).collect()).collect();
    let cards = cards?;
    let left = wrapped.next().is_some() || kcvs.next().is_some();
    let rest = !wrapped.remainder().is_empty() || !kcvs.remainder().is_empty();
    if left || rest { Err(garbled("more keys than were asked for")) } else { Ok(cards) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_cut_exactly_or_refused() {
        let id = |n| ObjectId::from_bytes([n; 16]);
        let order = ChunkOrder { kek: id(1), masters: vec![(id(2), false), (id(3), true)], blocks: vec![[0; 16]; 2] };
        let (wrapped, kcvs): (Vec<u8>, Vec<u8>) = ((0..96).collect(), (0..6).collect());
        let cards = cut(&order, KeyWrap::Rfc3394, &wrapped, &kcvs).unwrap();
        assert_eq!(cards.len(), 2);
        assert_eq!(cards[1][1].wrapped.as_bytes()[0], 72);
        assert_eq!(cards[1][1].kcv.unwrap().value(), [3, 4, 5]);
        assert_eq!(cards[0][0].kcv, None);
        for (wrong_wrapped, wrong_kcvs) in [(95, 6), (72, 6), (96, 3), (96, 5)] {
            assert!(cut(&order, KeyWrap::Rfc3394, &wrapped[..wrong_wrapped], &kcvs[..wrong_kcvs]).is_err());
        }
        let more: Vec<u8> = (0..120).collect();
        assert!(cut(&order, KeyWrap::Rfc3394, &more, &kcvs).is_err());
        // The same bytes as one-block wraps: 64 of them.
        assert_eq!(cut(&order, KeyWrap::Ecb, &wrapped[..64], &kcvs).unwrap()[1][1].wrapped.as_bytes().len(), 16);
        assert!(cut(&order, KeyWrap::Ecb, &wrapped, &kcvs).is_err());
    }
}
