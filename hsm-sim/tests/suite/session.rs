//! A session with the calls that tests make, each asking for the length first and expecting it to be exact.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::harness::*;

/// An open session.
pub(crate) struct Session {
    pub(crate) lib: Lib,
    pub(crate) handle: CK_SESSION_HANDLE,
}

type Key = CK_OBJECT_HANDLE;

impl Session {
    pub(crate) fn login(&self, user: CK_ULONG, pin: &str) -> Rv<()> {
        call!(self.lib, C_Login, self.handle, user, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG)
    }

    pub(crate) fn logout(&self) -> Rv<()> {
        call!(self.lib, C_Logout, self.handle)
    }

    /// Changes who is logged in.
    pub(crate) fn become_(&self, user: CK_ULONG) {
        let _ = self.logout();
        self.login(user, if user == CKU_SO { SO_PIN } else { USER_PIN }).unwrap();
    }

    pub(crate) fn init_pin(&self, pin: &str) -> Rv<()> {
        call!(self.lib, C_InitPIN, self.handle, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG)
    }

    pub(crate) fn create(&self, template: &[A]) -> Rv<Key> {
        let (mut raw, mut key) = (raw(template), 0);
        call!(self.lib, C_CreateObject, self.handle, raw.list.as_mut_ptr(), raw.list.len() as CK_ULONG, &mut key)?;
        Ok(key)
    }

    pub(crate) fn copy(&self, object: Key, template: &[A]) -> Rv<Key> {
        let (mut raw, mut key) = (raw(template), 0);
        let count = raw.list.len() as CK_ULONG;
        call!(self.lib, C_CopyObject, self.handle, object, raw.list.as_mut_ptr(), count, &mut key)?;
        Ok(key)
    }

    pub(crate) fn destroy(&self, object: Key) -> Rv<()> {
        call!(self.lib, C_DestroyObject, self.handle, object)
    }

    pub(crate) fn set(&self, object: Key, template: &[A]) -> Rv<()> {
        let mut raw = raw(template);
        call!(self.lib, C_SetAttributeValue, self.handle, object, raw.list.as_mut_ptr(), raw.list.len() as CK_ULONG)
    }

    pub(crate) fn get(&self, object: Key, kind: CK_ATTRIBUTE_TYPE) -> Rv<Vec<u8>> {
        let mut attribute = CK_ATTRIBUTE { type_: kind, pValue: null_mut(), ulValueLen: 0 };
        call!(self.lib, C_GetAttributeValue, self.handle, object, &mut attribute, 1)?;
        let mut bytes = vec![0; attribute.ulValueLen as usize];
        attribute.pValue = bytes.as_mut_ptr().cast();
        call!(self.lib, C_GetAttributeValue, self.handle, object, &mut attribute, 1)?;
        assert_eq!(attribute.ulValueLen as usize, bytes.len());
        Ok(bytes)
    }

    pub(crate) fn flag(&self, object: Key, kind: CK_ATTRIBUTE_TYPE) -> bool {
        self.get(object, kind).unwrap() == [1]
    }

    pub(crate) fn find(&self, template: &[A]) -> Vec<Key> {
        let mut raw = raw(template);
        call!(self.lib, C_FindObjectsInit, self.handle, raw.list.as_mut_ptr(), raw.list.len() as CK_ULONG).unwrap();
        let (mut found, mut count) = (vec![0; 1000], 0);
        call!(self.lib, C_FindObjects, self.handle, found.as_mut_ptr(), 1000, &mut count).unwrap();
        call!(self.lib, C_FindObjectsFinal, self.handle).unwrap();
        found.truncate(count as usize);
        found
    }

    pub(crate) fn by_id(&self, id: &str) -> Vec<Key> {
        self.find(&[A::D(CKA_ID, id.into())])
    }

    pub(crate) fn generate(&self, template: &[A]) -> Rv<Key> {
        self.generate_with(SM4_KEY_GEN, template)
    }

