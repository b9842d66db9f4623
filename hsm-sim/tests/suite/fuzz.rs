//! Thirty thousand calls with random templates: none breaks the library, none opens a key.

use cryptoki_sys::*;

use crate::harness::*;

/// A small generator, so that a failing run can be repeated.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        (self.number() % sides as u64) as usize
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}

#[test]
fn random_templates_never_break_the_library() {
    const CALLS: usize = 30_000;
    if !alone("fuzz::random_templates_never_break_the_library") {
        return;
    }
    let s = user_token();
    let mut dice = Dice(0x5eed_1234_5678_9abc);
    let types = [
        CKA_CLASS,
        CKA_KEY_TYPE,
        CKA_VALUE,
        CKA_VALUE_LEN,
        CKA_LABEL,
        CKA_ID,
        CKA_ALLOWED_MECHANISMS,
        CKA_EC_POINT,
        CKA_EC_PARAMS,
        CKA_CHECK_VALUE,
        CKA_TOKEN,
        CKA_PRIVATE,
        CKA_SENSITIVE,
        CKA_EXTRACTABLE,
        CKA_WRAP,
        CKA_UNWRAP,
        CKA_DERIVE,
        CKA_ENCRYPT,
        CKA_DECRYPT,
        CKA_SIGN,
        CKA_TRUSTED,
        CKA_LOCAL,
        CKA_APPLICATION,
        CKA_MODULUS,
        0xdead_beef,
    ];
    let numbers = [0, 1, 2, 3, 4, 8, 16, 32, CKK_SM4, CKK_SM2, CKK_GENERIC_SECRET, SM4_ECB, CK_ULONG::MAX];
    let templates = [CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE];
    let (mut done, mut panicked) = (0, 0);
    let mut keys = vec![0, 1, 2, 3];
    for _ in 0..CALLS {
        let mut attributes = Vec::new();
        for _ in 0..dice.roll(9) {
            let kind = dice.pick(&types);
            attributes.push(match dice.roll(6) {
                0 | 1 => A::B(kind, dice.roll(2) == 0),
                2 | 3 => A::U(kind, dice.pick(&numbers)),
                4 => A::D(kind, vec![dice.roll(256) as u8; dice.pick(&[0, 1, 2, 8, 16, 24, 32, 65, 67, 300])]),
                _ => {
                    let mut nested = vec![A::B(dice.pick(&types), true), A::U(CKA_KEY_TYPE, dice.pick(&numbers))];
                    for _ in 0..dice.roll(9) {
                        nested = vec![A::T(dice.pick(&templates), nested), A::B(CKA_DERIVE, true)];
                    }
                    A::T(dice.pick(&templates), nested)
                }
            });
        }
        attributes.extend([A::B(CKA_TOKEN, false)].into_iter().take(dice.roll(2)));
        let attributes =
            without(&attributes, 0).into_iter().filter(|a| *a != A::B(CKA_TOKEN, true)).collect::<Vec<_>>();
        let key = dice.pick(&keys);
        let outcome = match dice.roll(9) {
            0 => s.create(&attributes),
            1 => s.generate(&attributes),
            2 => s.pair(&attributes, &attributes).map(|(public, _)| public),
            3 => s.derive(key, &[3; 16], &attributes),
            4 => s.copy(key, &attributes),
            5 => s.set(key, &attributes).map(|()| key),
            6 => s.unwrap(dice.pick(&[KEY_WRAP, GCM, SM2_ENCRYPT]), key, &[9; 60], &attributes),
            7 => s.wrap(dice.pick(&[KEY_WRAP, GCM, SM2_ENCRYPT]), key, dice.pick(&keys)).map(|_| key),
            _ => Ok(s.find(&attributes).first().copied().unwrap_or(0)),
        };
        match outcome {
            Ok(made) if keys.len() < 200 => keys.push(made),
            Ok(_) => done += 1,
            Err(rv) => panicked += usize::from(rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED),
        }
    }
    assert_eq!(panicked, 0, "calls that failed inside");
    assert!(done + keys.len() > 1000, "only {} calls succeeded: the dice are too wild", done + keys.len());
    // Whatever came of it, no secret is readable that must not be, and no key has two purposes.
    for object in s.find(&[A::U(CKA_CLASS, CKO_SECRET_KEY)]) {
        let guarded = s.flag(object, CKA_SENSITIVE) || !s.flag(object, CKA_EXTRACTABLE);
        assert_eq!(s.get(object, CKA_VALUE).is_err(), guarded);
        let granted: Vec<bool> =
            [CKA_ENCRYPT, CKA_SIGN, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE].map(|kind| s.flag(object, kind)).into();
        assert!(granted.iter().filter(|granted| **granted).count() <= 1);
        assert!(!s.flag(object, CKA_TRUSTED));
    }
}
