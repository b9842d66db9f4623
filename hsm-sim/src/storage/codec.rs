//! Attributes as bytes. Strict: one encoding per value, and whatever does not encode back to itself is refused.
//!
//! ```text
//! attrs = known:u32 on:u32 count:u16 { type:u64 kind:u8 length:u32 payload } value?:u8 [length:u32 bytes]
//! kind 1 number:u64 · 2 bytes · 3 mechanisms:u64… · 4 attrs        big-endian; entries ascend by type
//! ```

use std::sync::Arc;

use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CKR_DEVICE_ERROR};
use zeroize::Zeroizing;

use crate::{
    attribute::{
        ATTRIBUTES_MAX, Attrs, Flags, Kind, MECHANISMS_MAX, TEMPLATE_DEPTH_MAX, VALUE_BYTES_MAX, Value, kind_of,
    },
    rv::{Result, Rv, ensure},
    secret::Secret,
};

// Stored format: changing these needs a migration.
const NUMBER: u8 = 1;
const BYTES: u8 = 2;
const MECHANISMS: u8 = 3;
const TEMPLATE: u8 = 4;

const BROKEN: Rv = Rv(CKR_DEVICE_ERROR);

/// Encodes; `with_value` says whether CKA_VALUE goes along. The buffer never grows, so no copy of a secret is left.
pub(crate) fn encode(attrs: &Attrs, with_value: bool) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(length(attrs, with_value)));
    write(&mut out, attrs, with_value);
    out
}

fn length(attrs: &Attrs, with_value: bool) -> usize {
    let entries: usize = attrs.rest().iter().map(|(_, value)| 13 + payload_length(value)).sum();
    let value = attrs.value().filter(|_| with_value).map_or(0, |value| 4 + value.len());
    11 + entries + value
}

fn payload_length(value: &Value) -> usize {
    match value {
        Value::Number(_) => 8,
        Value::Bytes(bytes) => bytes.len(),
        Value::Mechanisms(list) => 8 * list.len(),
        Value::Template(template) => length(template, false),
    }
}

fn write(out: &mut Vec<u8>, attrs: &Attrs, with_value: bool) {
    out.extend(attrs.known().bits().to_be_bytes());
    out.extend(attrs.on().bits().to_be_bytes());
    out.extend((attrs.rest().len() as u16).to_be_bytes());
    for (attribute, value) in attrs.rest() {
        out.extend(attribute.to_be_bytes());
        let kind = match value {
            Value::Number(_) => NUMBER,
            Value::Bytes(_) => BYTES,
            Value::Mechanisms(_) => MECHANISMS,
            Value::Template(_) => TEMPLATE,
        };
        out.push(kind);
        out.extend((payload_length(value) as u32).to_be_bytes());
        match value {
            Value::Number(number) => out.extend(number.to_be_bytes()),
            Value::Bytes(bytes) => out.extend_from_slice(bytes),
            Value::Mechanisms(list) => list.iter().for_each(|number| out.extend(number.to_be_bytes())),
            Value::Template(template) => write(out, template, false),
        }
    }
    match attrs.value().filter(|_| with_value) {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            out.extend((value.len() as u32).to_be_bytes());
            out.extend_from_slice(value.expose());
        }
    }
}

/// Decodes all of `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Result<Attrs> {
    let attrs = decode_at_depth(bytes, 0)?;
    ensure(*encode(&attrs, true) == bytes, CKR_DEVICE_ERROR)?;
    Ok(attrs)
}

fn decode_at_depth(bytes: &[u8], depth: usize) -> Result<Attrs> {
    ensure(depth <= TEMPLATE_DEPTH_MAX, CKR_DEVICE_ERROR)?;
    let mut reader = Reader(bytes);
    let known = Flags::from_bits(reader.u32()?).ok_or(BROKEN)?;
    let on = Flags::from_bits(reader.u32()?).ok_or(BROKEN)?;
    ensure(known.has(on), CKR_DEVICE_ERROR)?;
    let mut attrs = Attrs::default();
    attrs.set_all(known, on);
    let count = usize::from(reader.u16()?);
    ensure(count <= ATTRIBUTES_MAX, CKR_DEVICE_ERROR)?;
    for _ in 0..count {
        let attribute: CK_ATTRIBUTE_TYPE = reader.u64()?;
        let kind = reader.u8()?;
        let length = reader.length()?;
        let payload = reader.take(length)?;
        let value = match (kind_of(attribute).ok_or(BROKEN)?, kind) {
            (Kind::Number, NUMBER) => Value::Number(Reader(payload).u64()?),
            (Kind::Bytes, BYTES) => Value::Bytes(payload.into()),
            (Kind::Mechanisms, MECHANISMS) => Value::Mechanisms(decode_mechanisms(payload)?),
            (Kind::Template, TEMPLATE) => Value::Template(Arc::new(decode_at_depth(payload, depth + 1)?)),
            _ => return Err(BROKEN),
        };
        attrs.put(attribute, value);
    }
    if reader.u8()? == 1 {
        let length = reader.length()?;
        attrs.set_value(Arc::new(Secret::copy_of(reader.take(length)?)));
    }
    ensure(reader.0.is_empty(), CKR_DEVICE_ERROR)?;
    Ok(attrs)
}

fn decode_mechanisms(payload: &[u8]) -> Result<Arc<[u64]>> {
    let (numbers, trailing) = payload.as_chunks::<8>();
    ensure(trailing.is_empty() && numbers.len() <= MECHANISMS_MAX, CKR_DEVICE_ERROR)?;
    Ok(numbers.iter().map(|number| u64::from_be_bytes(*number)).collect())
}

/// Takes fixed-size parts off the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(BROKEN)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk().ok_or(BROKEN)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A length field, bounded.
    pub(crate) fn length(&mut self) -> Result<usize> {
        let length = self.u32()? as usize;
        ensure(length <= VALUE_BYTES_MAX * 2, CKR_DEVICE_ERROR)?;
        Ok(length)
    }
}
