//! Any call, in any order, with any lengths: nothing breaks the library. The seeds are fixed, so that a failing run can be
//! repeated; `HSM_SIM_TEST_SEED` tries another one.

mod calls;

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::{fuzz::Dice, harness::*};

/// Runs with these seeds, each in a process of its own.
const SEEDS: [u64; 11] = [
    1,
    2,
    3,
    77,
    0x5eed_0001,
    0xdead_beef_cafe_f00d,
    0x0123_4567_89ab_cdef,
    0xaaaa_aaaa_5555_5555,
    0x1357_9bdf_0246_8ace,
    0x00c0_ffee_0000_0001,
    0xffff_ffff_0000_0001,
];
const CALLS: usize = 20_000;
/// Room of every buffer that is handed over with an honest length.
const ROOM: usize = 512;

/// What the calls are made of: some of it right, most of it not.
struct Player {
    lib: Lib,
    dice: Dice,
    sessions: Vec<CK_SESSION_HANDLE>,
    objects: Vec<CK_OBJECT_HANDLE>,
    /// On the heap, and handed over so that they end where the stated length does: a sanitizer sees a byte too many.
    input: Box<[u8; ROOM]>,
    output: Box<[u8; ROOM]>,
    length: CK_ULONG,
    handle: CK_OBJECT_HANDLE,
    second: CK_OBJECT_HANDLE,
    gcm: GcmParams,
    data: CK_KEY_DERIVATION_STRING_DATA,
    how: CK_MECHANISM,
    template: Raw,
    more: Raw,
}

impl Player {
    fn session(&mut self) -> CK_SESSION_HANDLE {
        if self.dice.roll(20) == 0 { self.dice.number() } else { self.dice.pick(&self.sessions) }
    }

    fn object(&mut self) -> CK_OBJECT_HANDLE {
        if self.dice.roll(10) == 0 { self.dice.number() } else { self.dice.pick(&self.objects) }
    }

    fn slot(&mut self) -> CK_SLOT_ID {
        self.dice.pick(&[0, 0, 0, 1, 2, CK_ULONG::MAX])
    }

    /// A length that the input really has, or one that no caller means.
    fn size(&mut self) -> CK_ULONG {
        let absurd = [CK_ULONG::MAX, CK_ULONG::MAX / 2, 1 << 32];
        if self.dice.roll(25) == 0 {
            self.dice.pick(&absurd)
        } else {
            self.dice.pick(&[0, 1, 15, 16, 24, 32, 33, 64, 124, 512])
        }
    }

    /// `size` bytes of input, the last of it; of an absurd size the library must not touch any.
    fn from(&mut self, size: CK_ULONG) -> *mut u8 {
        let at = self.dice.roll(ROOM);
        self.input[at] = self.dice.number() as u8;
        let skipped = ROOM.saturating_sub(size as usize);
        if self.dice.roll(12) == 0 { null_mut() } else { self.input.as_mut_ptr().wrapping_add(skipped) }
    }

    /// An output buffer: none, short, or with all its room.
    fn to(&mut self) -> (*mut u8, *mut CK_ULONG) {
        self.length = self.dice.pick(&[0, 1, 16, ROOM as CK_ULONG]);
        let skipped = ROOM - self.length as usize;
        let data = if self.dice.roll(5) == 0 { null_mut() } else { self.output.as_mut_ptr().wrapping_add(skipped) };
        (data, if self.dice.roll(25) == 0 { null_mut() } else { &raw mut self.length })
    }

    fn mechanism(&mut self) -> *mut CK_MECHANISM {
        let all = [
            SM4_KEY_GEN,
            SM4_CBC,
            SM4_CBC_PAD,
            SM4_ECB,
            DIVERSIFY,
            SM2_PAIR_GEN,
            SM2_RAW,
            SM2_SM3,
            SM2_ENCRYPT,
            SM3,
            KEY_WRAP,
            GCM,
            CMAC,
            HMAC,
            XOR_KEYS,
            CKM_SHA256,
            CKM_SHA512_HMAC,
            CKM_GENERIC_SECRET_KEY_GEN,
            CKM_AES_ECB,
            CK_ULONG::MAX,
        ];
        self.how = mech(self.dice.pick(&all), &mut []);
        match self.dice.roll(6) {
            0 => self.how = CK_MECHANISM { mechanism: self.how.mechanism, ..self.gcm.mech() },
            1 => {
                self.data.pData = self.input.as_mut_ptr();
                self.data.ulLen = self.dice.pick(&[0, 1, 16, 32, 512]);
                self.how.pParameter = (&raw mut self.data).cast();
                self.how.ulParameterLen = size_of_val(&self.data) as CK_ULONG;
            }
            2 => {
                self.how.pParameter = self.input.as_mut_ptr().cast();
                self.how.ulParameterLen = self.dice.pick(&[1, 8, 12, 16, 17, 256, 512]);
                let handle = self.object_bytes();
                self.input[..8].copy_from_slice(&handle);
            }
            _ => {}
        }
        if self.dice.roll(25) == 0 { null_mut() } else { &raw mut self.how }
    }

