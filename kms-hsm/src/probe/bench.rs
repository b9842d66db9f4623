//! The attacker's bench: keys by template, uses of them, and the tally of an attack.
//!
//! Guards: every key made is destroyed with its attempt, refusals are told from faults, and no value
//! that an attack lays bare leaves this process.

use std::collections::BTreeSet;

use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CKA_CHECK_VALUE, CKA_CLASS,
    CKA_EXTRACTABLE, CKA_KEY_TYPE, CKA_PRIVATE, CKA_SENSITIVE, CKA_TOKEN, CKA_VALUE, CKA_VALUE_LEN, CKO_SECRET_KEY,
};
use kms_core::ports::{FaultClass, HsmError, HsmResult};
use zeroize::Zeroizing;

use super::{Finding, Refusal, Verdict};
use crate::raw::{Encoded, Functions, Mechanism, Parameter};
use crate::session::Token;
use crate::template::{BLOCK_KEY_BYTES, CARD, MASTER, SECRET_USES, Template, Value};
use crate::vendor::Operation;

/// Bytes of the block every attack on derivation uses.
pub(crate) const BLOCK: [u8; 16] = [0x5a; 16];

/// Why an attempt ended early.
pub(crate) enum Halt {
    /// The token refused: what a good token does.
    Refused(HsmError),
    /// The scene could not be set.
    NoScene(String),
    /// Module or worker failed: no verdict.
    Fault(HsmError),
}

/// What worked, in words; or why it ended.
pub(crate) type Tried = Result<String, Halt>;

impl From<HsmError> for Halt {
    fn from(error: HsmError) -> Self {
        // GENERAL_ERROR and FUNCTION_FAILED are what several makes answer to a damaged blob.
        let refused = match error.class {
            FaultClass::Refused => error.code.starts_with("CKR_"),
            FaultClass::Retryable => crate::fault::is_handle_fault(&error) || is_session_fault(&error.code),
            FaultClass::Indeterminate => matches!(error.code.as_str(), "CKR_GENERAL_ERROR" | "CKR_FUNCTION_FAILED"),
            FaultClass::Broken | FaultClass::Pin => false,
        };
        if refused { Self::Refused(error) } else { Self::Fault(error) }
    }
}

fn is_session_fault(code: &str) -> bool {
    matches!(
        code,
        "CKR_SESSION_HANDLE_INVALID" | "CKR_SESSION_CLOSED" | "CKR_USER_NOT_LOGGED_IN" | "CKR_CRYPTOKI_NOT_INITIALIZED"
    )
}

/// A step without which the attack cannot be tried.
pub(crate) fn need<T>(what: &str, step: HsmResult<T>) -> Result<T, Halt> {
    step.map_err(|error| match Halt::from(error) {
        Halt::Refused(error) => Halt::NoScene(format!("{what}: {} {}", error.function, error.code)),
        other => other,
    })
}

/// One attempt at an attack.
pub(crate) type Attempt = fn(&mut Bench<'_>) -> Tried;

/// The token under attack.
pub(crate) struct Bench<'t> {
    pub(crate) token: &'t mut Token,
    pub(crate) session: CK_SESSION_HANDLE,
    made: Vec<CK_OBJECT_HANDLE>,
}

impl<'t> Bench<'t> {
    pub(crate) fn new(token: &'t mut Token) -> HsmResult<Self> {
        let session = token.session()?;
        Ok(Self { token, session, made: Vec::new() })
    }

    /// Runs every form of an attack; open if one works, blocked if one is refused and none works.
    pub(crate) fn attack(&mut self, id: u8, attempts: &[Attempt]) -> HsmResult<Finding> {
        let tried: Vec<Tried> = attempts.iter().map(|attempt| self.attempt(attempt)).collect();
        tally(id, tried)
    }

