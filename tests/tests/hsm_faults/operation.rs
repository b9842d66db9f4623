//! What is asked of the tokens, and what must come of it.

use kms_core::ports::{
    BureauHsm as _, BureauOfficerToken as _, ChunkOrder, Hsm as _, HsmResult, RewrapItem, SealedMaster,
    SecurityOfficerToken as _, TrustedObject, TrustedRole, Wrapped,
};
use kms_core::suite::KeyWrap;
use kms_hsm::{BureauClient, HsmClient, SoClient};

use crate::stage::{BUREAU, HEAD, KEK, Known, SECOND_KEK, SOFTWARE, Stage, id, ids, kcv, software, spec};
use crate::truth;

/// Two cards, three masters.
const BLOCKS: [[u8; 16]; 2] = [[0xb1; 16], [0xb2; 16]];
const MASTERS: [(u8, bool); 3] = [(1, true), (2, false), (3, true)];
const PROVINCE: [u8; 16] = [0x41; 16];
const NEXT_HEAD: &[u8] = b"the next log head";
pub(crate) const PLAINTEXT: &[u8] = b"what must be readable for years";

/// One request to one of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    CardIndex,
    CreateInstanceKeys,
    CreatePersonalizationKey,
    CreateTransportKey,
    Generate,
    Import,
    IssueChunk,
    LogHead,
    MastersFromComponents,
    OpenTransportKey,
    Protect,
    Random,
    Rewrap,
    SealDiversified,
    SealTransportKey,
    SetLogHead,
    Sign,
    Status,
    TrustRecipient,
    TrustedObject,
    Unprotect,
}

/// A result that was compared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// Not what it should be, and whoever it is for cannot take it for right: an authenticated ciphertext.
    Caught,
    Wrong(String),
    /// Only a later look can tell, with what the answer was.
    Later(Vec<u8>),
}

/// The three clients; each starts its worker when it is asked.
pub(crate) struct Clients {
    hsm: HsmClient,
    officer: SoClient,
    bureau_officer: SoClient,
    bureau: BureauClient,
}

impl Clients {
    pub(crate) fn of(stage: &Stage) -> Self {
        Self {
            hsm: stage.hsm(),
            officer: stage.officer("instance"),
            bureau_officer: stage.officer("bureau"),
            bureau: stage.bureau(),
        }
    }
}

impl Operation {
    pub(crate) const ALL: [Self; 21] = [
        Self::CardIndex,
        Self::CreateInstanceKeys,
        Self::CreatePersonalizationKey,
        Self::CreateTransportKey,
        Self::Generate,
        Self::Import,
        Self::IssueChunk,
        Self::LogHead,
        Self::MastersFromComponents,
        Self::OpenTransportKey,
        Self::Protect,
        Self::Random,
        Self::Rewrap,
        Self::SealDiversified,
        Self::SealTransportKey,
        Self::SetLogHead,
        Self::Sign,
        Self::Status,
        Self::TrustRecipient,
        Self::TrustedObject,
        Self::Unprotect,
    ];

    /// Token objects that it makes.
    pub(crate) const fn makes(self) -> usize {
        match self {
            Self::CreateInstanceKeys => 10,
            Self::Generate | Self::Import | Self::MastersFromComponents => 2,
            Self::CreatePersonalizationKey
            | Self::CreateTransportKey
            | Self::OpenTransportKey
            | Self::TrustRecipient => 1,
            _ => 0,
        }
    }

    /// Does it change the token?
    pub(crate) const fn changes(self) -> bool {
        self.makes() > 0 || matches!(self, Self::SetLogHead)
    }

    /// Is it sealed to somebody else, so that only they can tell a damaged answer?
    pub(crate) const fn seals(self) -> bool {
        matches!(self, Self::SealDiversified | Self::SealTransportKey)
    }

