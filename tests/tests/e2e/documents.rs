//! The commands that README and runbooks name exist, with the options they are shown with.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::Scene;

/// Every `kms …` of a page's code: the words of the command, and its options.
fn commands(code: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let mut found = Vec::new();
    for line in code.lines() {
        for part in line.split("kms ").skip(1) {
            let part = part.split(['#', '|', ';']).next().unwrap_or_default();
            let plain =
                |word: &&str| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !word.starts_with('-');
            let words: Vec<String> = part.split_whitespace().take_while(plain).map(str::to_owned).collect();
            let options = part.split_whitespace().filter(|word| word.starts_with("--")).map(str::to_owned).collect();
            if !words.is_empty() {
                found.push((words, options));
            }
        }
    }
    found
}

#[test]
fn named_commands_and_options_exist() {
    let scene = Scene::new("documents");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages: Vec<_> = ["README.md", "README.zh-CN.md", "SECURITY.md", "docs/cards-csv.md"]
        .iter()
        .map(|page| root.join(page))
        .collect();
    pages.extend(std::fs::read_dir(root.join("docs/ceremonies")).unwrap().map(|entry| entry.unwrap().path()));
    let mut seen = BTreeSet::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        // Commands stand in code only: in blocks, or between backquotes.
        for code in text.split('`').skip(1).step_by(2) {
            for (words, options) in commands(code) {
                if seen.insert((words.clone(), options.clone())) {
                    check(&scene, &page, &words, &options);
                }
            }
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
}

/// The longest beginning of the words that is a command; what follows are its arguments.
fn check(scene: &Scene, page: &Path, words: &[String], options: &[String]) {
    let shown = format!("{}: kms {} {}", page.display(), words.join(" "), options.join(" "));
    let help = (1..=words.len()).rev().find_map(|count| {
        let mut arguments: Vec<&str> = words[..count].iter().map(String::as_str).collect();
        arguments.push("--help");
        let run = scene.kms(&arguments);
        // A group of commands takes no arguments of its own.
        (run.code == 0 && (count == words.len() || !run.out.contains("<COMMAND>"))).then_some(run.out)
    });
    let help = help.unwrap_or_else(|| panic!("{shown}: no such command"));
    for option in options {
        assert!(
            help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")),
            "{shown}: no {option}: {help}"
        );
    }
}