    fn object_bytes(&mut self) -> [u8; 8] {
        self.object().to_ne_bytes()
    }

    fn attributes(&mut self) -> Raw {
        let flags = [
            CKA_TOKEN,
            CKA_PRIVATE,
            CKA_SENSITIVE,
            CKA_EXTRACTABLE,
            CKA_ENCRYPT,
            CKA_DECRYPT,
            CKA_SIGN,
            CKA_VERIFY,
            CKA_WRAP,
            CKA_UNWRAP,
            CKA_DERIVE,
            CKA_TRUSTED,
            CKA_MODIFIABLE,
            CKA_LOCAL,
        ];
        let numbers = [
            (CKA_CLASS, CKO_SECRET_KEY),
            (CKA_CLASS, CKO_DATA),
            (CKA_CLASS, CKO_PUBLIC_KEY),
            (CKA_KEY_TYPE, CKK_SM4),
            (CKA_KEY_TYPE, CKK_SM2),
            (CKA_KEY_TYPE, CKK_GENERIC_SECRET),
            (CKA_VALUE_LEN, 16),
            (CKA_VALUE_LEN, CK_ULONG::MAX),
        ];
        let bytes = [CKA_VALUE, CKA_LABEL, CKA_ID, CKA_EC_POINT, CKA_CHECK_VALUE, CKA_EC_PARAMS, 0xdead];
        let templates = [CKA_DERIVE_TEMPLATE, CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE];
        let one = |dice: &mut Dice| match dice.roll(8) {
            0 | 1 => {
                let (kind, number) = dice.pick(&numbers);
                A::U(kind, number)
            }
            2 => A::D(dice.pick(&bytes), vec![7; dice.pick(&[0, 1, 3, 16, 32, 65])]),
            3 => A::M(vec![SM4_ECB, dice.number()]),
            _ => A::B(dice.pick(&flags), dice.roll(2) == 0),
        };
        let mut list = Vec::new();
        for _ in 0..self.dice.roll(6) {
            list.push(one(&mut self.dice));
        }
        if self.dice.roll(10) == 0 {
            let nested = (0..self.dice.roll(4)).map(|_| one(&mut self.dice)).collect();
            list.push(A::T(self.dice.pick(&templates), nested));
        }
        raw(&list)
    }

    fn pair(&mut self) -> (*mut CK_ATTRIBUTE, CK_ULONG) {
        self.template = self.attributes();
        (self.template.list.as_mut_ptr(), self.template.list.len() as CK_ULONG)
    }
}

#[test]
#[ignore = "a helper of the tests here, not a test"]
fn helper_play() {
    let Ok(seed) = std::env::var("HSM_SIM_TEST_SEED") else { return };
    let s = user_token();
    let mut player = Player {
        lib: s.lib,
        dice: Dice(seed.parse().unwrap()),
        sessions: vec![s.handle],
        objects: vec![0],
        input: Box::new([7; ROOM]),
        output: Box::new([0; ROOM]),
        length: 0,
        handle: 0,
        second: 0,
        gcm: GcmParams::new(&[4; 12], b"aad"),
        data: CK_KEY_DERIVATION_STRING_DATA { pData: null_mut(), ulLen: 0 },
        how: mech(SM3, &mut []),
        template: raw(&[]),
        more: raw(&[]),
    };
    let mut done = 0;
    for at in 0..CALLS {
        // The game goes on when everybody has left.
        if at % 200 == 0 {
            let fresh = s.lib.open_with(0, CKF_SERIAL_SESSION | CKF_RW_SESSION);
            player.sessions.truncate(40);
            player.sessions.extend(fresh.map(|fresh| fresh.handle));
            let last = Session { lib: s.lib, handle: *player.sessions.last().unwrap() };
            _ = last.login(CKU_USER, USER_PIN);
        }
        match player.play() {
            Ok(()) => done += 1,
            Err(rv) => assert!(rv != CKR_GENERAL_ERROR && rv != CKR_FUNCTION_FAILED, "call {at} failed inside"),
        }
    }
    assert!(done > CALLS / 20, "only {done} calls succeeded: the dice are too wild");
    call!(s.lib, C_Finalize, null_mut()).unwrap();
}

#[test]
fn any_sequence_of_calls_leaves_the_library_whole() {
    let other = std::env::var("HSM_SIM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let run = &|seed: u64| {
        let dir = tempfile::tempdir().unwrap();
        let mut command = again("sequences::helper_play", dir.path());
        let output = command.env("HSM_SIM_TEST_SEED", seed.to_string()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "seed {seed}: {}\n{text}\n{errors}", output.status);
    };
    let seeds = other.map_or(SEEDS.to_vec(), |seed| vec![seed]);
    std::thread::scope(|scope| {
        for half in seeds.chunks(seeds.len().div_ceil(2)) {
            scope.spawn(move || half.iter().for_each(|seed| run(*seed)));
        }
    });
}
