//! What the documents promise: codes, tests, commands and links that exist.

use std::collections::BTreeSet;

use crate::tree;

/// The kebab-case names between quotes after `=>` or `(` in `text`.
fn quoted_codes(text: &str) -> BTreeSet<String> {
    let quoted = text.split('"').skip(1).step_by(2);
    let kebab = |code: &&str| !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    quoted.filter(kebab).map(str::to_owned).collect()
}

/// Codes of the state machine: every arm of `Violation::code`.
fn violation_codes() -> BTreeSet<String> {
    let text = tree::read("kms-core/src/violation.rs");
    let arms = text.split("pub fn code").nth(1).expect("Violation::code");
    quoted_codes(arms)
}

/// First column of every table of docs/problems.md.
fn documented_codes() -> BTreeSet<String> {
    let text = tree::read("docs/problems.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

#[test]
fn every_problem_code_is_documented() {
    let documented = documented_codes();
    let mut known = violation_codes();
    known.extend(kms_api::problem::Code::ALL.iter().map(|code| code.name().to_owned()));
    assert!(known.len() > 60, "the source of the codes was not read: {known:?}");
    let missing: Vec<_> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/problems.md: {missing:?}");
}

#[test]
fn every_invariant_names_a_test() {
    let text = tree::read("ARCHITECTURE.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| INV-")).collect();
    assert!(rows.len() >= 10, "ARCHITECTURE.md lists its invariants as rows of a table");
    let sources = tree::ending(".rs");
    let decoder = tree::read("tests/independent/test_decode.py");
    for (position, row) in rows.iter().enumerate() {
        let number = row.trim_start_matches("| INV-").split(' ').next().unwrap();
        assert_eq!(number, (position + 1).to_string(), "invariants are numbered without gaps");
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "INV-{number} names no test");
        for name in names {
            let function = format!("fn {}(", name.rsplit("::").next().unwrap());
            let python = format!("def {}(", name.rsplit("::").next().unwrap());
            let exists = sources.iter().any(|source| source.text.contains(&function)) || decoder.contains(&python);
            assert!(exists, "INV-{number} names {name}, which does not exist");
        }
    }
}

#[test]
fn make_targets_exist() {
    let makefile = tree::read("Makefile");
    for path in ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"] {
        let text = tree::read(path);
        for word in text.split("make ").skip(1) {
            let target: String = word.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            let quoted = text.contains(&format!("`make {target}")) || text.contains(&format!("\nmake {target}"));
            if quoted && !target.is_empty() {
                assert!(makefile.contains(&format!("\n{target}:")), "{path}: no target {target}");
            }
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for source in tree::ending(".md") {
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for part in source.text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || target.contains("://") || path.contains(char::is_whitespace) {
                continue;
            }
            let file = tree::root().join(folder).join(path);
            assert!(file.exists(), "{}: {target} leads nowhere", source.path);
        }
    }
}

#[test]
fn decision_records_are_numbered() {
    let records: Vec<_> = tree::ending(".md").into_iter().filter(|s| s.path.starts_with("docs/adr/")).collect();
    assert!(!records.is_empty());
    for (position, record) in records.iter().enumerate() {
        let number = format!("{:04}", position + 1);
        assert!(record.path.starts_with(&format!("docs/adr/{number}-")), "{}: {number} comes next", record.path);
        assert!(record.text.starts_with(&format!("# {number} ")), "{}: the title begins with the number", record.path);
    }
}

/// Every label of a document type has its place in docs/formats.md.
#[test]
fn every_label_is_in_the_formats() {
    let formats = tree::read("docs/formats.md");
    for source in tree::ending(".rs").iter().filter(|s| s.path.starts_with("kms-core/src/")) {
        if source.path.ends_with("/synthetic.rs") {
            continue; // made-up cards: nothing that anyone reads back
        }
        let code = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        for label in code.split('"').skip(1).step_by(2).filter(|text| text.starts_with("KMS-") && text.ends_with("/1"))
        {
            assert!(formats.contains(label), "{label} ({}) is not in docs/formats.md", source.path);
        }
    }
}
