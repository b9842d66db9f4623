//! A small package: seven cards in two chunks, keys from three root components.
//!
//! Made with the product's documents and the cipher crates, without HSM and server; the decoder that
//! reads it shares nothing with either.

use std::path::{Path, PathBuf};

use aes_gcm::AesGcm;
use aes_gcm::aead::{Aead, KeyInit, Payload, consts::U12};
use aes_kw::{AesKw, InnerInit};
use getrandom::SysRng;
use kms_core::digest::Digest;
use kms_core::diversify::{CardFactor, ProvinceCode, block16, master_block};
use kms_core::document::{ChunkEntry, Manifest, Receipt, SealPurpose, SealedEntry, SealedKeys};
use kms_core::encoding::{self, Document};
use kms_core::event::{BatchReleased, Event, LogEntry};
use kms_core::id::{Actor, BatchId, PlanId};
use kms_core::log::checkpoint::Checkpoint;
use kms_core::log::merkle;
use kms_core::package::{CardKeys, CardRecord, Chunk, LeafContext, Records, RecordsContext, SlotKey, commitment};
use kms_core::proof::Inclusion;
use kms_core::secret::{Kcv, KcvMethod};
use kms_core::sm2::{PublicKey, SecretKey};
use kms_core::state::package_root;
use kms_core::suite::KeyWrap;
use sm4::Sm4;
use sm4::cipher::BlockCipherEncrypt;

use crate::sample::{anchor, bureau, digest, object, octets, origin, profile, signed};

const CARDS: u32 = 7;
const CHUNK_CARDS: u32 = 4;
const SLOTS: [(&str, u8, bool); 5] = [
    ("IRK_DDF1", 1, true),
    ("IRK_DDF1", 2, true),
    ("STK_DF01", 1, false),
    ("RK1_DF01", 1, true),
    ("RK1_DF01", 2, true),
];
/// The same slots in the form of a profile file, as far as the decoder looks.
const PROFILE: &str = r#"
id = "resident-health-card"
keys = [
  { name = "IRK_DDF1", groups = 2, package_kcv = "ecb3" },
  { name = "STK_DF01", groups = 1, package_kcv = "none" },
  { name = "RK1_DF01", groups = 2, package_kcv = "ecb3" },
]
"#;
const COMPONENTS: [[u8; 16]; 3] = [[0x11; 16], [0x2E; 16], [0xC5; 16]];

/// What is wrong with the package, although every signature and root is right.
#[derive(PartialEq)]
pub(crate) enum Fault {
    None,
    RecordOfAnotherCard,
    WrappedUnderAnotherKey,
    WrongCheckValue,
    WrongKey,
}

/// Where everything is.
pub(crate) struct Made {
    pub(crate) package: String,
    pub(crate) anchor: String,
    pub(crate) bureau_key: String,
    signing_key: String,
    components: String,
    receipt: String,
    flips: String,
}

impl Made {
    /// Arguments of the decoder; `flips` single bits are changed.
    pub(crate) fn arguments(&self, flips: u32) -> Vec<&str> {
        let mut all = vec!["package", &self.package, "--anchor", &self.anchor];
        for (name, value) in [
            ("--bureau-key", &self.bureau_key),
            ("--encryption-key", &self.bureau_key),
            ("--root-components", &self.components),
            ("--receipt", &self.receipt),
            ("--signing-key", &self.signing_key),
        ] {
            all.extend([name, value.as_str()]);
        }
        if flips > 0 {
            all.extend(["--flip", &self.flips]);
        }
        all
    }
}

fn encrypt(key: &[u8; 16], block: &[u8; 16]) -> [u8; 16] {
    let mut block = (*block).into();
    Sm4::new(&(*key).into()).encrypt_block(&mut block);
    block.into()
}

fn kcv(key: &[u8; 16]) -> Kcv {
    Kcv::truncated(KcvMethod::Ecb3, &encrypt(key, &[0; 16])).unwrap()
}

fn card_key(name: &str, group: u8, factor: &[u8; 8]) -> [u8; 16] {
    let mut seed = [0; 16];
    COMPONENTS.iter().for_each(|one| seed.iter_mut().zip(one).for_each(|(byte, other)| *byte ^= other));
    let master = encrypt(&seed, master_block(profile().as_str(), name, group).unwrap().as_bytes());
    let province = ProvinceCode::parse("410000").unwrap().factor();
    let provincial = encrypt(&master, block16(province).as_bytes());
    encrypt(&provincial, block16(CardFactor::new(*factor).unwrap().factor()).as_bytes())
}

