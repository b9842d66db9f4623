//! Masters: generated, made from root components, or imported sealed.
//!
//! Ceremony worker only. Guards: an existing object is adopted only with every attribute of its
//! template, every check value is compared before anything lasting depends on it, components and
//! seed are session objects that end with the call, and a failed import leaves none of its keys.

use cryptoki_sys::{CK_OBJECT_HANDLE, CKA_ALWAYS_SENSITIVE, CKA_EXTRACTABLE, CKA_LOCAL, CKA_NEVER_EXTRACTABLE};
use kms_core::id::ObjectId;
use kms_core::ports::{Custody, HsmError, HsmResult, MasterSpec, SealedComponent, SealedMaster};
use kms_core::secret::Kcv;

use crate::check_value::{self, compare};
use crate::ciphertext;
use crate::fault::{about, refused};
use crate::instance;
use crate::raw::{Encoded, Functions, Parameter};
use crate::session::{Passing, Token};
use crate::template::{COMPONENT, COMPONENT_IMPORT, IMPORT, MASTER, Role, SEED, Template};
use crate::twice::unsteady;
use crate::vendor::{Operation, Suite};

/// Most components of one root key.
const COMPONENTS_MAX: usize = 16;

/// Generates or adopts masters.
pub(crate) fn generate(token: &mut Token, masters: &[MasterSpec]) -> HsmResult<Vec<Kcv>> {
    masters.iter().map(|spec| generate_one(token, spec)).collect()
}

fn generate_one(token: &mut Token, spec: &MasterSpec) -> HsmResult<Kcv> {
    let wanted = named(MASTER.template(token.map()), spec);
    // These three the token sets by itself; a local master must show that it was never outside.
    let mut expected = wanted.clone().flag(CKA_LOCAL, true).flag(CKA_ALWAYS_SENSITIVE, true);
    if spec.custody == Custody::Local {
        expected = expected.flag(CKA_NEVER_EXTRACTABLE, true);
    }
    let key = token.adopt_or_make(&MASTER, spec.id, &expected, |token| {
        let (session, mechanism) =
            (token.session()?, token.mechanism(token.map().master_key_gen(), Parameter::Nothing)?);
        token.functions().generate_key(session, mechanism, &mut Encoded::of(&wanted))
    })?;
    check_value::of_key(token, &MASTER, key)
}

/// The template of a master with its id, label and custody.
fn named(template: Template, spec: &MasterSpec) -> Template {
    let extractable = spec.custody == Custody::Transferable;
    instance::named(template, spec.id, &spec.label).flag(CKA_EXTRACTABLE, extractable)
}

/// Opens the components, combines them, diversifies every master from the seed.
pub(crate) fn from_components(
    token: &mut Token,
    component_import: ObjectId,
    components: &[SealedComponent],
    masters: &[(MasterSpec, [u8; 16])],
) -> HsmResult<(Kcv, Vec<Kcv>)> {
    if !(2..=COMPONENTS_MAX).contains(&components.len()) {
        let detail = format!("{} components; 2 to {COMPONENTS_MAX} are combined", components.len());
        return Err(refused("masters_from_components", "COMPONENT_COUNT", detail));
    }
    masters.iter().try_for_each(|(spec, _)| transferable(spec, "masters_from_components"))?;
    let import = token.find_one(&COMPONENT_IMPORT, component_import)?;
    let functions = token.functions();
    let mut opened = Vec::with_capacity(components.len());
    for (number, component) in (1..).zip(components) {
        let which = || format!("component {number}");
        let key = unwrap(token, import, &component.ciphertext, &COMPONENT.unwrapped(token.map()))
            .map_err(|error| about(error, which))?;
        let key = Passing::new(&functions, token.session()?, key);
        let found = check_value::of_unwrapped(token, key.handle())?.ok_or_else(|| {
            refused("vendor map", "OPERATION_NOT_MAPPED", "this make shows no check value of a component")
        })?;
        compare(found, component.kcv, "masters_from_components", which)?;
        opened.push(key);
    }
    let seed = combine(token, &functions, &opened)?;
    let seed_kcv = check_value::of_key(token, &SEED, seed.handle())?;
    let again = combine(token, &functions, &opened)?;
    if check_value::of_key(token, &SEED, again.handle())? != seed_kcv {
        return Err(unsteady("C_DeriveKey"));
    }
    again.destroy()?;
    let mut kcvs = Vec::with_capacity(masters.len());
    for (spec, block) in masters {
        let wanted = named(MASTER.template(token.map()), spec);
        let key = token.adopt_or_make(&MASTER, spec.id, &wanted, |token| {
            let (session, mechanism) =
                (token.session()?, token.mechanism(token.map().diversify(), Parameter::Data(block))?);
            token.functions().derive_key(session, mechanism, seed.handle(), &mut Encoded::of(&wanted))
        })?;
        kcvs.push(check_value::of_key(token, &MASTER, key)?);
    }
    seed.destroy()?;
    opened.into_iter().try_for_each(Passing::destroy)?;
    Ok((seed_kcv, kcvs))
}

