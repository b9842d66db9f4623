//! Card lists.

use std::collections::HashSet;

use kms_core::{
    cards::{
        CardList, InvalidCardNumber, LINE_ERRORS_MAX, LineErrorReason as Reason, SYNTHETIC_REGION, synthetic,
        synthetic_csv,
    },
    digest::Digest,
    diversify::InvalidCardFactor,
    encoding::InvalidText,
};

const HEADER: &str = "card_number,factor\n";
const LONG_HEADER: &str = "card_number,factor,replacement,reason\n";
const CARD: &str = "11010519491231002X,0102030405060708";
const OTHER: &str = "440524188001010014,0102030405060709";

/// Line and reason of all errors, or nothing.
fn errors(list: &str) -> Vec<(usize, Reason)> {
    let Err(errors) = CardList::parse(list.as_bytes()) else { return Vec::new() };
    assert_eq!(errors.first().len(), errors.total());
    errors.first().iter().map(|error| (error.line, error.reason)).collect()
}

#[test]
fn a_short_list() {
    let text = format!("{HEADER}{CARD}\n{OTHER}\n");
    let list = CardList::parse(text.as_bytes()).unwrap();
    assert_eq!((list.len(), list.replacements()), (2, 0));
    assert_eq!(list.cards()[0].number().expose(), b"11010519491231002X");
    assert_eq!(list.cards()[1].factor().to_string(), "0102030405060709");
    assert_eq!(list.digest(), Digest::of(text.as_bytes()));
}

#[test]
fn replacements_have_a_reason() {
    let text = format!("{LONG_HEADER}{CARD},,\n{OTHER},replacement,芯片损坏 chip failure\n");
    let list = CardList::parse(text.as_bytes()).unwrap();
    assert_eq!(list.replacements(), 1);
    assert!(list.cards()[0].replacement().is_none());
    assert_eq!(list.cards()[1].replacement().unwrap().as_str(), "芯片损坏 chip failure");
}

#[test]
fn byte_order_mark_line_ends_and_last_line() {
    for text in [
        format!("\u{FEFF}{HEADER}{CARD}\n"),
        format!("{HEADER}{CARD}"),
        format!("{HEADER}{CARD}\n{OTHER}\n").replace('\n', "\r\n"),
        format!("{HEADER}{}\n", CARD.replace("0102030405060708", "A1B2C3D4E5F60718")),
    ] {
        assert_eq!(errors(&text), [], "{text}");
    }
}

#[test]
fn lists_must_be_refused() {
    let twice = |reason| vec![(3, reason)];
    for (list, expected) in [
        (String::new(), vec![(1, Reason::Header)]),
        ("number,factor\n".to_owned() + CARD, vec![(1, Reason::Header)]),
        (CARD.to_owned(), vec![(1, Reason::Header)]),
        (HEADER.to_uppercase() + CARD, vec![(1, Reason::Header)]),
        (HEADER.to_owned(), vec![(1, Reason::NoCards)]),
        (format!("{HEADER}{CARD}\n\n"), vec![(3, Reason::EmptyLine)]),
        (format!("{HEADER}\n{CARD}\n"), vec![(2, Reason::EmptyLine)]),
        (format!("{HEADER}{CARD},\n"), vec![(2, Reason::Fields { expected: 2, found: 3 })]),
        (format!("{LONG_HEADER}{CARD}\n"), vec![(2, Reason::Fields { expected: 4, found: 2 })]),
        (format!("{HEADER}\"{CARD}\n"), vec![(2, Reason::Quote)]),
        (format!("{HEADER} {CARD}\n"), vec![(2, Reason::CardNumber(InvalidCardNumber::Length { found: 19 }))]),
        (format!("{HEADER}{CARD} \n"), vec![(2, Reason::Factor(InvalidCardFactor::Digits))]),
        (
            format!("{HEADER}{}\n", CARD.replace('X', "1")),
            vec![(2, Reason::CardNumber(InvalidCardNumber::CheckCharacter))],
        ),
        (
            format!("{HEADER}{},3431303030303030\n", &CARD[..18]),
            vec![(2, Reason::Factor(InvalidCardFactor::RegionForm))],
        ),
        (format!("{HEADER}{},{}\n", &CARD[..18], "0".repeat(16)), vec![(2, Reason::Factor(InvalidCardFactor::Blank))]),
        (format!("{HEADER}{}\n", "1".repeat(257)), vec![(2, Reason::LineTooLong { found: 257 })]),
        (
            format!("{HEADER}{CARD}\n{CARD}\n"),
            vec![(3, Reason::DuplicateNumber { first_line: 2 }), (3, Reason::DuplicateFactor { first_line: 2 })],
        ),
        (
            format!("{HEADER}{CARD}\n{},0102030405060708\n", &OTHER[..18]),
            twice(Reason::DuplicateFactor { first_line: 2 }),
        ),
        (
            format!("{HEADER}{CARD}\n{},0102030405060709\n", &CARD[..18]),
            twice(Reason::DuplicateNumber { first_line: 2 }),
        ),
        (format!("{LONG_HEADER}{CARD},replacement,\n"), vec![(2, Reason::ReasonWithoutReplacement)]),
        (format!("{LONG_HEADER}{CARD},,lost\n"), vec![(2, Reason::ReasonWithoutReplacement)]),
        (format!("{LONG_HEADER}{CARD},yes,lost\n"), vec![(2, Reason::Replacement)]),
        (format!("{LONG_HEADER}{CARD},replacement,e\u{301}\n"), vec![(2, Reason::Reason(InvalidText::NotNormalised))]),
        (
            format!("{LONG_HEADER}{CARD},replacement,{}\n", "x".repeat(129)),
            vec![(2, Reason::Reason(InvalidText::TooLong { limit: 128, found: 129 }))],
        ),
        (
            format!("{LONG_HEADER}{CARD},replacement,a\u{202E}b\n"),
            vec![(2, Reason::Reason(InvalidText::Hidden { code_point: 0x202E }))],
        ),
    ] {
        assert_eq!(errors(&list), expected, "{list}");
    }
    assert_eq!(CardList::parse(b"card_number,factor\n\xFF\xFE\n").unwrap_err().first()[0].reason, Reason::NotUtf8);
}