    pub(crate) fn generate_with(&self, number: CK_ULONG, template: &[A]) -> Rv<Key> {
        let (mut raw, mut key, mut how) = (raw(template), 0, mech(number, &mut []));
        let count = raw.list.len() as CK_ULONG;
        call!(self.lib, C_GenerateKey, self.handle, &mut how, raw.list.as_mut_ptr(), count, &mut key)?;
        Ok(key)
    }

    pub(crate) fn pair(&self, public: &[A], private: &[A]) -> Rv<(Key, Key)> {
        self.pair_with(SM2_PAIR_GEN, public, private)
    }

    pub(crate) fn pair_with(&self, number: CK_ULONG, public: &[A], private: &[A]) -> Rv<(Key, Key)> {
        let (mut pb, mut pr, mut how) = (raw(public), raw(private), mech(number, &mut []));
        let (mut public, mut private) = (0, 0);
        let (pb_count, pr_count) = (pb.list.len() as CK_ULONG, pr.list.len() as CK_ULONG);
        let (pb, pr) = (pb.list.as_mut_ptr(), pr.list.as_mut_ptr());
        call!(
            self.lib,
            C_GenerateKeyPair,
            self.handle,
            &mut how,
            pb,
            pb_count,
            pr,
            pr_count,
            &mut public,
            &mut private
        )?;
        Ok((public, private))
    }

    pub(crate) fn derive_with(&self, how: &mut CK_MECHANISM, base: Key, template: &[A]) -> Rv<Key> {
        let (mut raw, mut key) = (raw(template), 0);
        let count = raw.list.len() as CK_ULONG;
        call!(self.lib, C_DeriveKey, self.handle, how, base, raw.list.as_mut_ptr(), count, &mut key)?;
        Ok(key)
    }

    /// Derives by encrypting `block`.
    pub(crate) fn derive(&self, base: Key, block: &[u8], template: &[A]) -> Rv<Key> {
        let mut data =
            CK_KEY_DERIVATION_STRING_DATA { pData: block.as_ptr().cast_mut(), ulLen: block.len() as CK_ULONG };
        let mut how = CK_MECHANISM {
            mechanism: DIVERSIFY,
            pParameter: (&raw mut data).cast(),
            ulParameterLen: size_of_val(&data) as CK_ULONG,
        };
        self.derive_with(&mut how, base, template)
    }

    /// XORs `base` with `others`.
    pub(crate) fn xor(&self, base: Key, others: &[Key], template: &[A]) -> Rv<Key> {
        let mut bytes: Vec<u8> = others.iter().flat_map(|handle| handle.to_ne_bytes()).collect();
        self.derive_with(&mut mech(XOR_KEYS, &mut bytes), base, template)
    }

    /// Asks for the length first, and expects the answer to be exact.
    pub(crate) fn wrap_with(&self, how: &mut CK_MECHANISM, wrapper: Key, key: Key) -> Rv<Vec<u8>> {
        let mut length = 0;
        call!(self.lib, C_WrapKey, self.handle, how, wrapper, key, null_mut(), &mut length)?;
        let asked = length;
        let mut blob = vec![0; length as usize];
        call!(self.lib, C_WrapKey, self.handle, how, wrapper, key, blob.as_mut_ptr(), &mut length)?;
        assert_eq!(length, asked, "the length asked for was not exact");
        Ok(blob)
    }

    pub(crate) fn wrap(&self, number: CK_ULONG, wrapper: Key, key: Key) -> Rv<Vec<u8>> {
        self.wrap_with(&mut mech(number, &mut []), wrapper, key)
    }

    pub(crate) fn unwrap_with(&self, how: &mut CK_MECHANISM, key: Key, blob: &[u8], template: &[A]) -> Rv<Key> {
        let (mut raw, mut new) = (raw(template), 0);
        let (list, count) = (raw.list.as_mut_ptr(), raw.list.len() as CK_ULONG);
        let (blob, size) = (blob.as_ptr().cast_mut(), blob.len() as CK_ULONG);
        call!(self.lib, C_UnwrapKey, self.handle, how, key, blob, size, list, count, &mut new)?;
        Ok(new)
    }

    pub(crate) fn unwrap(&self, number: CK_ULONG, key: Key, blob: &[u8], template: &[A]) -> Rv<Key> {
        self.unwrap_with(&mut mech(number, &mut []), key, blob, template)
    }

