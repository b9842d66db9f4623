//! Durations as policy files write them: the part of ISO 8601 that has one length.
//!
//! Guards: `P1M` and `P1Y` are refused, because a month has no fixed length.

/// Milliseconds of an ISO 8601 duration of weeks (`P2W`) or days, hours, minutes and seconds
/// (`P7D`, `PT12H`, `P1DT6H30M`): upper case, whole numbers, each unit once and in order.
pub fn parse_duration_ms(text: &str) -> Result<u64, InvalidDuration> {
    let rest = text.strip_prefix('P').ok_or(InvalidDuration)?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return Err(InvalidDuration),
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(InvalidDuration);
    }
    if let Some(weeks) = date.strip_suffix('W') {
        let ms = number(weeks)?.checked_mul(7 * DAY_MS).ok_or(InvalidDuration)?;
        return if time.is_empty() { Ok(ms) } else { Err(InvalidDuration) };
    }
    let days = sum(date, &[('D', DAY_MS)])?;
    let time = sum(time, &[('H', HOUR_MS), ('M', MINUTE_MS), ('S', SECOND_MS)])?;
    days.checked_add(time).ok_or(InvalidDuration)
}

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Digits of the longest number.
const DIGITS_MAX: usize = 9;

/// Numbers before unit letters, each letter at most once and in this order.
fn sum(text: &str, units: &[(char, u64)]) -> Result<u64, InvalidDuration> {
    let mut rest = text;
    let mut total = 0u64;
    for (letter, unit_ms) in units {
        if let Some((digits, after)) = rest.split_once(*letter) {
            let ms = number(digits)?.checked_mul(*unit_ms).ok_or(InvalidDuration)?;
            total = total.checked_add(ms).ok_or(InvalidDuration)?;
            rest = after;
        }
    }
    if rest.is_empty() { Ok(total) } else { Err(InvalidDuration) }
}

fn number(digits: &str) -> Result<u64, InvalidDuration> {
    let clean = (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    if clean { digits.parse().map_err(|_| InvalidDuration) } else { Err(InvalidDuration) }
}

/// Not a duration of fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration is ISO 8601 with weeks, or with days, hours, minutes and seconds, such as P7D or PT12H")]
pub struct InvalidDuration;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted() {
        for (text, ms) in [
            ("P7D", 604_800_000),
            ("P1W", 604_800_000),
            ("PT12H", 43_200_000),
            ("P1DT6H30M", 109_800_000),
            ("PT1S", 1000),
            ("P0D", 0),
        ] {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn must_be_refused() {
        for text in [
            "",
            "P",
            "PT",
            "7D",
            "P7",
            "P7d",
            "p7D",
            "P1M",
            "P1Y",
            "P1DT",
            "PT1.5H",
            "P-1D",
            "P+1D",
            "PT1M1H",
            "P1D1D",
            "P1W1D",
            "P1WT1H",
            " P7D",
            "P7D ",
            "P1H",
            "PT1D",
            "P9999999999D",
            "P１D",
            "PT1H1H",
        ] {
            assert_eq!(parse_duration_ms(text), Err(InvalidDuration), "{text}");
        }
    }
}
