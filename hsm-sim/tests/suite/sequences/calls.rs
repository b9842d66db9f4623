//! The calls that a random player makes.

use std::ptr::null_mut;

use cryptoki_sys::*;

use super::{Player, ROOM};
use crate::harness::*;

impl Player {
    /// One call.
    pub(super) fn play(&mut self) -> Rv<()> {
        let (lib, s) = (self.lib, self.session());
        let size = self.size();
        let from = self.from(size);
        match self.dice.roll(64) {
            0 => {
                let flags =
                    self.dice.pick(&[0, CKF_SERIAL_SESSION, CKF_SERIAL_SESSION | CKF_RW_SESSION, CK_ULONG::MAX]);
                let mut made = 0;
                let outcome = call!(lib, C_OpenSession, self.slot(), flags, null_mut(), None, &mut made);
                if outcome.is_ok() && self.sessions.len() < 50 {
                    self.sessions.push(made);
                }
                outcome
            }
            1 if self.dice.roll(20) == 0 => call!(lib, C_CloseAllSessions, self.slot()),
            1 => call!(lib, C_CloseSession, s),
            2 => {
                let pin = self.dice.pick(&[USER_PIN, USER_PIN, SO_PIN, ""]);
                let user = self.dice.pick(&[CKU_USER, CKU_USER, CKU_SO, CKU_CONTEXT_SPECIFIC, 77]);
                // Wrong PINs would lock the token and end the game.
                let right = (user == CKU_USER) == (pin == USER_PIN);
                let pin = if right { pin } else { return Ok(()) };
                call!(lib, C_Login, s, user, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG)
            }
            3 if self.dice.roll(10) == 0 => call!(lib, C_Logout, s),
            4 => call!(lib, C_GetSessionInfo, s, self.output.as_mut_ptr().cast()),
            5 => {
                let (list, count) = self.pair();
                let made = &raw mut self.handle;
                self.made(call!(lib, C_CreateObject, s, list, count, made))
            }
            6 => {
                let (list, count) = self.pair();
                let (object, made) = (self.object(), &raw mut self.handle);
                self.made(call!(lib, C_CopyObject, s, object, list, count, made))
            }
            7 => call!(lib, C_DestroyObject, s, self.object()),
            8 => call!(lib, C_GetObjectSize, s, self.object(), &mut self.length),
            9..12 => {
                let (list, count) = self.pair();
                let room = ROOM as CK_ULONG;
                let templates = [CKA_DERIVE_TEMPLATE, CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE];
                for attribute in &mut self.template.list {
                    // What stands in the room for a template is read as pointers: random ones are the caller's fault.
                    let no_room = templates.contains(&{ attribute.type_ }) || self.dice.roll(3) == 0;
                    attribute.pValue = if no_room { null_mut() } else { self.output.as_mut_ptr().cast() };
                    attribute.ulValueLen = self.dice.pick(&[0, 1, 8, room]);
                }
                let object = self.object();
                call!(lib, C_GetAttributeValue, s, object, list, count)
            }
            12 => {
                let (list, count) = self.pair();
                let object = self.object();
                call!(lib, C_SetAttributeValue, s, object, list, count)
            }
            13 => {
                let (list, count) = self.pair();
                call!(lib, C_FindObjectsInit, s, list, count)
            }
            14 => {
                call!(lib, C_FindObjects, s, self.output.as_mut_ptr().cast(), (ROOM / 8) as CK_ULONG, &mut self.length)
            }
            15 => call!(lib, C_FindObjectsFinal, s),
            16..19 => {
                let (how, key) = (self.mechanism(), self.object());
                call!(lib, C_EncryptInit, s, how, key)
            }
            19 => {
                let (out, length) = self.to();
                call!(lib, C_Encrypt, s, from, size, out, length)
            }
            20 => {
                let (out, length) = self.to();
                call!(lib, C_EncryptUpdate, s, from, size, out, length)
            }
            21 => {
                let (out, length) = self.to();
                call!(lib, C_EncryptFinal, s, out, length)
            }
            22..25 => {
                let (how, key) = (self.mechanism(), self.object());
                call!(lib, C_DecryptInit, s, how, key)
            }
            25 => {
                let (out, length) = self.to();
                call!(lib, C_Decrypt, s, from, size, out, length)
            }
            26 => {
                let (out, length) = self.to();
                call!(lib, C_DecryptUpdate, s, from, size, out, length)
            }
            27 => {
                let (out, length) = self.to();
                call!(lib, C_DecryptFinal, s, out, length)
            }
            28 => {
                let how = self.mechanism();
                call!(lib, C_DigestInit, s, how)
            }
            29 => {
                let (out, length) = self.to();
                call!(lib, C_Digest, s, from, size, out, length)
            }
            30 => call!(lib, C_DigestUpdate, s, from, size),
            31 => call!(lib, C_DigestKey, s, self.object()),
            32 => {
                let (out, length) = self.to();
                call!(lib, C_DigestFinal, s, out, length)
            }
            33..36 => {
                let (how, key) = (self.mechanism(), self.object());
                call!(lib, C_SignInit, s, how, key)
            }
            36 => {
                let (out, length) = self.to();
                call!(lib, C_Sign, s, from, size, out, length)
            }
            37 => call!(lib, C_SignUpdate, s, from, size),
            38 => {
                let (out, length) = self.to();
                call!(lib, C_SignFinal, s, out, length)
            }
            39..42 => {
                let (how, key) = (self.mechanism(), self.object());
                call!(lib, C_VerifyInit, s, how, key)
            }
            42 => {
                let given = self.size();
                let signature = self.from(given);
                call!(lib, C_Verify, s, from, size, signature, given)
            }
            43 => call!(lib, C_VerifyUpdate, s, from, size),
            44 => call!(lib, C_VerifyFinal, s, from, size),
            45..49 => {
                let how = self.mechanism();
                let (list, count) = self.pair();
                let made = &raw mut self.handle;
                self.made(call!(lib, C_GenerateKey, s, how, list, count, made))
            }
            49 | 50 => {
                let how = self.mechanism();
                let (list, count) = self.pair();
                self.more = self.attributes();
                let (others, other_count) = (self.more.list.as_mut_ptr(), self.more.list.len() as CK_ULONG);
                let (public, private) = (&raw mut self.handle, &raw mut self.second);
                let outcome = call!(lib, C_GenerateKeyPair, s, how, list, count, others, other_count, public, private);
                if outcome.is_ok() {
                    self.objects.push(self.second);
                }
                self.made(outcome)
            }
            51..53 => {
                let how = self.mechanism();
                let (key, target) = (self.object(), self.object());
                let (out, length) = self.to();
                call!(lib, C_WrapKey, s, how, key, target, out, length)
            }
            53..55 => {
                let how = self.mechanism();
                let key = self.object();
                let (list, count) = self.pair();
                let made = &raw mut self.handle;
                self.made(call!(lib, C_UnwrapKey, s, how, key, from, size, list, count, made))
            }
            55..58 => {
                let how = self.mechanism();
                let key = self.object();
                let (list, count) = self.pair();
                let made = &raw mut self.handle;
                self.made(call!(lib, C_DeriveKey, s, how, key, list, count, made))
            }
            58 => call!(lib, C_SeedRandom, s, from, size),
            59 => call!(
                lib,
                C_GenerateRandom,
                s,
                self.output.as_mut_ptr(),
                if size > ROOM as CK_ULONG { CK_ULONG::MAX } else { size }
            ),
            60 => {
                self.length = (ROOM / 8) as CK_ULONG;
                call!(lib, C_GetMechanismList, self.slot(), self.output.as_mut_ptr().cast(), &mut self.length)
            }
            61 => {
                let (out, length) = self.to();
                call!(lib, C_GetOperationState, s, out, length)
            }
            62 => call!(lib, C_GetTokenInfo, self.slot(), self.output.as_mut_ptr().cast()),
            _ => call!(lib, C_GetSlotInfo, self.slot(), self.output.as_mut_ptr().cast()),
        }
    }

    /// Remembers what was made.
    fn made(&mut self, outcome: Rv<()>) -> Rv<()> {
        if outcome.is_ok() && self.objects.len() < 300 {
            self.objects.push(self.handle);
        }
        outcome
    }
}
