//! Offline check of a package, before any key in it is unwrapped.
//!
//! Order matters: manifest signature, its place in the key log, the transport key's seal, then each
//! chunk's digest, leaves and root. A type is handed out only by the check it needs: no
//! [`VerifiedChunk`] without a [`VerifiedManifest`]. Each failure names the part.

use thiserror::Error;

use crate::digest::Digest;
use crate::document::{Manifest, SealPurpose, SealedEntry, SealedKeys, TrustAnchor};
use crate::encoding::{self, EncodingError, Signed};
use crate::event::Event;
use crate::id::BureauId;
use crate::log::checkpoint::Checkpoint;
use crate::log::merkle;
use crate::package::{CardKeys, Chunk, LeafContext};
use crate::profile::KeyProfile;
use crate::proof::{Inclusion, InclusionInvalid};
use crate::state::package_root;

/// Which part of a package is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The signed manifest.
    Manifest,
    /// The proof that the release is in the key log.
    Proof,
    /// The sealed transport key.
    TransportKey,
    /// A chunk, by index.
    Chunk(u32),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Manifest => f.write_str("manifest"),
            Self::Proof => f.write_str("proof of release"),
            Self::TransportKey => f.write_str("sealed transport key"),
            Self::Chunk(index) => write!(f, "chunk {index}"),
        }
    }
}

