//! Bytes to cards.

use super::{
    CARDS_MAX, CardListErrors, CardNumber, LINE_BYTES_MAX, LINE_ERRORS_MAX, LIST_BYTES_MAX, LineError,
    LineErrorReason as Reason, REASON_BYTES_MAX, ValidCard,
};
use crate::{diversify::CardFactor, encoding::check_text};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const SHORT_HEADER: &[u8] = b"card_number,factor";
const LONG_HEADER: &[u8] = b"card_number,factor,replacement,reason";
const REPLACEMENT: &str = "replacement";

/// Line of the first card.
const FIRST_CARD_LINE: usize = 2;

pub(super) fn parse(bytes: &[u8]) -> Result<Vec<ValidCard>, CardListErrors> {
    let mut errors = Errors::default();
    if bytes.len() > LIST_BYTES_MAX {
        return Err(errors.and(1, Reason::ListTooLong { found: bytes.len() }));
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n').map(without_cr);
    let columns = match lines.next() {
        Some(SHORT_HEADER) => 2,
        Some(LONG_HEADER) => 4,
        _ => return Err(errors.and(1, Reason::Header)),
    };
    let mut cards = Vec::new();
    let mut line_numbers = Vec::new();
    for (line_number, line) in (FIRST_CARD_LINE..).zip(lines) {
        // Bad lines count too: they must not fill memory with errors.
        if cards.len() + errors.total == CARDS_MAX {
            return Err(errors.and(line_number, Reason::TooManyCards));
        }
        match parse_line(line, columns) {
            Ok(card) => {
                cards.push(card);
                line_numbers.push(line_number);
            }
            Err(reason) => errors.push(line_number, reason),
        }
    }
    if cards.is_empty() && errors.total == 0 {
        return Err(errors.and(1, Reason::NoCards));
    }
    find_duplicates(&cards, &line_numbers, &mut errors);
    if errors.total == 0 { Ok(cards) } else { Err(errors.finish()) }
}

fn parse_line(line: &[u8], columns: usize) -> Result<ValidCard, Reason> {
    if line.is_empty() {
        return Err(Reason::EmptyLine);
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(Reason::LineTooLong { found: line.len() });
    }
    let line = str::from_utf8(line).map_err(|_| Reason::NotUtf8)?;
    if line.contains('"') {
        return Err(Reason::Quote);
    }
    let fields: Vec<_> = line.split(',').collect();
    if fields.len() != columns {
        return Err(Reason::Fields { expected: columns, found: fields.len() });
    }
    let number = CardNumber::parse(fields[0])?;
    let factor = CardFactor::from_hex(fields[1])?;
    let replacement = match &fields[2..] {
        [] | ["", ""] => None,
        [REPLACEMENT, reason] if !reason.is_empty() => {
            check_text(reason, REASON_BYTES_MAX)?;
            Some(super::Reason((*reason).into()))
        }
        ["" | REPLACEMENT, _] => return Err(Reason::ReasonWithoutReplacement),
        _ => return Err(Reason::Replacement),
    };
    Ok(ValidCard { number, factor, replacement })
}

/// Sorts positions instead of copying personal data into a map.
fn find_duplicates(cards: &[ValidCard], line_numbers: &[usize], errors: &mut Errors) {
    let mut positions: Vec<usize> = (0..cards.len()).collect();
    positions.sort_by_key(|position| cards[*position].number.expose());
    for (first, again) in equal_runs(&positions, |position| cards[position].number.expose()) {
        errors.push(line_numbers[again], Reason::DuplicateNumber { first_line: line_numbers[first] });
    }
    positions.sort_by_key(|position| cards[*position].factor);
    for (first, again) in equal_runs(&positions, |position| cards[position].factor) {
        errors.push(line_numbers[again], Reason::DuplicateFactor { first_line: line_numbers[first] });
    }
}

/// Pairs (first of a run of equal keys, each later one). Sorting was stable, so the first is the
/// lowest position.
fn equal_runs<K: PartialEq>(positions: &[usize], key: impl Fn(usize) -> K) -> Vec<(usize, usize)> {
    let same = |a: &usize, b: &usize| key(*a) == key(*b);
    let runs = positions.chunk_by(same);
    runs.flat_map(|run| run.iter().skip(1).map(|again| (run[0], *again))).collect()
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Keeps all until the end, so that the first by line are the ones reported.
#[derive(Default)]
struct Errors {
    found: Vec<LineError>,
    total: usize,
}

impl Errors {
    fn push(&mut self, line: usize, reason: Reason) {
        self.found.push(LineError { line, reason });
        self.total += 1;
    }

    fn and(mut self, line: usize, reason: Reason) -> CardListErrors {
        self.push(line, reason);
        self.finish()
    }

    fn finish(mut self) -> CardListErrors {
        self.found.sort_by_key(|error| error.line);
        self.found.truncate(LINE_ERRORS_MAX);
        CardListErrors { first: self.found, total: self.total }
    }
}