/// XOR of the components inside the token.
fn combine<'f>(token: &mut Token, functions: &'f Functions, components: &[Passing<'_>]) -> HsmResult<Passing<'f>> {
    let handles: Vec<CK_OBJECT_HANDLE> = components.iter().map(Passing::handle).collect();
    let (first, others) =
        handles.split_first().ok_or_else(|| refused("masters_from_components", "COMPONENT_COUNT", "no component"))?;
    let mechanism = token.mechanism(Operation::XorKeys, Parameter::Keys(others))?;
    let session = token.session()?;
    let seed = functions.derive_key(session, mechanism, *first, &mut Encoded::of(&SEED.template(token.map())))?;
    Ok(Passing::new(functions, session, seed))
}

/// Unwraps or adopts masters sealed to IMPORT KEY; a wrong check value undoes this call's imports.
pub(crate) fn import(
    token: &mut Token,
    import: ObjectId,
    masters: &[(MasterSpec, SealedMaster)],
) -> HsmResult<Vec<Kcv>> {
    masters.iter().try_for_each(|(spec, _)| transferable(spec, "import_masters"))?;
    let mut made = Vec::new();
    let result = masters.iter().map(|(spec, sealed)| import_one(token, import, spec, sealed, &mut made)).collect();
    if let Err(error) = result {
        return Err(undo(token, &made, error));
    }
    result
}

fn import_one(
    token: &mut Token,
    import: ObjectId,
    spec: &MasterSpec,
    sealed: &SealedMaster,
    made: &mut Vec<ObjectId>,
) -> HsmResult<Kcv> {
    let import = token.find_one(&IMPORT, import)?;
    let wanted = named(MASTER.unwrapped(token.map()), spec);
    let expected = named(MASTER.shown(token.map()), spec);
    let key = token.adopt_or_make(&MASTER, spec.id, &expected, |token| {
        // First: a token that says that it failed may have imported it all the same.
        made.push(spec.id);
        unwrap(token, import, &sealed.ciphertext, &wanted)
    })?;
    let found = check_value::of_key(token, &MASTER, key)?;
    compare(found, sealed.kcv, "import_masters", || format!("master {}", spec.label))
}

/// Only a generated master can be local: one that arrives exists outside this HSM already.
fn transferable(spec: &MasterSpec, function: &str) -> HsmResult<()> {
    match spec.custody {
        Custody::Transferable => Ok(()),
        Custody::Local => {
            let detail = format!("master {} comes from outside and cannot be local; order it transferable", spec.label);
            Err(refused(function, "CUSTODY", detail))
        }
    }
}

/// Destroys what a failed import made; says so if even that fails.
fn undo(token: &mut Token, made: &[ObjectId], mut error: HsmError) -> HsmError {
    let left = made.iter().filter(|id| remove(token, &MASTER, **id).is_err()).count();
    if left > 0 {
        let detail = error.detail.take().unwrap_or_default();
        error.detail = Some(format!("{detail}; {left} imported masters could not be removed again"));
    }
    error
}

/// Destroys the object under an id, if it is there: found anew, for a handle that was answered may be another object's.
pub(crate) fn remove(token: &mut Token, role: &Role, id: ObjectId) -> HsmResult<()> {
    match token.find_optional(role.class(), id)? {
        Some(object) => {
            let session = token.session()?;
            token.functions().destroy(session, object)
        }
        None => Ok(()),
    }
}

/// C_UnwrapKey with a private key.
pub(crate) fn unwrap(
    token: &mut Token,
    by: CK_OBJECT_HANDLE,
    sealed: &[u8],
    template: &Template,
) -> HsmResult<CK_OBJECT_HANDLE> {
    let bytes = ciphertext::to_token(token.map(), sealed)?;
    let (session, mechanism) = (token.session()?, token.mechanism(Operation::Open, sealing(token))?);
    token.functions().unwrap_key(session, mechanism, by, &bytes, &mut Encoded::of(template))
}

/// Parameter of sealing: the hash of OAEP, or none.
pub(crate) const fn sealing(token: &Token) -> Parameter<'static> {
    match token.map().suite() {
        Suite::Intl => Parameter::Oaep,
        Suite::Sm => Parameter::Nothing,
    }
}