/// Why a part is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PartReason {
    /// Not the document it should be.
    #[error("{0}")]
    Encoding(#[from] EncodingError),
    /// Signature.
    #[error("the signature does not verify with the instance key of the trust anchor")]
    Signature,
    /// Inclusion.
    #[error("{0}")]
    Inclusion(#[from] InclusionInvalid),
    /// A field that does not agree with the rest.
    #[error("{field} does not agree with the rest of the package")]
    Mismatch {
        /// Which.
        field: &'static str,
    },
    /// Not this bureau's.
    #[error("it is for bureau {found}, not for {wanted}")]
    OtherBureau {
        /// Whose it should be.
        wanted: BureauId,
        /// Whose it is.
        found: BureauId,
    },
    /// The file's digest.
    #[error("its SM3 is {found}; the manifest says {expected}")]
    Digest {
        /// In the manifest.
        expected: Digest,
        /// Of the file.
        found: Digest,
    },
    /// The card leaves.
    #[error("the Merkle root over its cards is {found}; the manifest says {expected}")]
    Root {
        /// In the manifest.
        expected: Digest,
        /// Recomputed.
        found: Digest,
    },
    /// A slot is not as the profile says.
    #[error("card {card}: slot {slot} is not what the profile says")]
    Slot {
        /// Card, from 0.
        card: usize,
        /// Slot, from 0.
        slot: usize,
    },
}

/// A package that must not be used, and which part of it shows why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{part}: {reason}")]
pub struct PackageInvalid {
    /// Part.
    pub part: Part,
    /// Reason.
    pub reason: PartReason,
}

/// A manifest whose signature, place in the log and transport key are in order.
#[derive(Clone, Debug)]
pub struct VerifiedManifest {
    manifest: Manifest,
    digest: Digest,
    transport_key: SealedEntry,
    recipient_key: Digest,
    checkpoint: Checkpoint,
    released_ms: u64,
}

/// A chunk whose every card is bound to its manifest.
#[derive(Clone, Debug)]
pub struct VerifiedChunk {
    chunk: Chunk,
}

impl VerifiedManifest {
    /// Checks manifest, release proof and sealed transport key against the anchor; `bureau` is who asks, if known.
    pub fn check(
        anchor: &TrustAnchor,
        bureau: Option<&BureauId>,
        manifest: &[u8],
        proof: &[u8],
        transport_key: &[u8],
    ) -> Result<Self, PackageInvalid> {
        let (manifest, digest) = check_manifest(anchor, bureau, manifest).map_err(at(Part::Manifest))?;
        let (checkpoint, released_ms) = check_proof(anchor, &manifest, digest, proof).map_err(at(Part::Proof))?;
        let (transport_key, recipient_key) =
            check_transport_key(anchor, &manifest, transport_key).map_err(at(Part::TransportKey))?;
        Ok(Self { manifest, digest, transport_key, recipient_key, checkpoint, released_ms })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SM3 of the signed manifest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The transport key, sealed to the bureau's HSM key.
    pub fn transport_key(&self) -> &SealedEntry {
        &self.transport_key
    }

    /// Key id of the HSM key it is sealed to.
    pub fn recipient_key(&self) -> Digest {
        self.recipient_key
    }

    /// The checkpoint that covers the release.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// When it was released (ms since 1970).
    pub fn released_ms(&self) -> u64 {
        self.released_ms
    }

    /// Checks the bytes of chunk `index`: digest, identity, every card's leaf, the root.
    pub fn check_chunk(&self, index: u32, bytes: &[u8]) -> Result<VerifiedChunk, PackageInvalid> {
        self.chunk(index, bytes).map_err(at(Part::Chunk(index)))
    }

    fn chunk(&self, index: u32, bytes: &[u8]) -> Result<VerifiedChunk, PartReason> {
        let mismatch = |field| PartReason::Mismatch { field };
        let listed = self.manifest.chunks.get(index as usize).ok_or(mismatch("chunk index"))?;
        let found = Digest::of(bytes);
        if found != listed.digest {
            return Err(PartReason::Digest { expected: listed.digest, found });
        }
        let chunk: Chunk = encoding::decode(bytes)?;
        require(chunk.batch == self.manifest.batch, mismatch("batch"))?;
        require(chunk.index == index, mismatch("chunk index"))?;
        require(chunk.count as usize == self.manifest.chunks.len(), mismatch("number of chunks"))?;
        require(chunk.cards.len() == listed.cards as usize, mismatch("number of cards"))?;
        let wrapped_bytes = self.manifest.wrap.wrapped_bytes();
        let sized = chunk.cards.iter().flat_map(|card| &card.slots);
        require(
            sized.into_iter().all(|slot| slot.wrapped.as_bytes().len() == wrapped_bytes),
            mismatch("length of a wrapped key"),
        )?;
        let root = merkle::root(&LeafContext::of(&self.manifest).leaves(&chunk.cards)?);
        if root != listed.root {
            return Err(PartReason::Root { expected: listed.root, found: root });
        }
        Ok(VerifiedChunk { chunk })
    }
}

impl VerifiedChunk {
    /// The chunk.
    pub fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// Its cards, in list order.
    pub fn cards(&self) -> &[CardKeys] {
        &self.chunk.cards
    }

    /// Every card has exactly the slots of `profile`, in its order, with a check value where it says so.
    pub fn check_slots(&self, profile: &KeyProfile) -> Result<(), PackageInvalid> {
        let wanted: Vec<_> = profile.slots().collect();
        for (card, keys) in self.chunk.cards.iter().enumerate() {
            let bad = keys.slots.len().max(wanted.len());
            let slot = (0..bad).find(|&i| match (keys.slots.get(i), wanted.get(i)) {
                (Some(found), Some(slot)) => {
                    found.name != slot.name()
                        || found.group != slot.group
                        || found.kcv.map(|kcv| kcv.method()) != slot.key.package_kcv()
                }
                _ => true,
            });
            if let Some(slot) = slot {
                let reason = PartReason::Slot { card, slot };
                return Err(PackageInvalid { part: Part::Chunk(self.chunk.index), reason });
            }
        }
        Ok(())
    }
}

fn check_manifest(
    anchor: &TrustAnchor,
    bureau: Option<&BureauId>,
    bytes: &[u8],
) -> Result<(Manifest, Digest), PartReason> {
    let signed = Signed::<Manifest>::parse(bytes)?;
    let manifest = signed.verify(&anchor.instance_key).map_err(|_| PartReason::Signature)?;
    let mismatch = |field| PartReason::Mismatch { field };
    require(manifest.origin == anchor.origin, mismatch("origin"))?;
    if let Some(wanted) = bureau.filter(|wanted| **wanted != manifest.bureau) {
        return Err(PartReason::OtherBureau { wanted: wanted.clone(), found: manifest.bureau.clone() });
    }
    let ordered = manifest.chunks.iter().enumerate().all(|(i, chunk)| chunk.index as usize == i);
    require(ordered, mismatch("order of chunks"))?;
    let roots: Vec<Digest> = manifest.chunks.iter().map(|chunk| chunk.root).collect();
    require(package_root(&roots) == manifest.root, mismatch("root"))?;
    let cards: u64 = manifest.chunks.iter().map(|chunk| u64::from(chunk.cards)).sum();
    require(cards == u64::from(manifest.cards), mismatch("number of cards"))?;
    Ok((manifest.clone(), signed.digest()))
}

fn check_proof(
    anchor: &TrustAnchor,
    manifest: &Manifest,
    digest: Digest,
    bytes: &[u8],
) -> Result<(Checkpoint, u64), PartReason> {
    let inclusion: Inclusion = encoding::decode(bytes)?;
    let (entry, checkpoint) = inclusion.verify(&anchor.origin, &anchor.log_key)?;
    let mismatch = |field| PartReason::Mismatch { field };
    let Event::BatchReleased(released) = &entry.event else {
        return Err(mismatch("event of the log entry"));
    };
    require(released.batch == manifest.batch, mismatch("batch"))?;
    require(released.manifest == digest, mismatch("manifest digest"))?;
    require(released.root == manifest.root && released.cards == manifest.cards, mismatch("root or number of cards"))?;
    Ok((checkpoint, entry.time_ms))
}

fn check_transport_key(
    anchor: &TrustAnchor,
    manifest: &Manifest,
    bytes: &[u8],
) -> Result<(SealedEntry, Digest), PartReason> {
    let signed = Signed::<SealedKeys>::parse(bytes)?;
    let sealed = signed.verify(&anchor.instance_key).map_err(|_| PartReason::Signature)?;
    let mismatch = |field| PartReason::Mismatch { field };
    require(sealed.origin == anchor.origin, mismatch("origin"))?;
    require(sealed.purpose == SealPurpose::TransportKey, mismatch("purpose"))?;
    require(sealed.destination == manifest.bureau.as_str(), mismatch("bureau"))?;
    let [key] = sealed.keys.as_slice() else {
        return Err(mismatch("number of keys"));
    };
    require(key.id == manifest.kek && key.kcv == manifest.kek_kcv, mismatch("transport key id or check value"))?;
    Ok((key.clone(), sealed.recipient_key))
}

fn at(part: Part) -> impl Fn(PartReason) -> PackageInvalid {
    move |reason| PackageInvalid { part, reason }
}

fn require(holds: bool, reason: PartReason) -> Result<(), PartReason> {
    if holds { Ok(()) } else { Err(reason) }
}