    /// An attack of one form that needs more than the bench.
    pub(crate) fn last_attack(&mut self, id: u8, attempt: impl FnOnce(&mut Self) -> Tried) -> HsmResult<Finding> {
        tally(id, vec![self.attempt(attempt)])
    }

    fn attempt(&mut self, attempt: impl FnOnce(&mut Self) -> Tried) -> Tried {
        let tried = attempt(self);
        self.clear();
        tried
    }

    /// Destroys what an attempt made. A key that stays dies with the session.
    pub(crate) fn clear(&mut self) {
        let functions = self.token.functions();
        for object in std::mem::take(&mut self.made) {
            let _ = functions.destroy(self.session, object);
        }
    }

    pub(crate) fn functions(&self) -> std::sync::Arc<Functions> {
        self.token.functions()
    }

    /// Notes an object for destruction.
    pub(crate) fn keep(&mut self, object: CK_OBJECT_HANDLE) -> CK_OBJECT_HANDLE {
        self.made.push(object);
        object
    }

    /// Number of an operation, or no scene.
    pub(crate) fn number(&self, operation: Operation) -> Result<CK_MECHANISM_TYPE, Halt> {
        self.token.map().mechanism(operation).ok_or_else(|| {
            let map = self.token.map();
            Halt::NoScene(format!("vendor map {} has no {}", map.name(), self.name(operation)))
        })
    }

