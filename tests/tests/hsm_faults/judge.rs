//! One point: the fault waits, the request is made, and what came of it is looked at.

use kms_core::ports::{FaultClass, HsmError, HsmResult};

use crate::blow::Blow;
use crate::operation::{Clients, Operation, Verdict};
use crate::report::{Outcome, Trouble};
use crate::stage::{Known, Stage};

/// Calls of a worker that starts: nobody repeats these for the caller, whose next request starts another worker.
const AT_START: &[&str] =
    &["C_Initialize", "C_GetFunctionList", "C_GetInfo", "C_GetSlotList", "C_GetSlotInfo", "C_GetTokenInfo"];

/// One fault at one call of one operation.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) operation: Operation,
    pub(crate) function: String,
    /// Which of the calls of this function, from 1.
    pub(crate) call: usize,
    pub(crate) blow: &'static Blow,
    /// From this call on, instead of once.
    pub(crate) lasts: bool,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { operation, function, call, blow, lasts } = self;
        write!(f, "{operation:?}: {function} {call}{} {}", if *lasts { "+" } else { "" }, blow.fault)
    }
}

impl Point {
    /// What the simulator is told: the fault, every login on the record, and how many session objects there are.
    fn script(&self) -> String {
        let Self { function, call, blow, .. } = self;
        let (counters, when) = if self.lasts { ("", "+") } else { ("counters shared\n", "") };
        let watch = "C_Login every delay 1us\nC_FindObjectsInit every census\n";
        format!("{counters}{watch}{function} {call}{when} {}\n", blow.fault)
    }

    /// Runs it; answers the record of what fired as well.
    pub(crate) fn run(&self, stage: &Stage, known: &Known) -> (Vec<String>, Outcome) {
        let objects = stage.objects();
        stage.script(&self.script());
        let clients = Clients::of(stage);
        let result = self.operation.run(&clients, known);
        let refused = matches!(&result, Err(error) if error.class == FaultClass::Refused);
        if self.blow.classes.contains(&FaultClass::Pin) {
            // Nothing but a person may lead to another attempt.
            let _ = self.operation.run(&clients, known);
        } else if !self.lasts && (result.is_ok() || refused) {
            self.operation.follow_up(&clients);
        }
        let record = stage.fired();
        let watched = |line: &&String| line.starts_with("census:") || line.starts_with("delay:1us ");
        let fired: Vec<String> = record.iter().filter(|line| !watched(line)).cloned().collect();
        drop(clients);
        let outcome = self.judge(&result, &record, &fired).unwrap_or_else(|(trouble, what)| {
            let record = if fired.is_empty() { "nothing fired".to_owned() } else { fired.join(", ") };
            Outcome::Trouble(trouble, format!("{what} [{record}]"))
        });
        stage.script("");
        let outcome = match (outcome, self.afterwards(&result, stage, known, objects)) {
            (Outcome::Trouble(trouble, what), _) | (_, Err((trouble, what))) => Outcome::Trouble(trouble, what),
            (outcome, Ok(())) => outcome,
        };
        (fired, outcome)
    }

    fn judge(
        &self,
        result: &HsmResult<Verdict>,
        record: &[String],
        fired: &[String],
    ) -> Result<Outcome, (Trouble, String)> {
        let wrong = |what: String| Err((Trouble::Wrong, what));
        if self.blow.classes.contains(&FaultClass::Pin) {
            let logins = record.iter().filter(|line| line.starts_with("delay:1us C_Login ")).count();
            if logins > 1 {
                return Err((Trouble::Pins, format!("{logins} logins")));
            }
        }
        let census = record.iter().rev().find_map(|line| line.strip_prefix("census:"));
        let left = census.and_then(|line| line.split(' ').next()?.parse::<usize>().ok()).unwrap_or(0);
        let one_shot = matches!(
            self.operation,
            Operation::CreateInstanceKeys | Operation::Generate | Operation::Import | Operation::MastersFromComponents
        );
        if left > 0 && !self.lasts && !one_shot {
            return Err((Trouble::Left, format!("{left} session objects stay")));
        }
        match result {
            Ok(Verdict::Right | Verdict::Later(_)) => Ok(Outcome::Right),
            Ok(Verdict::Caught) if self.operation.seals() && self.function == "C_WrapKey" => Ok(Outcome::Caught),
            Ok(Verdict::Caught) => wrong("sealed wrongly".to_owned()),
            Ok(Verdict::Wrong(what)) => wrong(what.clone()),
            Err(error) if fired.is_empty() => wrong(format!("without a fault: {error}")),
            Err(error) => self.judge_error(error),
        }
    }

    fn judge_error(&self, error: &HsmError) -> Result<Outcome, (Trouble, String)> {
        let wrong = |what: &str| Err((Trouble::Wrong, format!("{what}: {:?} {error}", error.class)));
        if self.lasts && error.code == "DEADLINE" {
            // A library that asks its token for ever.
            return Ok(Outcome::Stopped);
        }
        let at_start = AT_START.contains(&self.function.as_str());
        if !self.blow.classes.contains(&error.class) {
            return wrong("of another class");
        }
        if self.blow.survived && !self.lasts && !at_start {
            return wrong("a repeat gets over this");
        }
        let named = self.blow.code().is_none_or(|code| {
            let number = code.strip_prefix("0x").map(|digits| format!("CKR_0x{digits:0>8}"));
            error.code == number.as_deref().unwrap_or(code)
        });
        // What a lasting fault does to the search for another way may be what is told in the end.
        if !named && !self.lasts {
            return wrong("of another code");
        }
        Ok(Outcome::Stopped)
    }

    /// With the fault gone: the answer was right where only the token can tell, the same request gives the right result, and
    /// every key is there once.
    fn afterwards(
        &self,
        result: &HsmResult<Verdict>,
        stage: &Stage,
        known: &Known,
        objects: usize,
    ) -> Result<(), (Trouble, String)> {
        let clients = Clients::of(stage);
        let lost = |error: HsmError| (Trouble::Lost, format!("afterwards: {error}"));
        let right = |verdict: Verdict| match verdict {
            Verdict::Wrong(what) => Err((Trouble::Wrong, format!("afterwards: {what}"))),
            Verdict::Caught => Err((Trouble::Wrong, "afterwards: sealed wrongly".to_owned())),
            Verdict::Right | Verdict::Later(_) => Ok(()),
        };
        if let Ok(Verdict::Later(answer)) = result {
            right(self.operation.later(answer, &clients, known).map_err(lost)?)?;
        }
        if result.is_err() || self.operation.changes() {
            match self.operation.run(&clients, known).map_err(lost)? {
                Verdict::Later(answer) => right(self.operation.later(&answer, &clients, known).map_err(lost)?)?,
                verdict => right(verdict)?,
            }
        }
        let (found, expected) = (stage.objects(), objects + self.operation.makes());
        match found.cmp(&expected) {
            std::cmp::Ordering::Less => Err((Trouble::Lost, format!("{found} objects instead of {expected}"))),
            std::cmp::Ordering::Greater => Err((Trouble::Doubled, format!("{found} objects instead of {expected}"))),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }
}
