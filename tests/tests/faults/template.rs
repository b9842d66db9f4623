//! What every point begins with: an instance after a quickstart, and one with a batch that is approved and
//! not begun.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::order::card_list;
use crate::report::full;
use crate::scene::{self, Scene, copy, kill, program, run, work};

/// Cards per chunk.
pub(crate) const CHUNK_CARDS: usize = 5;
/// The card list of [`approved`], beside every scene's other files.
pub(crate) const LIST: &str = "mine.csv";

/// Chunks of the batch in [`approved`].
pub(crate) fn chunks() -> usize {
    if full() { 16 } else { 4 }
}

/// Cards of that batch.
pub(crate) fn cards() -> usize {
    chunks() * CHUNK_CARDS
}

/// Nation, Henan and bureau after a quickstart; modules named by a link, so that one can take them away.
pub(crate) fn founded() -> &'static Path {
    static FOUNDED: OnceLock<PathBuf> = OnceLock::new();
    FOUNDED.get_or_init(|| {
        let work = work();
        if work.exists() {
            std::fs::remove_dir_all(&work).unwrap();
        }
        std::fs::create_dir_all(&work).unwrap();
        let policies = work.join("policies");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies"), &policies);
        let rules = policies.join("ceremonies.toml");
        edit(&rules, "chunk_cards", &CHUNK_CARDS.to_string());
        second_profile(&policies.join("profiles"));
        let count = CHUNK_CARDS.to_string();
        let arguments = ["quickstart", "--dir", "founded", "--count", &count, "--policies", "policies"];
        let done = run(Command::new(program("kms")).args(arguments).current_dir(&work));
        assert_eq!(done.code, 0, "quickstart: {}{}", done.out, done.err);
        let founded = work.join("founded");
        for site in ["national", "henan"] {
            let file = founded.join(site).join("server.toml");
            edit(&file, "port", "0");
            edit(&file, "module", "\"libhsm_sim.so\"");
            std::os::unix::fs::symlink(program("libhsm_sim.so"), founded.join(site).join("libhsm_sim.so")).unwrap();
        }
        for spare in ["export", "package", "personalization"] {
            std::fs::remove_dir_all(founded.join(spare)).unwrap();
        }
        std::fs::write(founded.join(LIST), card_list(0..cards())).unwrap();
        founded
    })
}

/// Henan and its bureau with a batch that both officers have approved and the engine has not seen: its HSM
/// was away when they did. With it the ids of the batch and of its plan.
pub(crate) fn approved() -> &'static (PathBuf, String) {
    static APPROVED: OnceLock<(PathBuf, String)> = OnceLock::new();
    APPROVED.get_or_init(|| {
        let scene = Scene::of(founded(), "approved");
        for spare in ["national", "custodians"] {
            std::fs::remove_dir_all(scene.dir.join(spare)).unwrap();
        }
        let mut server = scene.start("henan");
        let url = server.url();
        let asked = scene.request(&url, LIST).json();
        let (batch, plan) =
            (asked["batch"].as_str().unwrap().to_owned(), asked["plan_id"].as_str().unwrap().to_owned());
        let module = scene.dir.join("henan/libhsm_sim.so");
        std::fs::rename(&module, module.with_extension("away")).unwrap();
        server.workers().into_iter().for_each(kill);
        for officer in ["henan/chen-jie", "henan/liu-yang"] {
            scene.approve(officer, &url, &plan).good();
        }
        std::thread::sleep(Duration::from_millis(50));
        server.kill();
        std::fs::rename(module.with_extension("away"), &module).unwrap();
        assert!(!scene.dir.join("henan/data/staging").join(&batch).exists(), "nothing is begun");
        (scene.dir, batch)
    })
}

/// Sets the value of the only line that begins with `key`.
pub(crate) fn edit(file: &Path, key: &str, value: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    std::fs::write(file, text.replace(line, &format!("{key} = {value}"))).unwrap();
}

/// The same keys for another product: ceremonies of a founded instance can make masters for it.
fn second_profile(profiles: &Path) {
    let second = profiles.join("second-card.toml");
    scene::copy(&profiles.join("resident-health-card.toml"), &second);
    edit(&second, "id", "\"second-card\"");
}