    /// Asks, and compares the answer with the truth.
    pub(crate) fn run(self, clients: &Clients, known: &Known) -> HsmResult<Verdict> {
        let (hsm, officer, bureau) = (&clients.hsm, &clients.officer, &clients.bureau);
        Ok(match self {
            Self::CardIndex => same(&hsm.card_index(ids().index, &values())?, &known.index),
            Self::CreateInstanceKeys => {
                let other = |n: u8| id(0xd0 + n);
                let wanted = kms_core::ports::InstanceKeyIds {
                    log: other(1),
                    instance: other(2),
                    import: other(3),
                    component_import: Some(other(4)),
                    index: other(5),
                    storage: other(6),
                };
                let keys = hsm.create_instance_keys(&wanted)?;
                let all = [keys.log.id(), keys.instance.id(), keys.import.id(), keys.component_import.unwrap().id()];
                same(&std::collections::BTreeSet::from(all).len(), &4)
            }
            Self::CreatePersonalizationKey => {
                let made = clients.bureau_officer.create_personalization_key("another")?;
                Verdict::Later(made.value().to_vec())
            }
            Self::CreateTransportKey => {
                Verdict::Later(officer.create_transport_key(id(0x48), "another")?.value().to_vec())
            }
            Self::Generate => {
                let kcvs = hsm.generate_masters(&[spec(0x21), spec(0x22)])?;
                Verdict::Later(kcvs.iter().flat_map(|kcv| kcv.value().to_vec()).collect())
            }
            Self::Import => {
                let masters: Vec<_> = [0x61, 0x62].map(spec).into_iter().zip(known.sealed_masters.clone()).collect();
                same(&hsm.import_masters(ids().import, &masters)?, &vec![kcv(&[0x61; 16]), kcv(&[0x62; 16])])
            }
            Self::IssueChunk => {
                let masters = MASTERS.map(|(number, with_kcv)| (id(number), with_kcv)).to_vec();
                let cards = hsm.issue_chunk(&ChunkOrder { kek: KEK, masters, blocks: BLOCKS.to_vec() })?;
                let found: Vec<_> = cards.iter().flatten().map(|key| (key.wrapped, key.kcv)).collect();
                same(&found, &issued(known))
            }
            Self::LogHead => same(&hsm.log_head()?.as_deref(), &Some(HEAD)),
            Self::MastersFromComponents => {
                let masters = [0x31, 0x32].map(|number| (spec(number), [number; 16]));
                let made = hsm.masters_from_components(ids().component_import.unwrap(), &known.components, &masters)?;
                let masters = [0x31, 0x32].map(|number| kcv(&truth::master(number)));
                same(&made, &(kcv(&truth::seed()), masters.to_vec()))
            }
            Self::OpenTransportKey => {
                bureau.open_transport_key("import", id(0x49), &known.sealed_second_kek)?;
                Verdict::Later(Vec::new())
            }
            Self::Protect => Verdict::Later(hsm.protect(ids().storage, PLAINTEXT, b"context")?),
            Self::Random => {
                let (first, second) = (hsm.random(32)?, hsm.random(32)?);
                same(&(first == second, first.iter().all(|byte| *byte == 0)), &(false, false))
            }
            Self::Rewrap => same(&bureau.rewrap(KEK, "personalization", &items(known))?.keys, &known.rewrapped),
            Self::SealDiversified => {
                let sealed = hsm.seal_diversified(&[id(1), id(2)], &PROVINCE, SOFTWARE)?;
                let child = |number| truth::sm4(&truth::master(number), &PROVINCE);
                worst(sealed.iter().zip([1, 2]).map(|(sealed, number)| opened(sealed, &child(number))))
            }
            Self::SealTransportKey => opened(&hsm.seal_transport_key(KEK, SOFTWARE)?, &known.kek),
            Self::SetLogHead => {
                hsm.set_log_head(NEXT_HEAD)?;
                Verdict::Later(Vec::new())
            }
            Self::Sign => {
                let e = known.keys.log.digest_for_signing(b"checkpoint");
                let signature = hsm.sign(ids().log, &e)?;
                same(&known.keys.log.verify(b"checkpoint", &signature).is_ok(), &true)
            }
            Self::Status => same(&hsm.status()?.label.as_str(), &"instance"),
            Self::TrustRecipient => {
                officer.trust_recipient(id(0x58), "another", &(*software().public()).into())?;
                Verdict::Later(Vec::new())
            }
            Self::TrustedObject => {
                let found = hsm.trusted_object(BUREAU, TrustedRole::Recipient)?;
                let recipient = TrustedObject::Present { public_key: Some(known.bureau_key.clone()), kcv: None };
                let kek = hsm.trusted_object(KEK, TrustedRole::TransportKey)?;
                let expected = TrustedObject::Present { public_key: None, kcv: Some(known.kek_kcv) };
                same(&(found, kek), &(recipient, expected))
            }
            Self::Unprotect => {
                same(&hsm.unprotect(ids().storage, &known.protected, b"context")?.as_slice(), &PLAINTEXT)
            }
        })
    }

