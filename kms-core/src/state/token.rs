//! What the log knows of tokens: the last audit, the last probe, accepted risks, alarms; and what
//! follows from them for the use of keys.
//!
//! A key that the last audit found differing is not used, whoever asks: no INTENT, no OUTCOME, no
//! release. With the log key or the instance key among them nothing is written but findings and
//! refusals. A token that fails a known answer is not used. In production no key is used before the
//! token was audited and probed in this run, and none while an attack works that no acceptance in
//! force names: an acceptance ends by itself.

use std::collections::BTreeMap;

use super::{State, require};
use crate::attack;
use crate::encoding::check_text;
use crate::event::{
    DIFFERENCES_MAX, Difference, DifferenceKind, Event, FAILED_CHECKS_MAX, LogEntry, OBJECT_ID_BYTES_MAX,
    TOKEN_TEXT_BYTES_MAX, TokenAudited, TokenProbed,
};
use crate::id::{ObjectId, PlanId};
use crate::plan::{AcceptRisk, Environment, Step};
use crate::policy::{RISK_MS_MAX, RISK_REASON_BYTES_MAX};
use crate::ports::SM1_ANSWER;
use crate::violation::Violation;

/// A finding on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding<T> {
    /// What was found.
    pub found: T,
    /// Index of its entry.
    pub index: u64,
    /// When.
    pub time_ms: u64,
}

/// What the log knows of one token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// The last audit.
    pub audit: Option<Finding<TokenAudited>>,
    /// The last probe.
    pub probe: Option<Finding<TokenProbed>>,
}

/// Weaknesses of a kind of token that a quorum lives with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The ceremony.
    pub plan: PlanId,
    /// What it says.
    pub risk: AcceptRisk,
}

/// An audit that found what no ceremony explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Index of the entry.
    pub index: u64,
    /// When.
    pub time_ms: u64,
    /// The token.
    pub hsm_serial: String,
    /// Objects missing, doubled, wrong or unknown; 0 where an attribute changed that no template names.
    pub differences: u32,
}

/// Everything about tokens.
#[derive(Clone, Default)]
pub(super) struct Tokens {
    known: BTreeMap<String, Token>,
    acceptances: Vec<Acceptance>,
    alarms: Vec<Alarm>,
    /// Last entry of a ceremony that makes keys.
    keys_made: u64,
    /// Entry with which the present run began.
    started: u64,
}

impl Tokens {
    pub(super) fn started(&mut self, entry: &LogEntry) {
        self.started = entry.index;
    }

    /// Remembers that a ceremony that makes keys moved, which explains another snapshot.
    pub(super) fn keys_made(&mut self, index: u64) {
        self.keys_made = index;
    }

    pub(super) fn accept(&mut self, plan: PlanId, risk: &AcceptRisk) {
        self.acceptances.push(Acceptance { plan, risk: risk.clone() });
    }
}

/// Does this failed known-answer test stop the use of keys? SM1 is not public, so what a simulator has under its numbers
/// is a stand-in that must fail SM1's vector: good for trying the way in a test instance, never for cards.
#[must_use]
pub fn stops(check: &str, environment: Environment) -> bool {
    !(check == SM1_ANSWER && environment == Environment::Test)
}

impl State {
    /// What the log knows of a token.
    #[must_use]
    pub fn token(&self, serial: &str) -> Option<&Token> {
        self.tokens.known.get(serial)
    }

    /// Accepted risks, expired ones too.
    #[must_use]
    pub fn acceptances(&self) -> &[Acceptance] {
        &self.tokens.acceptances
    }

    /// Audits that found what no ceremony explains.
    #[must_use]
    pub fn alarms(&self) -> &[Alarm] {
        &self.tokens.alarms
    }

    /// Was this token audited, and probed, since the server started last?
    #[must_use]
    pub fn examined_in_this_run(&self, serial: &str) -> (bool, bool) {
        let since = |index: Option<u64>| index.is_some_and(|index| index >= self.tokens.started);
        let token = self.token(serial);
        let audit = token.and_then(|token| token.audit.as_ref()).map(|audit| audit.index);
        let probe = token.and_then(|token| token.probe.as_ref()).map(|probe| probe.index);
        (since(audit), since(probe))
    }

    /// May this key be used in this token, by what the last audit found?
    pub fn require_served(&self, serial: &str, id: ObjectId) -> Result<(), Violation> {
        match self.difference(serial, id) {
            Some(kind) => Err(Violation::KeyNotServed { id, found: kind.name() }),
            None => Ok(()),
        }
    }

