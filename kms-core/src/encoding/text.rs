//! Text inside documents and policy files.
//!
//! Not translation and not escaping for a terminal (that is the console's). Guards: two texts that
//! look the same are the same bytes (NFC), and none of them can move a cursor or hide (no controls).

use unicode_normalization::is_nfc;

/// Refuses text that is longer than `bytes_max`, is not in Unicode normal form C, or holds control
/// characters or the invisible characters that reorder what people read.
pub fn check_text(text: &str, bytes_max: usize) -> Result<(), InvalidText> {
    if text.len() > bytes_max {
        return Err(InvalidText::TooLong { limit: bytes_max, found: text.len() });
    }
    if let Some(character) = text.chars().find(|character| is_hidden(*character)) {
        return Err(InvalidText::Hidden { code_point: u32::from(character) });
    }
    if !is_nfc(text) {
        return Err(InvalidText::NotNormalised);
    }
    Ok(())
}

/// Controls, zero-width and bidirectional formatting, line and paragraph separators, BOM.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// Why text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// A control or invisible character.
    #[error("the text holds the invisible character U+{code_point:04X}")]
    Hidden {
        /// Its number.
        code_point: u32,
    },
    /// Not NFC: another byte string would look the same.
    #[error("the text is not in Unicode normal form C")]
    NotNormalised,
    /// Longer than the field allows.
    #[error("the text has {found} bytes, at most {limit} are accepted")]
    TooLong {
        /// For this field.
        limit: usize,
        /// Bytes given.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_and_chinese_text() {
        for text in ["", "reprint after chip failure", "补卡：芯片损坏", "é"] {
            assert_eq!(check_text(text, 64), Ok(()), "{text}");
        }
    }

    #[test]
    fn must_be_refused() {
        for text in ["a\nb", "\u{1b}[2J", "a\u{202E}b", "\u{FEFF}a", "a\u{200B}b", "e\u{301}", "\u{7f}", "\u{85}"] {
            assert!(check_text(text, 64).is_err(), "{text:?}");
        }
        assert_eq!(check_text("abc", 2), Err(InvalidText::TooLong { limit: 2, found: 3 }));
    }
}
