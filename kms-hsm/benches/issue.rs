//! Card keys per second: the module called directly, and through the port, in one run.
//!
//! `cargo bench -p kms-hsm --bench issue`. The ratio says what worker, frames and checks cost; the
//! absolute figures are hsm-sim's, not an HSM's.
#![expect(unsafe_code, clippy::unwrap_used, clippy::expect_used, reason = "the comparison is plain C calls")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::time::{Duration, Instant};

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_KEY_DERIVATION_STRING_DATA, CK_MECHANISM, CK_MECHANISM_TYPE, CK_OBJECT_CLASS,
    CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SLOT_ID, CK_ULONG, CKA_CHECK_VALUE, CKA_CLASS, CKA_EXTRACTABLE, CKA_ID,
    CKA_KEY_TYPE, CKA_PRIVATE, CKA_SENSITIVE, CKA_TOKEN, CKA_VALUE_LEN, CKA_WRAP_WITH_TRUSTED, CKF_RW_SESSION,
    CKF_SERIAL_SESSION, CKO_SECRET_KEY, CKU_USER,
};
use kms_core::id::ObjectId;
use kms_core::ports::{ChunkOrder, Custody, Hsm as _, MasterSpec, SecurityOfficerToken as _};
use kms_core::secret::Pin;
use kms_hsm::setup::{self, SetupConfig};
use kms_hsm::{HsmClient, HsmConfig, PinSource, SandboxMode, SoClient};

const CARDS: usize = 1000;
const MASTERS: u8 = 57;
const ROUNDS: usize = 5;
const KEYS: usize = CARDS * MASTERS as usize;
const PIN: &str = "bench-pin-1";
const SO_PIN: &str = "bench-so-pin";
const KEK: u8 = 200;
const SM4: CK_ULONG = 0x8005_0001;
const DIVERSIFY: CK_MECHANISM_TYPE = 0x8005_0009;
const KEY_WRAP: CK_MECHANISM_TYPE = 0x8D53_0001;

