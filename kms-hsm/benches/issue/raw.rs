//! The bare loop in a process of its own: a module has one state per process and reads its environment once.
//!
//! Parent and child speak lines: `THREADS CALLS CARDS` there, keys per second and processor time back, so that rounds of the loop and of
//! what is compared with it take turns.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::clock::{Round, processor_seconds};
use crate::site::{KEK, MASTERS};
use crate::table::{AES, SM4, Table, WrapCalls};

/// The argument that makes the bench program the child.
pub(crate) const ARGUMENT: &str = "--raw-loop";

/// A child at work.
pub(crate) struct Raw {
    _child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Raw {
    /// Starts it; `algorithm` is `sm4` or `aes`.
    pub(crate) fn start(module: &Path, algorithm: &str, environment: &[(String, String)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([ARGUMENT, algorithm])
            .arg(module)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { _child: child, to, from }
    }

    /// One round.
    pub(crate) fn round(&mut self, threads: usize, calls: WrapCalls, cards: usize) -> Round {
        let calls = if calls == WrapCalls::Two { 2 } else { 1 };
        writeln!(self.to, "{threads} {calls} {cards}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let (rate, cost) = line.trim().split_once(' ').expect("the child measured");
        Round { rate: rate.parse().unwrap(), cost: cost.parse().unwrap() }
    }
}

/// The child's `main`.
pub(crate) fn serve(algorithm: &str, module: &Path) {
    let (table, main) = Table::open(module, if algorithm == "aes" { AES } else { SM4 });
    let masters: Vec<_> = (0..MASTERS).map(|number| table.find(main, number)).collect();
    let kek = table.find(main, KEK);
    let mut sessions = vec![main];
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let numbers: Vec<usize> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let [threads, calls, cards] = numbers[..] else { panic!("{line}") };
        let calls = if calls == 2 { WrapCalls::Two } else { WrapCalls::One };
        while sessions.len() < threads {
            sessions.push(table.session().unwrap());
        }
        let (before, started) = (processor_seconds(0), Instant::now());
        let answers: usize = std::thread::scope(|scope| {
            let share = |at: usize| cards * at / threads..cards * (at + 1) / threads;
            let (table, masters) = (&table, masters.as_slice());
            let work = |at: usize, session| move || table.keys(session, (masters, kek), share(at), calls);
            let at_work: Vec<_> =
                (1..threads).zip(&sessions[1..]).map(|(at, session)| scope.spawn(work(at, *session))).collect();
            let mine = work(0, main)().len();
            mine + at_work.into_iter().map(|thread| thread.join().unwrap().len()).sum::<usize>()
        });
        let keys = cards * usize::from(MASTERS);
        assert_eq!(answers, keys * 27);
        let (took, used) = (started.elapsed().as_secs_f64(), processor_seconds(0) - before);
        println!("{} {}", keys as f64 / took, used / keys as f64);
    }
}