    /// May keys of this token be used now, by what the last probe found?
    pub fn require_fit(&self, serial: &str, now_ms: u64) -> Result<(), Violation> {
        let probe = self.token(serial).and_then(|token| token.probe.as_ref());
        let environment = self.founded()?.environment;
        if let Some(check) = probe.and_then(|probe| probe.found.failed.iter().find(|check| stops(check, environment))) {
            return Err(Violation::KnownAnswerFailed { check: check.clone() });
        }
        if environment == Environment::Test {
            return Ok(());
        }
        let unexamined = || Violation::TokenUnexamined { serial: serial.to_owned() };
        require(self.examined_in_this_run(serial) == (true, true), unexamined())?;
        let probe = probe.ok_or_else(unexamined)?;
        match self.unaccepted(&probe.found, now_ms).first() {
            Some(attack) => Err(Violation::AttackOpen { attack: *attack }),
            None => Ok(()),
        }
    }

    /// Open attacks of a probe that no acceptance in force names.
    #[must_use]
    pub fn unaccepted(&self, probe: &TokenProbed, now_ms: u64) -> Vec<u8> {
        let in_force = |acceptance: &&Acceptance| {
            let risk = &acceptance.risk;
            let same = (&risk.model, &risk.firmware, &risk.map) == (&probe.model, &probe.firmware, &probe.map);
            same && now_ms.max(self.last_time_ms()) < risk.valid_until_ms
        };
        let accepted: Vec<&Acceptance> = self.tokens.acceptances.iter().filter(in_force).collect();
        let named = |number: &u8| accepted.iter().any(|acceptance| acceptance.risk.attacks.contains(number));
        probe.open.iter().copied().filter(|number| !named(number)).collect()
    }

    fn difference(&self, serial: &str, id: ObjectId) -> Option<DifferenceKind> {
        let audit = self.token(serial)?.audit.as_ref()?;
        let differing = audit.found.differing.iter().find(|difference| {
            // An object nobody knows has no use to refuse; under an id that the log knows it is a second one.
            difference.kind != DifferenceKind::Unknown && difference.id.as_bytes() == id.as_bytes()
        });
        differing.map(|difference| difference.kind)
    }

    /// The keys of a step or batch in order, the token fit.
    pub(super) fn require_usable(&self, serial: &str, step: &Step, now_ms: u64) -> Result<(), Violation> {
        self.used_by(step).into_iter().try_for_each(|id| self.require_served(serial, id))?;
        match step {
            // Without these nobody could ever accept a risk, or write down that there is one.
            Step::FoundInstance(_) | Step::AcceptRisk(_) => Ok(()),
            // Takes place in the log alone: a lost officer's key is replaced whatever the token is like.
            Step::EnrolPerson(_) | Step::RevokePerson(_) | Step::ChangePersonKey(_) | Step::ChangePolicy(_) => Ok(()),
            Step::CreateInstanceKeys(_) => {
                let fit = self.require_fit(serial, now_ms);
                if let Err(failed @ Violation::KnownAnswerFailed { .. }) = fit { Err(failed) } else { Ok(()) }
            }
            _ => self.require_fit(serial, now_ms),
        }
    }

    /// With its own signing keys in doubt the instance writes findings and refusals, and nothing else.
    pub(super) fn require_writable(&self, event: &Event) -> Result<(), Violation> {
        let finding = matches!(
            event,
            Event::Started(_) | Event::TokenAudited(_) | Event::TokenProbed(_) | Event::Refused(_) | Event::Founded(_)
        );
        let (Some(identity), Some(keys), false) = (self.identity(), self.keys(), finding) else {
            return Ok(());
        };
        self.require_served(&identity.hsm_serial, keys.ids.log)?;
        self.require_served(&identity.hsm_serial, keys.ids.instance)
    }

    pub(super) fn apply_token_audited(&mut self, entry: &LogEntry, event: &TokenAudited) -> Result<(), Violation> {
        self.require_own(entry)?;
        self.require_own_token(&event.hsm_serial)?;
        let invalid = |field| Violation::FindingInvalid { field };
        let listed = event.differing.len();
        let whole = usize::try_from(event.differences).is_ok_and(|all| listed == all.min(DIFFERENCES_MAX));
        require(whole, invalid("number of differences"))?;
        let order = |difference: &Difference| (difference.id.as_bytes().to_vec(), difference.kind as u8);
        let sorted = event.differing.windows(2).all(|pair| matches!(pair, [a, b] if order(a) < order(b)));
        require(sorted, invalid("order of differences"))?;
        let expected = self.expected_keys();
        require(usize::try_from(event.keys) == Ok(expected.len()), invalid("number of keys"))?;
        for difference in &event.differing {
            let id = difference.id.as_bytes();
            require(id.len() <= OBJECT_ID_BYTES_MAX, invalid("length of an id"))?;
            let known = expected.iter().any(|key| key.id.as_bytes() == id);
            let right = known || difference.kind == DifferenceKind::Unknown;
            require(right, invalid("id of a difference"))?;
        }
        let before = self.token(&event.hsm_serial).and_then(|token| token.audit.as_ref());
        let changed = before.is_some_and(|before| before.found.snapshot != event.snapshot);
        let explained = before.is_none_or(|before| self.tokens.keys_made > before.index) || self.makes_keys_now();
        if event.differences > 0 || (changed && !explained) {
            self.tokens.alarms.push(Alarm {
                index: entry.index,
                time_ms: entry.time_ms,
                hsm_serial: event.hsm_serial.clone(),
                differences: event.differences,
            });
        }
        let finding = Finding { found: event.clone(), index: entry.index, time_ms: entry.time_ms };
        self.tokens.known.entry(event.hsm_serial.clone()).or_default().audit = Some(finding);
        Ok(())
    }