fn factor(card: u32) -> [u8; 8] {
    (0x8000_0000_0000_0000 + u64::from(card) * 0x0001_0203_0405).to_be_bytes()
}

fn record(card: u32) -> CardRecord {
    CardRecord {
        number: format!("9999991990010100{card}X"),
        factor: octets(&factor(card)),
        salt: octets(&[u8::try_from(card).unwrap(); 32]),
        replacement: (card == 3).then(|| "chip failure".to_owned()),
    }
}

fn card(number: u32, kek: &[u8; 16], fault: &Fault) -> CardKeys {
    let record = record(number);
    let slots = SLOTS.iter().map(|(name, group, with_kcv)| {
        let mut key = card_key(name, *group, &factor(number));
        let last = number == CARDS - 1 && *name == "STK_DF01";
        if last && *fault == Fault::WrongKey {
            key[0] ^= 1;
        }
        let kek = if last && *fault == Fault::WrappedUnderAnotherKey { [9; 16] } else { *kek };
        let mut wrapped = [0; 24];
        AesKw::inner_init(Sm4::new(&kek.into())).wrap_key(&key, &mut wrapped).unwrap();
        let shown = if *fault == Fault::WrongCheckValue { kcv(&kek) } else { kcv(&key) };
        let kcv = with_kcv.then_some(shown);
        SlotKey { name: (*name).to_owned(), group: *group, version: 1, wrapped: octets(&wrapped), kcv }
    });
    let salt = <[u8; 32]>::try_from(record.salt.as_bytes()).unwrap();
    CardKeys { commitment: commitment(&salt, &record.number, &factor(number)), slots: slots.collect() }
}

fn chunk(index: u32, count: u32, kek: &[u8; 16], encryption: &PublicKey, batch: BatchId, fault: &Fault) -> Chunk {
    let numbers: Vec<u32> = (index * CHUNK_CARDS..CARDS.min((index + 1) * CHUNK_CARDS)).collect();
    let cards = numbers.iter().map(|number| card(*number, kek, fault)).collect();
    let mut records: Vec<CardRecord> = numbers.iter().map(|number| record(*number)).collect();
    if *fault == Fault::RecordOfAnotherCard {
        records.swap(0, 1);
    }
    let context = RecordsContext { label: RecordsContext::LABEL.to_owned(), batch, bureau: bureau(), index, count };
    let plain = encoding::encode(&Records { label: Records::LABEL.to_owned(), cards: records }).unwrap();
    let (key, nonce) = ([0x77; 16], [u8::try_from(index).unwrap() + 1; 12]);
    let cipher = AesGcm::<Sm4, U12>::new(&key.into());
    let payload = Payload { msg: &plain, aad: &encoding::encode(&context).unwrap() };
    let sealed = cipher.encrypt(&nonce.into(), payload).unwrap();
    Chunk {
        label: Chunk::LABEL.to_owned(),
        batch,
        index,
        count,
        cards,
        data_key: octets(&encryption.encrypt(&key, &mut SysRng).unwrap()),
        nonce: octets(&nonce),
        records: octets(&sealed),
    }
}

fn note(log: &SecretKey, leaves: &[Digest]) -> String {
    let head = Checkpoint::new(origin().as_str(), leaves.len() as u64, merkle::root(leaves)).unwrap();
    let signature = log.sign(head.text().as_bytes()).unwrap();
    head.into_note(log.public(), &signature).to_string()
}