#[test]
fn all_errors_are_counted_and_the_first_are_told_by_line() {
    let good = synthetic_csv(300, 1);
    let bad = good.replace(",8", ",z").replace(",9", ",z").replace(",a", ",z").replace(",b", ",z");
    let errors = CardList::parse(bad.as_bytes()).unwrap_err();
    assert_eq!((errors.first().len(), errors.total()), (LINE_ERRORS_MAX, 300));
    assert_eq!(errors.first()[99].line, 101);
    assert!(errors.to_string().ends_with("… and 200 more"));
}

#[test]
fn duplicates_name_the_first_line() {
    let mut lines: Vec<_> = synthetic_csv(50, 2).lines().map(str::to_owned).collect();
    let again = lines[10].clone();
    lines.push(again.clone());
    lines.push(again);
    let found = errors(&lines.join("\n"));
    let numbers: Vec<_> = found.iter().filter(|(_, reason)| matches!(reason, Reason::DuplicateNumber { .. })).collect();
    let duplicate = Reason::DuplicateNumber { first_line: 11 };
    assert_eq!(numbers, [&(52, duplicate), &(53, duplicate)]);
    assert_eq!(found.len(), 4);
}

#[test]
fn errors_and_debug_hold_no_personal_data() {
    let text = format!("{HEADER}{CARD}\n{CARD}\n{}\n", CARD.replace('X', "1"));
    let errors = CardList::parse(text.as_bytes()).unwrap_err();
    let list = CardList::parse(format!("{HEADER}{CARD}\n").as_bytes()).unwrap();
    for told in [format!("{errors}"), format!("{errors:?}"), format!("{list:?}"), format!("{:?}", list.cards())] {
        assert!(!told.contains("1101") && !told.contains("1949"), "{told}");
    }
}

#[test]
fn synthetic_cards_are_valid_distinct_and_of_no_region() {
    let list = synthetic(5000, 7).unwrap();
    let numbers: HashSet<_> = list.cards().iter().map(|card| *card.number().expose()).collect();
    let factors: HashSet<_> = list.cards().iter().map(|card| card.factor()).collect();
    assert_eq!((numbers.len(), factors.len()), (5000, 5000));
    assert!(numbers.iter().all(|number| number.starts_with(SYNTHETIC_REGION.as_bytes())));
    assert_eq!(synthetic_csv(100, 7), synthetic_csv(100, 7));
    assert_ne!(synthetic_csv(100, 7), synthetic_csv(100, 8));
    assert!(synthetic(0, 7).is_err());
}

#[test]
fn a_million_cards_and_not_one_more() {
    assert_eq!(synthetic(1_000_000, u64::MAX).unwrap().len(), 1_000_000);
    // Bad lines count too, so that a list of nothing else stops at the same number.
    let bad_lines = format!("{HEADER}{CARD}\n{}", "\n".repeat(2_000_000));
    let errors = CardList::parse(bad_lines.as_bytes()).unwrap_err();
    assert_eq!(errors.total(), 1_000_000);
    assert_eq!(errors.first()[0].reason, Reason::EmptyLine);
}
