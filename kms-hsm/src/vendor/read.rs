//! From the text of a map to a [`VendorMap`].
//!
//! Guards: every number is one a module can have, no two meanings share one, and what contradicts itself (a key wrap
//! in two ways, SM1 keys in a map of SM4 cards) is refused with file, line and reason.

use std::collections::BTreeMap;
use std::path::Path;

use cryptoki_sys::{CK_KEY_TYPE, CK_MECHANISM_TYPE};

use super::file::{CardName, Entry, MapFile};
use super::{
    CardAlgorithm, CheckValue, KeyTypes, KeyWrap, MAP_BYTES_MAX, MapError, MapFault, Operation, OptionalAttribute,
    SignerId, Suite, VendorMap,
};

/// Largest PKCS#11 number: CK_ULONG may have 64 bits, the standard's number space has 32.
const NUMBER_MAX: u64 = 0xffff_ffff;

/// Where in which file something stands.
struct Place<'t> {
    path: &'t Path,
    text: &'t str,
}

impl Place<'_> {
    fn error(&self, offset: Option<usize>, reason: MapFault) -> MapError {
        let line = |offset: usize| 1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        MapError::new(self.path, offset.map(line), reason)
    }

    fn at(&self, entry: &Entry, reason: MapFault) -> MapError {
        self.error(Some(entry.number.span().start), reason)
    }

    fn number(&self, entry: &Entry, may_be_zero: bool) -> Result<u64, MapError> {
        match *entry.number.get_ref() {
            0 if may_be_zero => Ok(0),
            found @ (0 | NUMBER_MAX..) => Err(self.at(entry, MapFault::NumberRange { found })),
            found => Ok(found),
        }
    }
}

/// Checks the text of a map; `path` is for errors only.
pub(super) fn parse(path: &Path, text: &str) -> Result<VendorMap, MapError> {
    if text.len() > MAP_BYTES_MAX {
        return Err(MapError::new(path, None, MapFault::TooLong { found: text.len(), max: MAP_BYTES_MAX }));
    }
    let place = Place { path, text };
    let file: MapFile = toml::from_str(text).map_err(|error| {
        place.error(error.span().map(|span| span.start), MapFault::Form(error.message().trim().to_owned()))
    })?;
    let suite = file.suite();
    let cards = cards(&place, &file)?;
    let key_types = key_types(&place, &file, cards)?;
    let mut mechanisms = mechanisms(&place, &file)?;
    let key_wrap = key_wrap(&place, &file, &mut mechanisms)?;
    if let Some(open) = mechanisms.get(&Operation::Seal).copied() {
        mechanisms.entry(Operation::Open).or_insert(open);
    }
    let sm1 = |operation: &&Operation| operation.is_sm1();
    if let Some(operation) = mechanisms.keys().find(sm1).filter(|_| cards != CardAlgorithm::Sm1) {
        let name = operation.name(suite);
        return Err(place.error(None, MapFault::NotTheCards { name }));
    }
    let by_caller = file.encodings.signer_id == SignerId::Caller;
    if suite == Suite::Sm && mechanisms.contains_key(&Operation::Sign) != by_caller {
        return Err(place.error(None, MapFault::SignerId));
    }
    let check_value = file.encodings.check_value.as_ref().map_or(CheckValue::Attribute, |found| *found.get_ref());
    let attributes = file.attributes.supported.iter().copied().collect();
    if check_value == CheckValue::Derive && file.attributes.supported.contains(&OptionalAttribute::DeriveTemplate) {
        let at = file.encodings.check_value.as_ref().map(|found| found.span().start);
        return Err(place.error(at, MapFault::PinnedAndDerived));
    }
    let (at, name) = (file.name.span().start, file.name.into_inner());
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err(place.error(Some(at), MapFault::Name { found: name }));
    }
    Ok(VendorMap {
        name,
        suite,
        cards,
        key_types,
        mechanisms,
        hmac_name: if file.mechanisms.contains_key("hmac-sha256") { "hmac-sha256" } else { "hmac-sm3" },
        key_wrap,
        check_value,
        unwrapped_length: file.encodings.unwrapped_length,
        template_depth: file.encodings.template_depth,
        signature: file.encodings.signature,
        ciphertext: file.encodings.ciphertext,
        point: file.encodings.point,
        signer_id: file.encodings.signer_id,
        attributes,
        needs: file.sandbox,
        recheck: file.recheck,
    })
}