/// Writes a package and everything a decoder needs.
pub(crate) fn write(folder: &Path, fault: &Fault) -> Made {
    let [instance, log, bureau_key, signing] = [(); 4].map(|()| SecretKey::generate(&mut SysRng).unwrap());
    let (batch, kek_id, kek) = (BatchId::from_bytes([7; 16]), object(9), [0x5A; 16]);
    let package = folder.join("package");
    std::fs::create_dir_all(package.join("chunks")).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(package.join(name), bytes).unwrap();

    put("profile.toml", PROFILE.as_bytes());
    let mut manifest = Manifest {
        label: Manifest::LABEL.to_owned(),
        origin: origin(),
        batch,
        counter: 1,
        bureau: bureau(),
        plan: PlanId::from_digest(digest(1)),
        profile_id: profile(),
        profile: Digest::of(PROFILE.as_bytes()),
        kek: kek_id,
        kek_kcv: kcv(&kek),
        wrap: KeyWrap::Rfc3394,
        encryption_key: bureau_key.public().id(),
        cards: CARDS,
        keys: u64::from(CARDS) * SLOTS.len() as u64,
        chunks: Vec::new(),
        root: digest(0),
        checkpoint: note(&log, &[digest(1)]),
        created_ms: 1_700_000_000_000,
    };
    let context = LeafContext::of(&manifest);
    let count = CARDS.div_ceil(CHUNK_CARDS);
    for index in 0..count {
        let chunk = chunk(index, count, &kek, bureau_key.public(), batch, fault);
        let bytes = encoding::encode(&chunk).unwrap();
        put(&format!("chunks/{index:05}.der"), &bytes);
        manifest.chunks.push(ChunkEntry {
            index,
            cards: u32::try_from(chunk.cards.len()).unwrap(),
            bytes: bytes.len() as u64,
            digest: Digest::of(&bytes),
            root: merkle::root(&context.leaves(&chunk.cards).unwrap()),
        });
    }
    manifest.root = package_root(&manifest.chunks.iter().map(|entry| entry.root).collect::<Vec<_>>());
    let signed_manifest = signed(manifest.clone(), &instance);
    put("manifest.der", &signed_manifest);
    put("transport-key.der", &signed(sealed(&kek, &manifest, &bureau_key), &instance));
    put("proof.der", &proof(&manifest, &signed_manifest, &log));

    let receipt = Receipt {
        label: Receipt::LABEL.to_owned(),
        origin: origin(),
        batch,
        counter: 1,
        bureau: bureau(),
        manifest: Digest::of(&signed_manifest),
        root: manifest.root,
        accepted: CARDS - 1,
        spoiled: vec![card(2, &kek, &Fault::None).commitment],
        received_ms: 1_700_000_000_001,
    };
    let components: Vec<String> = COMPONENTS.iter().map(hex::encode).collect();
    let beside = |name: &str, bytes: &[u8]| {
        let path: PathBuf = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    Made {
        package: package.to_str().unwrap().to_owned(),
        anchor: beside("anchor.der", &signed(anchor(&instance, &log), &instance)),
        bureau_key: beside("bureau.pem", bureau_key.dangerous_to_plain_pkcs8_pem().unwrap().as_bytes()),
        signing_key: beside("signing.pub.pem", signing.public().to_pem().as_bytes()),
        components: beside("components", components.join("\n").as_bytes()),
        receipt: beside("receipt.der", &signed(receipt, &signing)),
        flips: "60".to_owned(),
    }
}

fn sealed(kek: &[u8; 16], manifest: &Manifest, bureau_key: &SecretKey) -> SealedKeys {
    let ciphertext = octets(&bureau_key.public().encrypt(kek, &mut SysRng).unwrap());
    let (name, group, version) = ("KEK".to_owned(), 0, 0);
    SealedKeys {
        label: SealedKeys::LABEL.to_owned(),
        origin: origin(),
        plan: PlanId::from_digest(digest(2)),
        purpose: SealPurpose::TransportKey,
        destination: bureau().as_str().to_owned(),
        recipient_key: bureau_key.public().id(),
        profile: None,
        keys: vec![SealedEntry { name, group, version, id: manifest.kek, kcv: manifest.kek_kcv, ciphertext }],
        sealed_ms: 1,
    }
}

/// The release as entry 5 of a log of seven.
fn proof(manifest: &Manifest, signed_manifest: &[u8], log: &SecretKey) -> Vec<u8> {
    let released = BatchReleased {
        batch: manifest.batch,
        manifest: Digest::of(signed_manifest),
        root: manifest.root,
        cards: manifest.cards,
        keys: manifest.keys,
    };
    let entry = LogEntry {
        label: LogEntry::LABEL.to_owned(),
        index: 5,
        origin: Digest::of(origin().as_str().as_bytes()),
        sequence: 0,
        time_ms: 1,
        actor: Actor::Own,
        role: None,
        event: Event::BatchReleased(released),
    };
    let entry = encoding::encode(&entry).unwrap();
    let mut leaves: Vec<Digest> = (0..7).map(digest).collect();
    leaves[5] = merkle::leaf_hash(&entry);
    let inclusion = Inclusion {
        label: Inclusion::LABEL.to_owned(),
        entry: octets(&entry),
        index: 5,
        size: 7,
        path: merkle::inclusion_path(&leaves, 5).unwrap(),
        checkpoint: note(log, &leaves),
    };
    encoding::encode(&inclusion).unwrap()
}
