//! The terminal: reports, prompts, passwords, the exact `Yes`, progress.
//!
//! Prompts exist here and nowhere else. Guards: text that came from outside cannot move the cursor; a
//! confirmation is the word `Yes` and nothing shorter; passwords are never echoed.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use kms_core::digest::Digest;
use kms_core::render::Line;
use kms_core::secret::Pin;
use zeroize::Zeroize;

use crate::failure::{Exit, Failure, Outcome};

/// Columns of the label in a report.
const LABEL_COLUMNS: usize = 24;

/// Prints one line to standard output. A closed pipe is the reader's choice, not an error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", printable(text));
}

/// Prints one line to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
}

/// Prints `label: value`, aligned.
pub(crate) fn field(label: &str, value: impl std::fmt::Display) {
    indented(0, label, &value.to_string());
}

/// Prints the rendering of a plan.
pub(crate) fn lines(lines: &[Line]) {
    for line in lines {
        indented(usize::from(line.depth), &line.label, &line.value);
    }
}

/// Prints a digest in hex, and as words to read aloud.
pub(crate) fn digest(label: &str, digest: &Digest) {
    field(label, digest);
    field("  read aloud", digest.words().join(" "));
}

/// Prints JSON for machines.
pub(crate) fn json(value: &impl serde::Serialize) -> Outcome<()> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::internal)?;
    say_raw(&text);
    Ok(())
}

/// Prints a failure: what, findings, what to do.
pub(crate) fn failure(failure: &Failure) {
    let mut what = failure.what.lines();
    note(&format!("error: {}", what.next().unwrap_or_default()));
    // Parsers point at a place with several lines.
    for line in what.chain(failure.lines.iter().flat_map(|line| line.lines())) {
        note(&format!("  {line}"));
    }
    note(&format!("what to do: {}", failure.next));
}

/// Asks for the exact word `Yes`.
pub(crate) fn confirm(question: &str) -> Outcome<()> {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{}\nType Yes to go on: ", printable(question));
    let _ = stderr.flush();
    drop(stderr);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let said_yes = read.is_ok() && answer.trim_end_matches(['\n', '\r']) == "Yes";
    if said_yes {
        Ok(())
    } else {
        Err(Failure::new(
            Exit::Declined,
            "nothing was done: the answer was not `Yes`",
            "repeat the command and type Yes, with a capital Y",
        ))
    }
}

/// Confirms what a digest names: on the terminal with `Yes`, or beforehand with `--yes-digest`.
pub(crate) fn confirm_digest(found: &Digest, expected: Option<&Digest>, question: &str) -> Outcome<()> {
    match expected {
        None => confirm(question),
        Some(expected) if expected == found => Ok(()),
        Some(expected) => Err(Failure::new(
            Exit::Declined,
            format!("nothing was signed: --yes-digest is {expected}, the digest is {found}"),
            "read what was shown; give the digest only of what you mean to sign",
        )),
    }
}

/// Asks for a password without echo; twice when it is new.
pub(crate) fn password(what: &str, is_new: bool) -> Outcome<Pin> {
    let mut first = prompt_hidden(&format!("{what}: "))?;
    if is_new {
        let mut second = prompt_hidden(&format!("{what}, again: "))?;
        let same = first == second;
        second.zeroize();
        if !same {
            first.zeroize();
            return Err(Failure::input("the two passwords differ", "repeat the command"));
        }
    }
    Pin::try_from(first).map_err(|reason| Failure::input(reason.to_string(), "choose a password of 1 to 256 bytes"))
}

fn prompt_hidden(prompt: &str) -> Outcome<String> {
    rpassword::prompt_password(prompt).map_err(|error| {
        Failure::input(
            format!("cannot ask for a secret: {error}"),
            "run it at a terminal, or give a file (--password-file, --pin-file, --so-pin-file)",
        )
    })
}

/// A progress bar on standard error; silent when that is no terminal.
pub(crate) fn progress(total: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("  {msg} [{bar:40}] {pos}/{len} {elapsed}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

/// Text without anything that could move a cursor, begin a line or reorder what is read.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmless(c) { c } else { '\u{FFFD}' }).collect()
}

fn is_harmless(c: char) -> bool {
    let reorders = matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    !(c.is_control() || reorders)
}

/// Prints text that this program made itself and may have set in bold.
pub(crate) fn say_styled(text: &str) {
    say_raw(text);
}

fn say_raw(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn indented(depth: usize, label: &str, value: &str) {
    let margin = "  ".repeat(depth);
    if value.is_empty() {
        return say(&format!("{margin}{label}"));
    }
    let width = LABEL_COLUMNS.saturating_sub(margin.len());
    say(&format!("{margin}{label:<width$} {value}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_defused() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202E}c"), "a\u{FFFD}[2Jb\u{FFFD}c");
        assert_eq!(printable("company\n  environment  test"), "company\u{FFFD}  environment  test");
    }

    #[test]
    fn another_digest_is_not_a_yes() {
        let (shown, meant) = (Digest::of(b"shown"), Digest::of(b"meant"));
        assert!(confirm_digest(&shown, Some(&shown), "").is_ok());
        assert_eq!(confirm_digest(&shown, Some(&meant), "").map_err(|f| f.exit), Err(Exit::Declined));
    }
}