    /// Name of an operation in the map.
    pub(crate) fn name(&self, operation: Operation) -> &'static str {
        self.token.map().operation_name(operation)
    }

    /// Mechanism of an operation, or no scene.
    pub(crate) fn mechanism<'p>(&self, operation: Operation, parameter: Parameter<'p>) -> Result<Mechanism<'p>, Halt> {
        Ok(Mechanism { number: self.number(operation)?, parameter })
    }

    /// Class and type of a block cipher key, and nothing else: what unwrapping takes.
    pub(crate) fn bare(&self) -> Template {
        let block = self.token.map().key_types().block;
        Template::default().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, block).flag(CKA_TOKEN, false)
    }

    /// A sensitive session key with these attributes on top. Every other use is stated as false: some makes take a
    /// use left out for granted.
    pub(crate) fn secret(&self, flags: &[(CK_ATTRIBUTE_TYPE, bool)]) -> Template {
        let base = self
            .bare()
            .number(CKA_VALUE_LEN, BLOCK_KEY_BYTES)
            .flag(CKA_PRIVATE, true)
            .flag(CKA_SENSITIVE, true)
            .flag(CKA_EXTRACTABLE, false);
        with_flags(with_flags(base, &SECRET_USES.map(|kind| (kind, false))), flags)
    }

    /// MASTER as the KMS makes it, as a session key.
    pub(crate) fn master(&self) -> Template {
        MASTER.template(self.token.map()).flag(CKA_TOKEN, false).flag(CKA_EXTRACTABLE, false)
    }

    /// CARD as the KMS derives it.
    pub(crate) fn card(&self) -> Template {
        CARD.template(self.token.map())
    }

    pub(crate) fn generate(&mut self, template: &Template) -> Result<CK_OBJECT_HANDLE, Halt> {
        let map = self.token.map();
        let card = Value::Number(map.key_types().card);
        let is_card = template.value(CKA_KEY_TYPE) == Some(&card);
        let operation = if is_card { map.master_key_gen() } else { Operation::KeyGen };
        let mechanism = self.mechanism(operation, Parameter::Nothing)?;
        let key = self.functions().generate_key(self.session, mechanism, &mut Encoded::of(template))?;
        Ok(self.keep(key))
    }

    /// A key the scene needs.
    pub(crate) fn scene_key(&mut self, what: &str, template: &Template) -> Result<CK_OBJECT_HANDLE, Halt> {
        no_scene(what, self.generate(template))
    }

    /// A sensitive, extractable key: what the attacker is after.
    pub(crate) fn target(&mut self) -> Result<CK_OBJECT_HANDLE, Halt> {
        let template = self.secret(&[(CKA_EXTRACTABLE, true)]);
        self.scene_key("a key to steal", &template)
    }

    /// A key of known value; hidden from reading like any other.
    pub(crate) fn create(
        &mut self,
        value: [u8; 16],
        flags: &[(CK_ATTRIBUTE_TYPE, bool)],
    ) -> Result<CK_OBJECT_HANDLE, Halt> {
        self.create_from(&self.known(value, flags))
    }

    /// Template of a key of known value.
    pub(crate) fn known(&self, value: [u8; 16], flags: &[(CK_ATTRIBUTE_TYPE, bool)]) -> Template {
        // VALUE_LEN follows from the value; several makes refuse both.
        let base = self.bare().flag(CKA_PRIVATE, true).flag(CKA_SENSITIVE, true).flag(CKA_EXTRACTABLE, false);
        let base = with_flags(base, &SECRET_USES.map(|kind| (kind, false)));
        with_flags(base, flags).bytes(CKA_VALUE, &value)
    }

    /// C_CreateObject.
    pub(crate) fn create_from(&mut self, template: &Template) -> Result<CK_OBJECT_HANDLE, Halt> {
        let key = self.functions().create_object(self.session, &mut Encoded::of(template))?;
        Ok(self.keep(key))
    }

    /// Derivation as masters do it.
    pub(crate) fn diversify(
        &mut self,
        block: &[u8; 16],
        base: CK_OBJECT_HANDLE,
        template: &Template,
    ) -> Result<CK_OBJECT_HANDLE, Halt> {
        self.derive(self.token.map().diversify(), Parameter::Data(block), base, template)
    }

    pub(crate) fn derive(
        &mut self,
        operation: Operation,
        parameter: Parameter<'_>,
        base: CK_OBJECT_HANDLE,
        template: &Template,
    ) -> Result<CK_OBJECT_HANDLE, Halt> {
        let mechanism = self.mechanism(operation, parameter)?;
        let key = self.functions().derive_key(self.session, mechanism, base, &mut Encoded::of(template))?;
        Ok(self.keep(key))
    }

    pub(crate) fn unwrap(
        &mut self,
        mechanism: Mechanism<'_>,
        by: CK_OBJECT_HANDLE,
        blob: &[u8],
        template: &Template,
    ) -> Result<CK_OBJECT_HANDLE, Halt> {
        let key = self.functions().unwrap_key(self.session, mechanism, by, blob, &mut Encoded::of(template))?;
        Ok(self.keep(key))
    }

    pub(crate) fn wrap(
        &self,
        mechanism: Mechanism<'_>,
        by: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
    ) -> Result<Vec<u8>, Halt> {
        let mut out = vec![0; 512];
        let written = self.functions().wrap_key(self.session, mechanism, by, key, &mut out)?;
        out.truncate(written);
        Ok(out)
    }

    pub(crate) fn set(&self, key: CK_OBJECT_HANDLE, flag: CK_ATTRIBUTE_TYPE, value: bool) -> Result<(), Halt> {
        let change = Template::default().flag(flag, value);
        Ok(self.functions().set_attributes(self.session, key, &mut Encoded::of(&change))?)
    }

    /// Whether a flag is shown as wished: some tokens accept a change and ignore it.
    pub(crate) fn shows(&self, key: CK_OBJECT_HANDLE, flag: CK_ATTRIBUTE_TYPE, value: bool) -> Result<bool, Halt> {
        Ok(self.functions().value(self.session, key, flag)? == Some(vec![u8::from(value)]))
    }

    pub(crate) fn copy(
        &mut self,
        key: CK_OBJECT_HANDLE,
        flags: &[(CK_ATTRIBUTE_TYPE, bool)],
    ) -> Result<CK_OBJECT_HANDLE, Halt> {
        let template = with_flags(Template::default(), flags);
        let copy = self.functions().copy(self.session, key, &mut Encoded::of(&template))?;
        Ok(self.keep(copy))
    }

    /// Reads a value that should stay hidden.
    pub(crate) fn read(&self, key: CK_OBJECT_HANDLE) -> Result<Zeroizing<Vec<u8>>, Halt> {
        let value = Zeroizing::new(self.functions().bare_value(self.session, key, CKA_VALUE)?);
        if value.is_empty() { Err(nothing("C_GetAttributeValue")) } else { Ok(value) }
    }

    /// Whether `value` is the key: the token's check values of both are compared where it has them.
    pub(crate) fn confirm(&mut self, value: &[u8], key: CK_OBJECT_HANDLE) -> Result<(), Halt> {
        let Ok(value) = <[u8; 16]>::try_from(value) else { return Err(nothing("the attack")) };
        let functions = self.functions();
        let Some(expected) = functions.value(self.session, key, CKA_CHECK_VALUE)? else { return Ok(()) };
        let Ok(known) = self.create(value, &[]) else { return Ok(()) };
        match functions.value(self.session, known, CKA_CHECK_VALUE)? {
            Some(found) if found != expected => Err(nothing("the attack")),
            _ => Ok(()),
        }
    }

    /// One block through the cipher, in ECB.
    pub(crate) fn block(&self, key: CK_OBJECT_HANDLE, block: &[u8; 16], encrypt: bool) -> Result<[u8; 16], Halt> {
        self.block_by(Operation::Ecb, key, block, encrypt)
    }

    /// The same by the ECB mode of another cipher.
    pub(crate) fn block_by(
        &self,
        operation: Operation,
        key: CK_OBJECT_HANDLE,
        block: &[u8; 16],
        encrypt: bool,
    ) -> Result<[u8; 16], Halt> {
        let (mechanism, functions) = (self.mechanism(operation, Parameter::Nothing)?, self.functions());
        let out = if encrypt {
            functions.encrypt(self.session, mechanism, key, block, 16)?
        } else {
            functions.decrypt(self.session, mechanism, key, block, 16)?
        };
        <[u8; 16]>::try_from(out).map_err(|_| nothing("C_Encrypt"))
    }
}