    /// Is a ceremony between INTENT and OUTCOME of a step that makes keys?
    fn makes_keys_now(&self) -> bool {
        let running = self.ceremonies().values().filter(|ceremony| !ceremony.phase.is_terminal());
        running.filter(|ceremony| ceremony.phase == super::Phase::Running).any(|ceremony| ceremony.plan.makes_keys())
    }

    pub(super) fn apply_token_probed(&mut self, entry: &LogEntry, event: &TokenProbed) -> Result<(), Violation> {
        self.require_own(entry)?;
        self.require_own_token(&event.hsm_serial)?;
        let invalid = |field| Violation::FindingInvalid { field };
        require(attack::are_numbers(&event.open) && attack::are_numbers(&event.untried), invalid("attacks"))?;
        require(event.open.iter().all(|number| !event.untried.contains(number)), invalid("attacks"))?;
        require(event.failed.len() <= FAILED_CHECKS_MAX, invalid("number of failed checks"))?;
        let texts = [&event.model, &event.firmware].into_iter().chain(&event.failed);
        let clean = |text: &String| check_text(text, TOKEN_TEXT_BYTES_MAX).is_ok();
        require(texts.into_iter().all(clean), invalid("text"))?;
        let finding = Finding { found: event.clone(), index: entry.index, time_ms: entry.time_ms };
        self.tokens.known.entry(event.hsm_serial.clone()).or_default().probe = Some(finding);
        Ok(())
    }

    fn require_own_token(&self, serial: &str) -> Result<(), Violation> {
        let own = &self.founded()?.hsm_serial;
        require(own == serial, Violation::OtherHsm { wanted: own.clone(), found: serial.to_owned() })
    }

    /// Only what a probe really found is accepted, for a time, with a reason.
    pub(super) fn check_accept_risk(&self, risk: &AcceptRisk, now_ms: u64) -> Result<(), Violation> {
        let limit = |field| Violation::PlanLimits { field };
        require(!risk.attacks.is_empty() && attack::are_numbers(&risk.attacks), limit("attacks"))?;
        let said = !risk.reason.trim().is_empty() && check_text(&risk.reason, RISK_REASON_BYTES_MAX).is_ok();
        require(said, limit("reason"))?;
        let end = risk.valid_until_ms;
        require(end > now_ms && end - now_ms <= RISK_MS_MAX, limit("end of the acceptance"))?;
        let probes = self.tokens.known.values().filter_map(|token| token.probe.as_ref()).map(|probe| &probe.found);
        let same = |probe: &&TokenProbed| {
            (&risk.model, &risk.firmware, &risk.map) == (&probe.model, &probe.firmware, &probe.map)
        };
        let shown: Vec<&TokenProbed> = probes.filter(same).collect();
        let open = |number: &&u8| shown.iter().any(|probe| probe.open.contains(number));
        match risk.attacks.iter().find(|number| !open(number)) {
            Some(attack) => Err(Violation::AttackNotShown { attack: *attack }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn an_unknown_token_differs_in_nothing() {
        let state = State::default();
        assert!(state.token("1").is_none() && state.alarms().is_empty() && state.acceptances().is_empty());
        assert_eq!(state.require_served("1", ObjectId::from_bytes([1; 16])), Ok(()));
        assert_eq!(state.examined_in_this_run("1"), (false, false));
        let probe = TokenProbed {
            hsm_serial: "1".to_owned(),
            model: "m".to_owned(),
            firmware: "1.0".to_owned(),
            map: Digest::of(b"map"),
            open: vec![1, 10],
            untried: Vec::new(),
            failed: Vec::new(),
        };
        assert_eq!(state.unaccepted(&probe, 0), [1, 10]);
    }
}
