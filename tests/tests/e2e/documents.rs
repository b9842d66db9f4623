//! The commands that README and runbooks name exist.

use crate::harness::Scene;

/// Words after `kms` up to the first option, argument or odd character.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for part in text.replace('\n', " \n").split("kms ").skip(1) {
        let words = part.split([' ', '`', '\n', ':', '…', '|', ';', ',', '(']).take(4);
        let plain = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !word.starts_with('-');
        let words: Vec<String> = words.take_while(plain).map(str::to_owned).collect();
        if !words.is_empty() {
            found.push(words);
        }
    }
    found
}

#[test]
fn named_commands_exist() {
    let scene = Scene::new("documents");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages: Vec<_> = ["README.md", "README.zh-CN.md", "docs/cards-csv.md"].iter().map(|page| root.join(page)).collect();
    pages.extend(std::fs::read_dir(root.join("docs/ceremonies")).unwrap().map(|entry| entry.unwrap().path()));
    let mut seen = std::collections::BTreeSet::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        // Commands stand in code only: in blocks, or between backquotes.
        for code in text.split('`').skip(1).step_by(2) {
            for words in commands(code) {
                if seen.insert(words.clone()) {
                    exists(&scene, &page, &words);
                }
            }
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}

/// The longest beginning that is a command must be all of the words, or all but an argument.
fn exists(scene: &Scene, page: &std::path::Path, words: &[String]) {
    let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    arguments.push("--help");
    let run = scene.kms(&arguments);
    assert_eq!(run.code, 0, "{}: kms {}: {}", page.display(), words.join(" "), run.err);
}
