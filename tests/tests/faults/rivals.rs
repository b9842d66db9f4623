//! Two servers over one folder; many clients over the same cards.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use serde_json::Value;

use crate::aftermath::{self, Order};
use crate::order::card_list;
use crate::report::{Report, Trouble};
use crate::scene::{PATIENCE, Scene};
use crate::template::{CHUNK_CARDS, founded};

const CLIENTS: usize = 8;
const ROUNDS: usize = 4;
/// Cards of one list; neighbours share half of them.
const LIST_CARDS: usize = 6;
/// Cards that a round may touch.
const ROUND_CARDS: usize = 100;

#[test]
fn a_second_server_on_the_same_folder_does_not_start() {
    let mut report = Report::new("second server on one data folder");
    let scene = Scene::of(founded(), "rivals-folder");
    let mut first = scene.start("henan");
    let url = first.url();
    for _ in 0..3 {
        let address = scene.dir.join("henan/data/address");
        let kept = std::fs::read(&address).unwrap();
        let mut second = scene.launch("henan", None);
        let ended = second.wait_for(PATIENCE, || address.exists());
        let refused = ended.is_some_and(|status| status.code() == Some(1)) && second.log().contains("in use");
        second.kill();
        std::fs::write(&address, kept).unwrap();
        let outcome = match refused {
            true => Ok(()),
            false => Err(Trouble::Duplicate(format!("a second server: {ended:?} {}", second.log()))),
        };
        report.add("second start", true, outcome);
        assert!(first.wait_for(Duration::from_millis(50), || false).is_none(), "the first goes on: {}", first.log());
        aftermath::audit(&scene, "henan", &url).unwrap();
    }
    // After a kill the folder is free at once.
    first.kill();
    let mut third = scene.start("henan");
    assert!(scene.batches(&third.url()).len() == 1);
    report.finish(3);
}

#[test]
fn overlapping_lists_of_many_clients_give_each_card_to_one_batch() {
    let mut report = Report::new("clients with overlapping lists");
    let scene = Scene::of(founded(), "rivals-clients");
    let objects = scene.objects("henan");
    let mut server = scene.start("henan");
    let url = server.url();
    let mut taken = Vec::new();
    for round in 0..ROUNDS {
        // The same list for all in one round; then each shares half of its cards with the next.
        let step = if round == 0 { 0 } else { LIST_CARDS / 2 };
        let ranges = (0..CLIENTS).map(|client| round * ROUND_CARDS + client * step).map(|from| from..from + LIST_CARDS);
        let asked = ask_at_once(&scene, &url, round, ranges.collect());
        for (range, answer) in &asked {
            let (range, refused) = (range.clone(), answer.is_err());
            let outcome = match answer {
                Ok(_) => Ok(()),
                Err(told) if told.contains("card-already-issued") => Ok(()),
                Err(told) => Err(Trouble::Lost(format!("{range:?}: {told}"))),
            };
            report.add(&format!("round {round} {range:?}"), refused, outcome);
        }
        let (granted, refused): (Vec<_>, Vec<_>) = asked.into_iter().partition(|(_, answer)| answer.is_ok());
        let cards: Vec<usize> = granted.iter().flat_map(|(range, _)| range.clone()).collect();
        let distinct: BTreeSet<usize> = cards.iter().copied().collect();
        assert_eq!(cards.len(), distinct.len(), "a card in two batches: {granted:?}");
        for (range, _) in refused {
            assert!(range.clone().any(|card| distinct.contains(&card)), "{range:?} was refused for nothing");
        }
        taken.extend(granted.into_iter().map(|(range, answer)| (range, answer.unwrap())));
    }
    for (_, view) in &taken {
        let plan = view["plan_id"].as_str().unwrap();
        for officer in ["henan/chen-jie", "henan/liu-yang"] {
            scene.approve(officer, &url, plan).good();
        }
    }
    let chunks_since = taken.iter().map(|(range, _)| range.len().div_ceil(CHUNK_CARDS)).sum();
    for (_, view) in &taken {
        aftermath::released(&scene, &mut server, &url, view["batch"].as_str().unwrap()).unwrap();
    }
    for (cards, view) in taken {
        let batch = view["batch"].as_str().unwrap();
        aftermath::check(&scene, &url, &Order { batch, cards, chunks_since, objects }).unwrap();
    }
    // One of each eight in the first round, at least every third of neighbours in the others.
    report.finish(CLIENTS - 1 + (ROUNDS - 1) * 2);
}

/// All clients at once; what each was told.
fn ask_at_once(
    scene: &Scene,
    url: &str,
    round: usize,
    ranges: Vec<Range<usize>>,
) -> Vec<(Range<usize>, Result<Value, String>)> {
    let start = std::sync::Barrier::new(ranges.len());
    let ask = |client: usize, range: Range<usize>| {
        let list = format!("list-{round}-{client}.csv");
        std::fs::write(scene.dir.join(&list), card_list(range.clone())).unwrap();
        start.wait();
        let asked = scene.request(url, &list);
        let answer = if asked.ok() { Ok(serde_json::from_str(&asked.out).unwrap()) } else { Err(asked.err) };
        (range, answer)
    };
    std::thread::scope(|scope| {
        let clients = ranges.into_iter().enumerate().map(|(client, range)| {
            scope.spawn({
                let ask = &ask;
                move || ask(client, range)
            })
        });
        clients.collect::<Vec<_>>().into_iter().map(|client| client.join().unwrap()).collect()
    })
}
