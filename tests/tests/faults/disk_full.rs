//! A disk that is really full: the data folder on a small file system, filled up while a batch is made.
//!
//! Guards: whoever runs into it says so; once there is room again everything is finished, once.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::clients::{resume, talk_with};
use crate::report::{Report, Trouble};
use crate::scene::{Scene, copy};
use crate::template::founded;

/// Size of the disk: the quickstart's data, and room for about one more batch.
const DISK_MIB: usize = 8;
/// What is left when the officers approve: from nothing to nearly enough.
const LEFT_KIB: [u64; 8] = [0, 8, 32, 64, 110, 170, 240, 330];
const WORDS: [&str; 3] = ["disk is full", "No space left", "log-unavailable"];

/// A mounted file system that goes with this value.
struct Disk(PathBuf);

impl Disk {
    /// Puts the folder on a small disk; `None` if this process may not mount.
    fn under(folder: &Path) -> Option<Self> {
        let kept = folder.with_extension("kept");
        std::fs::rename(folder, &kept).unwrap();
        std::fs::create_dir(folder).unwrap();
        let size = format!("size={DISK_MIB}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).status();
        if !mounted.is_ok_and(|status| status.success()) {
            return None;
        }
        let disk = Self(folder.to_owned());
        for entry in std::fs::read_dir(&kept).unwrap() {
            copy(&entry.unwrap().path(), folder);
        }
        Some(disk)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Fills it up but for some KiB.
    fn fill(&self, left_kib: u64) {
        let mut file = File::create(self.ballast()).unwrap();
        let block = [0; 4096];
        let mut length = 0;
        while let Ok(written) = file.write(&block) {
            length += written as u64;
        }
        file.set_len(length.saturating_sub(left_kib * 1024)).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", "--"]).arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_and_once_there_is_room_everything_is_finished() {
    let mut report = Report::new("disk full");
    for left_kib in LEFT_KIB {
        let scene = Scene::of(founded(), "disk-full");
        let Some(disk) = Disk::under(&scene.dir.join("henan/data")) else {
            let skip = std::env::var("KMS_FAULTS_NO_MOUNT").is_ok_and(|value| value == "skip");
            assert!(skip, "mounting a small disk takes root; KMS_FAULTS_NO_MOUNT=skip leaves this test out");
            return;
        };
        let objects = scene.objects("henan");
        let mut server = scene.start("henan");
        let known = talk_with(&scene, &mut server, || disk.fill(left_kib));
        let said = |log: &str| WORDS.iter().any(|word| log.contains(word));
        let fired = said(&server.log()) || said(&known.refusals);
        let ended = server.ended();
        let mut outcome = Ok(());
        if ended.is_some() && !said(&server.log()) {
            outcome = Err(Trouble::Silent(format!("{ended:?}: {}", server.log())));
        }
        if ended.is_none() && !fired && !known.released() {
            outcome = Err(Trouble::Silent(format!("waits without a word: {}", server.log())));
        }
        server.kill();
        // A start on a full disk works or says why not.
        let mut again = scene.launch("henan", None);
        let up = again.await_address().is_some();
        let begin = Instant::now();
        again.wait_for(Duration::from_millis(500), || begin.elapsed() > Duration::from_millis(400));
        if !up && !said(&again.log()) && again.ended().is_some() {
            outcome = Err(Trouble::Silent(format!("does not start, without a word: {}", again.log())));
        }
        again.kill();
        disk.free();
        let outcome = outcome.and_then(|()| resume(&scene, &known, objects));
        drop(disk);
        scene.remove_or_keep(outcome.is_ok());
        report.add(&format!("{left_kib} KiB left"), fired, outcome);
    }
    report.finish(5);
}