    pub(crate) fn encrypt(&self, how: &mut CK_MECHANISM, key: Key, data: &[u8]) -> Rv<Vec<u8>> {
        call!(self.lib, C_EncryptInit, self.handle, how, key)?;
        let (pointer, size, mut length) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG, 0);
        call!(self.lib, C_Encrypt, self.handle, pointer, size, null_mut(), &mut length)?;
        let mut out = vec![0; length as usize];
        call!(self.lib, C_Encrypt, self.handle, pointer, size, out.as_mut_ptr(), &mut length)?;
        assert_eq!(length as usize, out.len(), "the length asked for was not exact");
        Ok(out)
    }

    pub(crate) fn decrypt(&self, how: &mut CK_MECHANISM, key: Key, data: &[u8]) -> Rv<Vec<u8>> {
        call!(self.lib, C_DecryptInit, self.handle, how, key)?;
        let (pointer, size, mut length) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG, 0);
        call!(self.lib, C_Decrypt, self.handle, pointer, size, null_mut(), &mut length)?;
        let mut out = vec![0; length as usize];
        call!(self.lib, C_Decrypt, self.handle, pointer, size, out.as_mut_ptr(), &mut length)?;
        assert_eq!(length as usize, out.len(), "the length asked for was not exact");
        Ok(out)
    }

    pub(crate) fn sign(&self, how: &mut CK_MECHANISM, key: Key, data: &[u8]) -> Rv<Vec<u8>> {
        call!(self.lib, C_SignInit, self.handle, how, key)?;
        let (pointer, size, mut length) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG, 0);
        call!(self.lib, C_Sign, self.handle, pointer, size, null_mut(), &mut length)?;
        let mut out = vec![0; length as usize];
        call!(self.lib, C_Sign, self.handle, pointer, size, out.as_mut_ptr(), &mut length)?;
        assert_eq!(length as usize, out.len(), "the length asked for was not exact");
        Ok(out)
    }

    pub(crate) fn verify(&self, how: &mut CK_MECHANISM, key: Key, data: &[u8], signature: &[u8]) -> Rv<()> {
        call!(self.lib, C_VerifyInit, self.handle, how, key)?;
        let (pointer, size) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        let length = signature.len() as CK_ULONG;
        call!(self.lib, C_Verify, self.handle, pointer, size, signature.as_ptr().cast_mut(), length)
    }

    pub(crate) fn digest(&self, data: &[u8]) -> Rv<Vec<u8>> {
        call!(self.lib, C_DigestInit, self.handle, &mut mech(SM3, &mut []))?;
        let (mut out, mut length) = (vec![0; 32], 32);
        let (pointer, size) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        call!(self.lib, C_Digest, self.handle, pointer, size, out.as_mut_ptr(), &mut length)?;
        Ok(out)
    }
}

/// CK_GCM_PARAMS with what they point to.
pub(crate) struct GcmParams {
    pub(crate) params: CK_GCM_PARAMS,
    _iv: Vec<u8>,
    _aad: Vec<u8>,
}

impl GcmParams {
    pub(crate) fn new(iv: &[u8], aad: &[u8]) -> Self {
        let (mut iv, mut aad) = (iv.to_vec(), aad.to_vec());
        let params = CK_GCM_PARAMS {
            pIv: if iv.is_empty() { null_mut() } else { iv.as_mut_ptr() },
            ulIvLen: iv.len() as CK_ULONG,
            ulIvBits: iv.len() as CK_ULONG * 8,
            pAAD: if aad.is_empty() { null_mut() } else { aad.as_mut_ptr() },
            ulAADLen: aad.len() as CK_ULONG,
            ulTagBits: 128,
        };
        Self { params, _iv: iv, _aad: aad }
    }

    pub(crate) fn mech(&mut self) -> CK_MECHANISM {
        let size = size_of::<CK_GCM_PARAMS>() as CK_ULONG;
        CK_MECHANISM { mechanism: GCM, pParameter: (&raw mut self.params).cast(), ulParameterLen: size }
    }
}