/// Adds flags to a template.
pub(crate) fn with_flags(template: Template, flags: &[(CK_ATTRIBUTE_TYPE, bool)]) -> Template {
    flags.iter().fold(template, |template, (kind, value)| template.flag(*kind, *value))
}

/// A refused step of the scene.
pub(crate) fn no_scene<T>(what: &str, step: Result<T, Halt>) -> Result<T, Halt> {
    step.map_err(|halt| match halt {
        Halt::Refused(error) => Halt::NoScene(format!("{what}: {} {}", error.function, error.code)),
        other => other,
    })
}

/// The token said yes and gave nothing of use: as good as a refusal.
pub(crate) fn nothing(function: &str) -> Halt {
    Halt::Refused(crate::fault::refused(function, "NOTHING_GAINED", "the call succeeded, but gave nothing"))
}

/// What the forms of an attack came to.
fn tally(id: u8, tried: Vec<Tried>) -> HsmResult<Finding> {
    let (mut refusals, mut notes) = (BTreeSet::new(), Vec::new());
    let (mut open, mut refused) = (false, false);
    for tried in tried {
        match tried {
            Ok(how) => {
                open = true;
                notes.push(format!("works: {how}"));
            }
            Err(Halt::Refused(error)) => {
                refused = true;
                refusals.insert(Refusal { function: error.function, code: error.code });
            }
            Err(Halt::NoScene(why)) => notes.push(format!("not tried: {why}")),
            Err(Halt::Fault(error)) => return Err(error),
        }
    }
    let verdict = match (open, refused) {
        (true, _) => Verdict::Open,
        (false, true) => Verdict::Blocked,
        (false, false) => Verdict::NotApplicable,
    };
    Ok(Finding { id, verdict, refusals: refusals.into_iter().collect(), notes })
}