fn cards(place: &Place<'_>, file: &MapFile) -> Result<CardAlgorithm, MapError> {
    match (file.suite(), file.cards.as_ref().map(|cards| &cards.algorithm)) {
        (Suite::Intl, None) => Ok(CardAlgorithm::Aes128),
        (Suite::Intl, Some(named)) => Err(place.error(Some(named.span().start), MapFault::CardsOfTheSuite)),
        (Suite::Sm, Some(named)) if *named.get_ref() == CardName::Sm1 => Ok(CardAlgorithm::Sm1),
        (Suite::Sm, _) => Ok(CardAlgorithm::Sm4),
    }
}

fn key_types(place: &Place<'_>, file: &MapFile, cards: CardAlgorithm) -> Result<KeyTypes, MapError> {
    let types = &file.key_types;
    let (block, pair, seal, foreign) = match file.suite() {
        Suite::Intl => (&types.aes, &types.ec, &types.rsa, vec![("sm2", &types.sm2), ("sm4", &types.sm4)]),
        Suite::Sm => {
            (&types.sm4, &types.sm2, &types.sm2, vec![("aes", &types.aes), ("ec", &types.ec), ("rsa", &types.rsa)])
        }
    };
    if let Some((name, Some(entry))) = foreign.into_iter().find(|(_, entry)| entry.is_some()) {
        return Err(place.at(entry, MapFault::OtherSuite { name: name.to_owned() }));
    }
    let (Some(block), Some(pair), Some(seal)) = (block, pair, seal) else {
        let wanted = if file.suite() == Suite::Sm { "sm2 and sm4" } else { "aes, ec and rsa" };
        return Err(place.error(None, MapFault::KeyTypeMissing { wanted }));
    };
    let card = match (&types.sm1, cards) {
        (Some(sm1), CardAlgorithm::Sm1) => sm1,
        (None, CardAlgorithm::Sm1) => return Err(place.error(None, MapFault::KeyTypeMissing { wanted: "sm1" })),
        (Some(sm1), _) => return Err(place.at(sm1, MapFault::NotTheCards { name: "key type sm1" })),
        (None, _) => block,
    };
    // CKK_RSA is 0 by the standard.
    let is_rsa = file.suite() == Suite::Intl;
    let found = KeyTypes {
        block: place.number(block, false)?,
        card: place.number(card, false)?,
        hmac: place.number(&types.hmac, false)?,
        pair: place.number(pair, false)?,
        seal: place.number(seal, is_rsa)?,
    };
    let twice = |one: CK_KEY_TYPE, other: CK_KEY_TYPE| one == other;
    if twice(found.pair, found.block) || (cards == CardAlgorithm::Sm1 && twice(found.pair, found.card)) {
        return Err(place.at(block, MapFault::SameKeyType { number: found.pair }));
    }
    if cards == CardAlgorithm::Sm1 && twice(found.card, found.block) {
        return Err(place.at(card, MapFault::SameKeyType { number: found.card }));
    }
    Ok(found)
}

fn mechanisms(place: &Place<'_>, file: &MapFile) -> Result<BTreeMap<Operation, CK_MECHANISM_TYPE>, MapError> {
    let suite = file.suite();
    let mut mechanisms: BTreeMap<Operation, CK_MECHANISM_TYPE> = BTreeMap::new();
    for (name, entry) in &file.mechanisms {
        let operation = Operation::named(suite, name)
            .ok_or_else(|| place.at(entry, MapFault::UnknownMechanism { name: name.clone() }))?;
        let number = place.number(entry, operation.may_be_zero())?;
        if mechanisms.contains_key(&operation) {
            return Err(place.at(entry, MapFault::TwoNames { names: operation.names(suite) }));
        }
        if let Some((other, _)) = mechanisms.iter().find(|(_, taken)| **taken == number) {
            let (first, second) = (other.name(suite), operation.name(suite));
            return Err(place.at(entry, MapFault::SameMechanism { number, first, second }));
        }
        mechanisms.insert(operation, number);
    }
    Ok(mechanisms)
}

/// With "ecb" the wrap is the number of the cipher's ECB mode.
fn key_wrap(
    place: &Place<'_>,
    file: &MapFile,
    mechanisms: &mut BTreeMap<Operation, CK_MECHANISM_TYPE>,
) -> Result<KeyWrap, MapError> {
    let wrap = file.encodings.key_wrap();
    if wrap == KeyWrap::Ecb {
        let ecb = mechanisms.get(&Operation::Ecb).copied();
        let (Some(ecb), false) = (ecb, mechanisms.contains_key(&Operation::KeyWrap)) else {
            let (wrap, ecb) = (Operation::KeyWrap.name(file.suite()), Operation::Ecb.name(file.suite()));
            return Err(place.error(None, MapFault::KeyWrap { wrap, ecb }));
        };
        mechanisms.insert(Operation::KeyWrap, ecb);
    }
    Ok(wrap)
}
