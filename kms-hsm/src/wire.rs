//! What client and worker say to each other over the pipe.
//!
//! Length-prefixed frames: four bytes little-endian, then a postcard-coded [`Hello`], [`Request`] or
//! [`Response`], or the bare bytes of a secret. Not stored and not versioned: both ends come from one
//! build, and the greeting carries the version to prove it. Guards: no type here that implements a
//! codec holds a secret, and a frame has a named limit.

mod status;

use std::io::{self, Read, Write};

use kms_core::ports::{FaultClass, HsmError, HsmResult};
use kms_core::secret::{Kcv, KcvMethod};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::fault::fault;
use crate::sandbox::SandboxMode;

pub(crate) use status::{Status, WireRestriction};

/// Largest frame, in bytes: a chunk of [`CHUNK_KEYS_MAX`] keys with check values fits twice.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most keys in one chunk order: cards × masters.
pub const CHUNK_KEYS_MAX: usize = 256 * 1024;

/// Most bytes of a wrapped key and its check value in a chunk answer.
const CHUNK_KEY_BYTES: usize = kms_core::suite::WRAPPED_BYTES_MAX + KCV_BYTES;
/// Bytes of a check value in chunks: three of `E_K(0)`.
pub(crate) const KCV_BYTES: usize = 3;
const _: () = assert!(2 * CHUNK_KEYS_MAX * CHUNK_KEY_BYTES <= FRAME_BYTES_MAX);

/// Both ends must come from the same build.
pub(crate) const WIRE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Memory taken at a time while a frame arrives.
const READ_BYTES: usize = 64 * 1024;

/// What a worker may do; chosen at start, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WorkerRole {
    /// User login on a bureau's token.
    Bureau,
    /// User login: create, import, unwrap. Lives for one call.
    Ceremony,
    /// User login: probe and doctor, on keys of their own; inventory.
    Inspector,
    /// User login: sign, diversify, wrap, seal, protect.
    Runtime,
    /// SO login: sets trust.
    SecurityOfficer,
    /// Initialises a token.
    Setup,
}

/// First frame to a worker. It answers [`Response::Restricted`]; only then as many frames with bare
/// secrets follow as `secrets` says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: String,
    pub(crate) role: WorkerRole,
    pub(crate) module: String,
    pub(crate) map_path: String,
    pub(crate) map_text: String,
    pub(crate) label: String,
    pub(crate) serial: Option<String>,
    /// Sessions that one order may use at once.
    pub(crate) lanes: u16,
    pub(crate) sandbox: SandboxMode,
    /// 0: no login. 1: the PIN. 2 (setup): SO PIN, user PIN.
    pub(crate) secrets: u8,
}

/// 16 bytes of an object id.
pub(crate) type Id = [u8; 16];

/// One master to be made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Master {
    pub(crate) id: Id,
    pub(crate) label: String,
    pub(crate) transferable: bool,
}

/// A sealed key or component.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) kcv: WireKcv,
}

/// A check value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireKcv {
    method: u8,
    value: Vec<u8>,
}

impl From<Kcv> for WireKcv {
    fn from(kcv: Kcv) -> Self {
        let method = match kcv.method() {
            KcvMethod::Cmac5 => 1,
            KcvMethod::Ecb3 => 0,
        };
        Self { method, value: kcv.value().to_vec() }
    }
}

impl WireKcv {
    pub(crate) fn decode(&self) -> HsmResult<Kcv> {
        let method = if self.method == 0 { KcvMethod::Ecb3 } else { KcvMethod::Cmac5 };
        Kcv::new(method, &self.value).map_err(|error| garbled(&error.to_string()))
    }
}

/// What the client asks. Each is idempotent under the ids it carries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    CardIndex {
        index: Id,
        values: Vec<Vec<u8>>,
    },
    CreateImportKey {
        label: String,
    },
    CreateInstanceKeys {
        log: Id,
        instance: Id,
        import: Id,
        index: Id,
        storage: Id,
        component_import: Option<Id>,
    },
    CreatePersonalizationKey {
        label: String,
    },
    CreateTransportKey {
        id: Id,
        label: String,
    },
    GenerateMasters {
        masters: Vec<Master>,
    },
    ImportMasters {
        import: Id,
        masters: Vec<(Master, Sealed)>,
    },
    InitToken {
        label: String,
        /// Refuse anything but a software token that is known.
        software_only: bool,
    },
    /// Runs the battery of attacks; for a throw-away token the SO PIN follows in a frame of its own.
    Probe {
        throw_away: bool,
    },
    /// The scalar follows in a frame of its own.
    InstallImportKey {
        label: String,
    },
    /// Examines token and map.
    Examine,
    Inventory {
        wanted: Vec<crate::inventory::Wanted>,
    },
    IssueChunk {
        kek: Id,
        masters: Vec<(Id, bool)>,
        blocks: Vec<Id>,
    },
    LogHead,
    MastersFromComponents {
        component_import: Id,
        components: Vec<Sealed>,
        masters: Vec<(Master, Id)>,
    },
    OpenTransportKey {
        import_label: String,
        id: Id,
        sealed: Sealed,
    },
    Protect {
        storage: Id,
        plaintext: Vec<u8>,
        context: Vec<u8>,
    },
    Random {
        count: u32,
    },
    Rewrap {
        transport: Id,
        personalization_label: String,
        items: Vec<(Vec<u8>, Option<WireKcv>)>,
    },
    SealDiversified {
        masters: Vec<Id>,
        block: Id,
        recipient: Id,
    },
    SealTransportKey {
        kek: Id,
        recipient: Id,
    },
    SetLogHead {
        head: Vec<u8>,
    },
    Sign {
        key: Id,
        e: [u8; 32],
    },
    Status,
    TrustRecipient {
        id: Id,
        label: String,
        /// SubjectPublicKeyInfo, like every public key on this wire.
        key: Vec<u8>,
    },
    TrustedObject {
        id: Id,
        transport_key: bool,
    },
    Unprotect {
        storage: Id,
        protected: Vec<u8>,
        context: Vec<u8>,
    },
}

