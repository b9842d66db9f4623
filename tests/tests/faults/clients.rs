//! Clients that talk to a server as long as it lives, remember what it acknowledged, and go on afterwards.

use std::time::Instant;

use crate::aftermath::{self, Order};
use crate::kills::ENOUGH;
use crate::report::Trouble;
use crate::scene::{BUREAU, Scene, Server};
use crate::template::{LIST, cards, chunks};

/// What the server has acknowledged.
#[derive(Default)]
pub(crate) struct Known {
    batch: Option<(String, String)>,
    approved: Vec<&'static str>,
    released: bool,
    /// What refused requests were told.
    pub(crate) refusals: String,
}

impl Known {
    /// Was the release acknowledged?
    pub(crate) fn released(&self) -> bool {
        self.released
    }
}

const OFFICERS: [&str; 2] = ["henan/chen-jie", "henan/liu-yang"];

/// Asks for a batch, approves it, watches it, as long as there is a server.
pub(crate) fn talk(scene: &Scene, server: &mut Server) -> Known {
    talk_with(scene, server, || {})
}

/// The same, with something that happens before the last approval.
pub(crate) fn talk_with(scene: &Scene, server: &mut Server, event: impl FnOnce()) -> Known {
    let mut event = Some(event);
    let mut known = Known::default();
    let Some(url) = server.await_address() else {
        return known;
    };
    let asked = scene.request(&url, LIST);
    if !asked.ok() {
        known.refusals += &asked.err;
        return known;
    }
    let view: serde_json::Value = serde_json::from_str(&asked.out).unwrap();
    let (batch, plan) = (view["batch"].as_str().unwrap().to_owned(), view["plan_id"].as_str().unwrap().to_owned());
    known.batch = Some((batch.clone(), plan.clone()));
    for (number, officer) in OFFICERS.into_iter().enumerate() {
        if number > 0
            && let Some(event) = event.take()
        {
            event();
        }
        let told = scene.approve(officer, &url, &plan);
        if told.ok() {
            known.approved.push(officer);
        }
        known.refusals += &told.err;
    }
    let begin = Instant::now();
    while server.ended().is_none() && begin.elapsed() < ENOUGH && !known.released {
        let shown = scene.kms_as(BUREAU, &url, &["batch", "status", &batch, "--json"]);
        known.released = shown.ok() && shown.out.contains("\"released\"");
    }
    known
}

/// Starts again, compares with what was acknowledged, and does what is still to be done.
pub(crate) fn resume(scene: &Scene, known: &Known, objects: usize) -> Result<(), Trouble> {
    let mut server = scene.launch("henan", None);
    let Some(url) = server.await_address() else {
        return Err(Trouble::Lost(format!("does not start again: {}", server.log())));
    };
    let mine = |batch: &serde_json::Value| batch["counter"] != 1;
    let found: Vec<_> = scene.batches(&url).into_iter().filter(mine).collect();
    let (batch, plan) = match (found.as_slice(), &known.batch) {
        ([one], Some((batch, _))) if one["batch"] != batch.as_str() => {
            return Err(Trouble::Lost(format!("{batch} was acknowledged, {one} is there")));
        }
        ([one], _) => (one["batch"].as_str().unwrap().to_owned(), one["plan_id"].as_str().unwrap().to_owned()),
        ([], None) => {
            let view = scene.request(&url, LIST).json();
            (view["batch"].as_str().unwrap().to_owned(), view["plan_id"].as_str().unwrap().to_owned())
        }
        ([], Some((batch, _))) => return Err(Trouble::Lost(format!("batch {batch} was acknowledged"))),
        (several, _) => return Err(Trouble::Duplicate(format!("{} batches", several.len()))),
    };
    for officer in OFFICERS {
        let shown = scene.ceremony(officer, &url, &plan).to_string();
        let decided = shown.contains(&format!("\"{}\"", officer.trim_start_matches("henan/")));
        match (decided, known.approved.contains(&officer)) {
            (false, true) => return Err(Trouble::Lost(format!("the approval of {officer}"))),
            (false, false) => drop(scene.approve(officer, &url, &plan).good()),
            (true, _) => {}
        }
    }
    if known.released && scene.batches(&url).iter().filter(|one| mine(one)).any(|one| one["phase"] != "released") {
        return Err(Trouble::Lost("the release".to_owned()));
    }
    aftermath::released(scene, &mut server, &url, &batch)?;
    let order = Order { batch: &batch, cards: 0..cards(), chunks_since: chunks(), objects };
    aftermath::check(scene, &url, &order)
}