    /// Compares what only the token can tell, with workers that nothing happens to.
    pub(crate) fn later(self, answer: &[u8], clients: &Clients, known: &Known) -> HsmResult<Verdict> {
        let hsm = &clients.hsm;
        Ok(match self {
            Self::CreatePersonalizationKey => {
                same(&clients.bureau_officer.create_personalization_key("another")?.value(), &answer)
            }
            Self::CreateTransportKey => match hsm.trusted_object(id(0x48), TrustedRole::TransportKey)? {
                TrustedObject::Present { kcv: Some(kcv), .. } => same(&kcv.value(), &answer),
                other => Verdict::Wrong(format!("{other:?}")),
            },
            Self::Generate => {
                let kcvs = hsm.generate_masters(&[spec(0x21), spec(0x22)])?;
                let values: Vec<u8> = kcvs.iter().flat_map(|kcv| kcv.value().to_vec()).collect();
                same(&(values.as_slice(), kcvs[0] == kcvs[1]), &(answer, false))
            }
            Self::OpenTransportKey => {
                let again = |item: &RewrapItem| {
                    let key = truth::unwrapped(&known.kek, item.wrapped.as_bytes()).unwrap();
                    RewrapItem { wrapped: blob(&truth::wrapped(&SECOND_KEK, &key)), kcv: item.kcv }
                };
                let items: Vec<_> = items(known).iter().map(again).collect();
                same(&clients.bureau.rewrap(id(0x49), "personalization", &items)?.keys, &known.rewrapped)
            }
            Self::Protect => same(&hsm.unprotect(ids().storage, answer, b"context")?.as_slice(), &PLAINTEXT),
            Self::SetLogHead => same(&hsm.log_head()?.as_deref(), &Some(NEXT_HEAD)),
            Self::TrustRecipient => {
                let expected = TrustedObject::Present { public_key: Some((*software().public()).into()), kcv: None };
                same(&hsm.trusted_object(id(0x58), TrustedRole::Recipient)?, &expected)
            }
            _ => Verdict::Right,
        })
    }

    /// Something small of the same worker that looks for an object; what it answers does not matter.
    pub(crate) fn follow_up(self, clients: &Clients) {
        match self {
            Self::CreateInstanceKeys | Self::Generate | Self::Import | Self::MastersFromComponents | Self::Status => {}
            Self::CreatePersonalizationKey => _ = clients.bureau_officer.create_personalization_key("personalization"),
            Self::CreateTransportKey | Self::TrustRecipient => _ = clients.officer.create_transport_key(KEK, "kek"),
            Self::OpenTransportKey | Self::Rewrap => _ = clients.bureau.rewrap(KEK, "personalization", &[]),
            _ => _ = clients.hsm.trusted_object(id(0x7f), TrustedRole::Recipient),
        }
    }
}

/// Values of the card index.
pub(crate) fn values() -> Vec<Vec<u8>> {
    vec![b"first card".to_vec(), b"second card".to_vec()]
}

/// The card keys of the chunk.
fn issued(known: &Known) -> Vec<(Wrapped, Option<kms_core::secret::Kcv>)> {
    let key = |block: &[u8; 16], (number, with_kcv): (u8, bool)| {
        let key = truth::sm4(&truth::master(number), block);
        (blob(&truth::wrapped(&known.kek, &key)), with_kcv.then(|| kcv(&key)))
    };
    BLOCKS.iter().flat_map(|block| MASTERS.map(|master| key(block, master))).collect()
}

/// The same keys on their way through a bureau.
pub(crate) fn items(known: &Known) -> Vec<RewrapItem> {
    issued(known).into_iter().map(|(wrapped, kcv)| RewrapItem { wrapped, kcv }).collect()
}

/// As the ports carry it.
fn blob(bytes: &[u8; 24]) -> Wrapped {
    Wrapped::new(KeyWrap::Rfc3394, bytes).unwrap()
}

/// What a recipient finds in a sealed key: opening authenticates, and the check value must fit.
fn opened(sealed: &SealedMaster, expected: &[u8; 16]) -> Verdict {
    let key = software().decrypt(&sealed.ciphertext).ok();
    let key = key.and_then(|key| <[u8; 16]>::try_from(key.as_slice()).ok());
    match key.filter(|key| sealed.kcv == kcv(key)) {
        None => Verdict::Caught,
        Some(key) => same(&key, expected),
    }
}

fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.fold(Verdict::Right, |worst, next| match (worst, next) {
        (Verdict::Wrong(why), _) | (_, Verdict::Wrong(why)) => Verdict::Wrong(why),
        (Verdict::Caught, _) | (_, Verdict::Caught) => Verdict::Caught,
        (worst, _) => worst,
    })
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Verdict {
    if found == expected { Verdict::Right } else { Verdict::Wrong(format!("{found:02x?} instead of {expected:02x?}")) }
}