/// What the worker answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    Absent,
    Bytes(Vec<u8>),
    Checks(Vec<crate::doctor::Check>),
    /// A transport key is open; whether its check value was compared.
    Confirmed {
        by_check_value: bool,
    },
    /// Wrapped keys end to end, card by card; then the check values of the flagged masters likewise.
    Chunk {
        #[serde(with = "serde_bytes")]
        wrapped: Vec<u8>,
        #[serde(with = "serde_bytes")]
        kcvs: Vec<u8>,
    },
    Done,
    Fault(Fault),
    Findings(Vec<crate::probe::Finding>),
    Inventory(crate::inventory::Seen),
    Items(Vec<Vec<u8>>),
    Kcvs(Vec<WireKcv>),
    Present {
        public_key: Option<Vec<u8>>,
        kcv: Option<WireKcv>,
    },
    /// What the worker has given up, before it was given a secret or loaded a library.
    Restricted(Vec<WireRestriction>),
    /// Blobs in order, and for how many of them the token compared a check value.
    Rewrapped {
        blobs: Vec<Vec<u8>>,
        compared: u32,
    },
    Sealed(Vec<Sealed>),
    Status(Status),
}

/// A failed call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    class: u8,
    function: String,
    code: String,
    detail: Option<String>,
}

const CLASSES: [FaultClass; 5] =
    [FaultClass::Refused, FaultClass::Retryable, FaultClass::Indeterminate, FaultClass::Broken, FaultClass::Pin];

impl From<HsmError> for Fault {
    fn from(error: HsmError) -> Self {
        let class = CLASSES.iter().zip(0..).find(|(class, _)| **class == error.class).map_or(u8::MAX, |(_, n)| n);
        Self { class, function: error.function, code: error.code, detail: error.detail }
    }
}

impl From<Fault> for HsmError {
    fn from(fault: Fault) -> Self {
        let class = CLASSES.get(usize::from(fault.class)).copied().unwrap_or(FaultClass::Indeterminate);
        Self { class, function: fault.function, code: fault.code, detail: fault.detail }
    }
}

/// An answer that cannot be: the two ends disagree, or memory was damaged.
pub(crate) fn garbled(what: &str) -> HsmError {
    fault(FaultClass::Indeterminate, "worker", "ANSWER_GARBLED", what)
}

/// A value as a frame's content.
pub(crate) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(|error| io::Error::other(error.to_string()))
}

/// A frame's content as a value; bytes left over are refused.
pub(crate) fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> io::Result<T> {
    match postcard::take_from_bytes(frame) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the end of a frame's content")),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
    }
}

/// Writes one frame.
pub(crate) fn write_frame(to: &mut impl Write, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        let message = format!("a frame of {} bytes; at most {FRAME_BYTES_MAX} are sent", content.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    to.write_all(&length.to_le_bytes())?;
    to.write_all(content)?;
    to.flush()
}

/// Reads one frame; `None` at the orderly end. The memory is wiped on drop, for it may be a secret;
/// it grows only in place, so no copy is left behind.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    read_frame_into(from, |_| {})
}

/// The same; `prepare` sees the empty memory before anything is read into it.
pub(crate) fn read_frame_into(
    from: &mut impl Read,
    prepare: impl FnOnce(&Vec<u8>),
) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut length = [0; 4];
    match from.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut length[1..])?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        let message = format!("a frame of {length} bytes; at most {FRAME_BYTES_MAX} are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(length));
    prepare(&content);
    while content.len() < length {
        let start = content.len();
        content.resize(length.min(start + READ_BYTES), 0);
        let Some(fresh) = content.get_mut(start..) else { break };
        from.read_exact(fresh)?;
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_their_limit_and_their_end() {
        let mut sent = Vec::new();
        write_frame(&mut sent, b"one").unwrap();
        write_frame(&mut sent, b"").unwrap();
        let mut from = sent.as_slice();
        assert_eq!(read_frame(&mut from).unwrap().unwrap().as_slice(), b"one");
        assert_eq!(read_frame(&mut from).unwrap().unwrap().as_slice(), b"");
        assert!(read_frame(&mut from).unwrap().is_none());
        assert!(read_frame(&mut &sent[..5]).is_err());
        assert!(read_frame(&mut [0xff; 8].as_slice()).is_err());
        assert!(write_frame(&mut Vec::new(), &vec![0; FRAME_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_frame_holds_one_value_and_nothing_else() {
        let mut frame = encode(&Request::Random { count: 7 }).unwrap();
        assert!(matches!(decode(&frame), Ok(Request::Random { count: 7 })));
        frame.push(0);
        assert!(decode::<Request>(&frame).is_err());
        assert!(decode::<Request>(&[0xff; 4]).is_err());
    }

    #[test]
    fn classes_survive() {
        for class in CLASSES {
            let error = fault(class, "C_Sign", "CODE", "detail");
            assert_eq!(HsmError::from(Fault::from(error.clone())), error);
        }
    }
}