fn main() {
    let worker = PathBuf::from(env!("CARGO_BIN_EXE_kms-hsm-worker"));
    let programs = worker.parent().expect("the worker is in a folder");
    let module = [programs.join("deps/libhsm_sim.so"), programs.join("libhsm_sim.so")]
        .into_iter()
        .find(|place| place.is_file())
        .expect("cargo builds libhsm_sim.so with the bench");
    if std::env::args().any(|argument| argument == "--raw") {
        for _ in 0..ROUNDS {
            println!("{}", raw(&module));
        }
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let environment = vec![("HSM_SIM_DIR".to_owned(), directory.path().display().to_string())];
    let pin = |text: &str| Pin::new(text.as_bytes().to_vec()).unwrap();
    let set_up = SetupConfig {
        module: module.clone(),
        worker: Some(worker.clone()),
        environment: environment.clone(),
        deadline: Duration::from_secs(30),
        sandbox: SandboxMode::default(),
    };
    setup::init_token(&set_up, "bench", &pin(SO_PIN), &pin(PIN)).unwrap();
    let map = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/hsm/hsm-sim.toml");
    let config = |text: &str| HsmConfig {
        worker: Some(worker.clone()),
        environment: environment.clone(),
        ..HsmConfig::new(module.clone(), map.clone(), "bench", PinSource::given(pin(text)))
    };
    let hsm = HsmClient::new(config(PIN)).unwrap();
    let id = |number: u8| ObjectId::from_bytes([number; 16]);
    let spec = |n: u8| MasterSpec { id: id(n), label: format!("bench/{n}"), custody: Custody::Local };
    hsm.generate_masters(&(0..MASTERS).map(spec).collect::<Vec<_>>()).unwrap();
    SoClient::new(config(SO_PIN)).unwrap().create_transport_key(id(KEK), "kek").unwrap();

    let own = std::env::current_exe().unwrap();
    let raw = Command::new(own).arg("--raw").envs(environment).output().unwrap();
    assert!(raw.status.success(), "{}", String::from_utf8_lossy(&raw.stderr));
    let raw: Vec<f64> = String::from_utf8(raw.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect();

    let order = ChunkOrder {
        kek: id(KEK),
        masters: (0..MASTERS).map(|n| (id(n), true)).collect(),
        blocks: (0..CARDS).map(block).collect(),
    };
    let port: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(hsm.issue_chunk(&order).unwrap().len(), CARDS);
            KEYS as f64 / started.elapsed().as_secs_f64()
        })
        .collect();
    let (raw, port) = (median(raw), median(port));
    println!("chunk of {CARDS} cards x {MASTERS} keys with check values, median of {ROUNDS}");
    println!("direct calls      {raw:>9.0} keys/s");
    println!("through the port  {port:>9.0} keys/s  ({:.2} of direct)", port / raw);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn block(card: usize) -> [u8; 16] {
    let mut block = [0x5a; 16];
    block[..8].copy_from_slice(&card.to_be_bytes());
    block
}

/// The same work with nothing in between; answers keys per second.
fn raw(module: &Path) -> f64 {
    // SAFETY: a test module we built; every pointer below leads to a live local.
    unsafe {
        let library = cryptoki_sys::Pkcs11::new(module).unwrap();
        let mut list = ptr::null_mut();
        let function_list = library.C_GetFunctionList.as_ref().unwrap();
        assert_eq!(function_list(&mut list), 0);
        let table = *list;
        table.C_Initialize.unwrap()(ptr::null_mut());
        let (mut slots, mut count): ([CK_SLOT_ID; 8], CK_ULONG) = ([0; 8], 8);
        assert_eq!(table.C_GetSlotList.unwrap()(1, slots.as_mut_ptr(), &mut count), 0);
        let mut session: CK_SESSION_HANDLE = 0;
        let logged_in = slots[..count as usize].iter().any(|slot| {
            let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
            let opened = table.C_OpenSession.unwrap()(*slot, flags, ptr::null_mut(), None, &mut session);
            let length = PIN.len() as CK_ULONG;
            opened == 0 && table.C_Login.unwrap()(session, CKU_USER, PIN.as_ptr().cast_mut(), length) == 0
        });
        assert!(logged_in);
        let find = |number: u8| {
            let (mut class, mut id) = (CKO_SECRET_KEY, [number; 16]);
            let mut template = [attribute(CKA_CLASS, &mut class), attribute(CKA_ID, &mut id)];
            assert_eq!(table.C_FindObjectsInit.unwrap()(session, template.as_mut_ptr(), 2), 0);
            let (mut object, mut found): (CK_OBJECT_HANDLE, CK_ULONG) = (0, 0);
            assert_eq!(table.C_FindObjects.unwrap()(session, &mut object, 1, &mut found), 0);
            table.C_FindObjectsFinal.unwrap()(session);
            assert_eq!(found, 1);
            object
        };
        let masters: Vec<CK_OBJECT_HANDLE> = (0..MASTERS).map(find).collect();
        let kek = find(KEK);
        let (mut class, mut kind, mut length): (CK_OBJECT_CLASS, CK_ULONG, CK_ULONG) = (CKO_SECRET_KEY, SM4, 16);
        let (mut yes, mut no): (CK_BBOOL, CK_BBOOL) = (1, 0);
        let mut template = [
            attribute(CKA_CLASS, &mut class),
            attribute(CKA_KEY_TYPE, &mut kind),
            attribute(CKA_VALUE_LEN, &mut length),
            attribute(CKA_TOKEN, &mut no),
            attribute(CKA_PRIVATE, &mut yes),
            attribute(CKA_SENSITIVE, &mut yes),
            attribute(CKA_EXTRACTABLE, &mut yes),
            attribute(CKA_WRAP_WITH_TRUSTED, &mut yes),
        ];
        let mut wrap = CK_MECHANISM { mechanism: KEY_WRAP, pParameter: ptr::null_mut(), ulParameterLen: 0 };
        let mut out = Vec::with_capacity(KEYS * 27);
        let started = Instant::now();
        for card in 0..CARDS {
            let mut block = block(card);
            let mut data = CK_KEY_DERIVATION_STRING_DATA { pData: block.as_mut_ptr(), ulLen: 16 };
            let mut derive = CK_MECHANISM {
                mechanism: DIVERSIFY,
                pParameter: (&raw mut data).cast(),
                ulParameterLen: size_of_val(&data) as CK_ULONG,
            };
            for master in &masters {
                let (mut child, mut kcv, mut blob): (CK_OBJECT_HANDLE, _, _) = (0, [0u8; 3], [0u8; 24]);
                let (attributes, count) = (template.as_mut_ptr(), template.len() as CK_ULONG);
                let derived = table.C_DeriveKey.unwrap()(session, &mut derive, *master, attributes, count, &mut child);
                assert_eq!(derived, 0);
                let mut check = attribute(CKA_CHECK_VALUE, &mut kcv);
                assert_eq!(table.C_GetAttributeValue.unwrap()(session, child, &mut check, 1), 0);
                let mut length = 24;
                let wrapped = table.C_WrapKey.unwrap()(session, &mut wrap, kek, child, blob.as_mut_ptr(), &mut length);
                assert_eq!((wrapped, length), (0, 24));
                assert_eq!(table.C_DestroyObject.unwrap()(session, child), 0);
                out.extend_from_slice(&blob);
                out.extend_from_slice(&kcv);
            }
        }
        let speed = KEYS as f64 / started.elapsed().as_secs_f64();
        assert_eq!(std::hint::black_box(out).len(), KEYS * 27);
        table.C_Finalize.unwrap()(ptr::null_mut());
        speed
    }
}

fn attribute<T>(kind: CK_ULONG, value: &mut T) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE { type_: kind, pValue: ptr::from_mut(value).cast(), ulValueLen: size_of::<T>() as CK_ULONG }
}
