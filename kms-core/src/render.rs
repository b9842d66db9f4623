//! A plan in words: what an officer reads before signing.
//!
//! A function of exactly the plan (I15): no name is looked up anywhere, nothing is abbreviated away. Every
//! field of every step appears; long lists of masters appear as a count, the names with their groups,
//! and a digest over the list.

mod roster;

use der::Encode;

use crate::attack::Attack;
use crate::certificate::Certificate;
use crate::digest::Digest;
use crate::document::{BureauApplication, TrustAnchor};
use crate::encoding::{EncodingError, Signed};
use crate::plan::{AcceptRisk, Environment, FoundInstance, Level, MasterEntry, Plan, Role, Step};
use crate::suite::{CardAlgorithm, KeyWrap};

/// What stands where a component key would.
const NO_COMPONENTS: &str = "none: this make of HSM combines no components";

/// One line of the rendering: a label and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Nesting, from 0.
    pub depth: u8,
    /// Field name in words.
    pub label: String,
    /// Value; empty for a heading.
    pub value: String,
}

/// Renders `plan`. Fails only when a document inside the plan is not readable, which makes the plan unfit to sign.
pub fn plan(plan: &Plan) -> Result<Vec<Line>, EncodingError> {
    let mut page = Page::default();
    let operation = plan.operation().map_or("UNKNOWN — do not sign".to_owned(), |op| op.name().to_owned());
    page.line("operation", operation);
    page.line("instance (log origin)", plan.origin.to_string());
    page.line("environment", environment(plan.environment));
    page.line("requested by", plan.requester.to_string());
    page.line("approvals needed", format!("{} (the requester does not count)", plan.approvals));
    page.line("valid from", time(plan.not_before_ms));
    page.line("valid until", time(plan.expires_ms));
    page.line("log when opened", format!("{} entries, root {}", plan.opened_size, plan.opened_root));
    page.line("log may grow by", format!("{} entries", plan.max_log_span));
    page.line("policy epoch", plan.policy_epoch.to_string());
    page.line("HSM serial", plan.hsm_serial.clone());
    page.line("nonce", plan.nonce.to_string());
    if let Some(script) = plan.script {
        page.line("script (SM3)", script.to_string());
    }
    if let Some(parent) = plan.parent {
        page.line("resumes plan", parent.to_string());
    }
    for (number, step) in plan.steps.iter().enumerate() {
        page.heading(&format!("step {} of {}: {}", number + 1, plan.steps.len(), title(step)));
        page.depth = 1;
        page.step(step)?;
        page.depth = 0;
    }
    Ok(page.lines)
}

/// Milliseconds since 1970 as `2026-11-22 14:05:06.789 UTC`.
pub fn time(ms: u64) -> String {
    // Civil date from days, after H. Hinnant's public-domain algorithm `civil_from_days`.
    let days = ms / 86_400_000;
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let rest = ms % 86_400_000;
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{milli:03} UTC")
}

fn title(step: &Step) -> &'static str {
    match step {
        Step::FoundInstance(_) => "found this instance with this roster and these rules",
        Step::CreateInstanceKeys(_) => "make the instance's own keys in the HSM",
        Step::CreateMasters(_) => "make the national master keys of a profile",
        Step::TrustProvince(_) => "pair a province and TRUST its HSM key (security officer's session)",
        Step::SealMasters(_) => "diversify every master for a province and seal it to the province's HSM",
        Step::TrustNation(_) => "pair this instance with the nation",
        Step::ImportMasters(_) => "import this province's master keys",
        Step::TrustBureau(_) => {
            "register a bureau: TRUST its HSM key, make its transport key (security officer's session)"
        }
        Step::SealTransportKey(_) => "seal the transport key to the bureau's HSM",
        Step::IssueBatch(_) => "ISSUE THE CARD KEYS of a batch to a bureau",
        Step::AcceptRisk(_) => "ACCEPT KNOWN WEAKNESSES of the HSM for a time",
        Step::EnrolPerson(_) => "put a person on the roster",
        Step::RevokePerson(_) => "TAKE A PERSON OFF the roster, for ever",
        Step::ChangePersonKey(_) => "give a person on the roster another key",
        Step::ChangePolicy(_) => "CHANGE THE RULES under which everything is decided",
    }
}

#[derive(Default)]
struct Page {
    depth: u8,
    lines: Vec<Line>,
}

impl Page {
    fn line(&mut self, label: &str, value: impl Into<String>) {
        self.lines.push(Line { depth: self.depth, label: label.to_owned(), value: value.into() });
    }

    fn heading(&mut self, text: &str) {
        self.line(text, "");
    }

    fn step(&mut self, step: &Step) -> Result<(), EncodingError> {
        match step {
            Step::FoundInstance(s) => self.founding(s),
            Step::CreateInstanceKeys(s) => {
                self.line("checkpoint key (LOG)", s.log.to_string());
                self.line("signing key (INSTANCE)", s.instance.to_string());
                self.line("import key (IMPORT)", s.import.to_string());
                let component = s.component_import.map_or(NO_COMPONENTS.to_owned(), |id| id.to_string());
                self.line("component import key", component);
                self.line("card index key (INDEX)", s.index.to_string());
                self.line("storage key (STORAGE)", s.storage.to_string());
            }
            Step::CreateMasters(s) => {
                self.line("profile", format!("{} (SM3 {})", s.profile_id, s.profile));
                self.line("algorithm of the keys", algorithm(s.algorithm));
                self.custody(s.transferable);
                if s.custodians.is_empty() {
                    self.line("origin of the keys", "every master generated inside the HSM");
                } else {
                    let count = s.custodians.len();
                    self.line(
                        "origin of the keys",
                        format!("one root seed, combined in the HSM from {count} components"),
                    );
                    for custodian in &s.custodians {
                        self.line(
                            "component held by",
                            format!("{} with check value {}", custodian.person, custodian.kcv),
                        );
                    }
                }
                self.masters(&s.masters)?;
            }
            Step::TrustProvince(s) => {
                self.line("province", s.region.to_string());
                self.anchor(s.anchor.as_bytes())?;
                self.line("object in our HSM", s.recipient.to_string());
            }
            Step::SealMasters(s) => {
                self.line("province", s.region.to_string());
                self.line("profile", format!("{} (SM3 {})", s.profile_id, s.profile));
                self.line("sealed to object", s.recipient.to_string());
                self.masters(&s.masters)?;
            }
            Step::TrustNation(s) => self.anchor(s.anchor.as_bytes())?,
            Step::ImportMasters(s) => {
                self.line("profile", format!("{} (SM3 {})", s.profile_id, s.profile));
                self.line("sealed set (SM3)", s.sealed.to_string());
                self.line("algorithm of the keys", algorithm(s.algorithm));
                self.custody(s.transferable);
                self.masters(&s.masters)?;
            }
            Step::TrustBureau(s) => {
                self.line("bureau", s.bureau.to_string());
                self.application(s.application.as_bytes())?;
                self.line("its key in our HSM", s.recipient.to_string());
                self.line("transport key (KEK)", s.kek.to_string());
                self.line("it wraps card keys by", wrap(s.wrap));
                self.line("batches allowed until", time(s.valid_until_ms));
            }
            Step::EnrolPerson(s) => self.enrol(s)?,
            Step::RevokePerson(s) => self.revoke(s),
            Step::ChangePersonKey(s) => self.change_key(s)?,
            Step::ChangePolicy(s) => self.change_policy(s),
            Step::SealTransportKey(s) => {
                self.line("bureau", s.bureau.to_string());
                self.line("its key in our HSM", s.recipient.to_string());
                self.line("transport key (KEK)", s.kek.to_string());
            }
            Step::IssueBatch(s) => {
                self.line("bureau", s.bureau.to_string());
                self.line("batch", s.batch.to_string());
                self.line("batch counter", s.counter.to_string());
                self.line("cards", format!("{} ({} of them replacements)", s.cards, s.replacements));
                self.line("cards per chunk", s.chunk_cards.to_string());
                self.line("profile", format!("{} (SM3 {})", s.profile_id, s.profile));
                self.line("card list (commitment)", s.list.to_string());
                self.line("bureau's request (SM3)", s.request.to_string());
                self.line("transport key (KEK)", format!("{} with check value {}", s.kek, s.kek_kcv));
            }
            Step::AcceptRisk(s) => self.risk(s),
        }
        Ok(())
    }

    fn risk(&mut self, risk: &AcceptRisk) {
        self.line("token model", risk.model.clone());
        self.line("firmware", risk.firmware.clone());
        self.line("vendor map (SM3)", risk.map.to_string());
        for number in &risk.attacks {
            let Some(attack) = Attack::by_number(*number) else {
                self.line("attack", format!("{number}: UNKNOWN — do not sign"));
                continue;
            };
            let oracle = if attack.is_derivation_oracle() { " (derivation oracle)" } else { "" };
            self.line("attack that works", format!("{number} {}{oracle}: {}", attack.name, attack.tried));
            self.line("whoever has the PIN gets", attack.gain);
            self.line("a good token", attack.expected);
        }
        self.line("accepted because", risk.reason.clone());
        self.line("accepted until", time(risk.valid_until_ms));
    }

    fn founding(&mut self, found: &FoundInstance) {
        self.line("level", level(found.level));
        self.line("region", found.region.to_string());
        self.line("suite of its HSM", found.suite.in_words());
        self.line("policy file (SM3)", found.policy.to_string());
        for person in &found.people {
            let value = format!("{} ({}), {}, key {}", person.id, person.name, role(person.role), person.key.id());
            self.line("person", value);
        }
        found.rules.iter().for_each(|rule| self.rule(rule));
        self.line("largest batch", format!("{} cards, in chunks of {}", found.cards_max, found.chunk_cards));
    }

    fn custody(&mut self, transferable: bool) {
        let words = if transferable {
            "transferable: may leave this HSM wrapped under a TRUSTED key (backup, SAM loading); irreversible"
        } else {
            "local: never leaves this HSM; irreversible"
        };
        self.line("custody", words);
    }

    fn masters(&mut self, masters: &[MasterEntry]) -> Result<(), EncodingError> {
        let mut bytes = Vec::new();
        masters.iter().try_for_each(|m| m.encode_to_vec(&mut bytes).map(drop)).map_err(EncodingError::Der)?;
        self.line("master keys", format!("{} (list SM3 {})", masters.len(), Digest::of(&bytes)));
        for group in masters.chunk_by(|a, b| a.name == b.name) {
            let versions: Vec<String> = group
                .iter()
                .map(|m| {
                    let kcv = m.kcv.as_ref().map(|kcv| format!(" KCV {kcv}")).unwrap_or_default();
                    format!("{}/{}{kcv}", m.group, m.version)
                })
                .collect();
            let name = group.first().map(|m| m.name.as_str()).unwrap_or_default();
            self.line(name, format!("group/version {}", versions.join(", ")));
        }
        Ok(())
    }

    fn anchor(&mut self, bytes: &[u8]) -> Result<(), EncodingError> {
        let signed = Signed::<TrustAnchor>::parse(bytes)?;
        let anchor = signed.unverified_tbs();
        let digest = signed.digest();
        self.line("other side", format!("{} ({})", anchor.origin, level(anchor.level)));
        self.line("its region", anchor.region.to_string());
        self.line("its environment", environment(anchor.environment));
        self.line("its genesis plan", anchor.genesis.to_string());
        self.line("its HSM serial", anchor.hsm_serial.clone());
        let suite = anchor.suite().map_or("MIXED — do not sign", crate::suite::Suite::in_words);
        self.line("its suite", suite);
        self.line("its HSM import key", anchor.import_key.id().to_string());
        let component = anchor.component_key.as_ref().map_or(NO_COMPONENTS.to_owned(), |key| key.id().to_string());
        self.line("its component key", component);
        self.line("its signing key", anchor.instance_key.id().to_string());
        self.line("its checkpoint key", anchor.log_key.id().to_string());
        self.line("trust anchor (SM3)", digest.to_string());
        self.line("read aloud, compare", digest.words().join(" "));
        Ok(())
    }

    fn application(&mut self, bytes: &[u8]) -> Result<(), EncodingError> {
        let signed = Signed::<BureauApplication>::parse(bytes)?;
        let application = signed.unverified_tbs();
        let digest = signed.digest();
        self.line("company", application.name.clone());
        for (label, der) in [
            ("signing certificate", application.signing_certificate.as_bytes()),
            ("encryption certificate", application.encryption_certificate.as_bytes()),
        ] {
            let words = match Certificate::from_der(der) {
                Ok(c) => format!(
                    "{}, key {}, {} to {}",
                    c.subject(),
                    c.public_key().id(),
                    time(c.not_before_ms()),
                    time(c.not_after_ms())
                ),
                Err(reason) => format!("NOT USABLE — do not sign: {reason}"),
            };
            self.line(label, words);
        }
        self.line("its HSM serial", application.hsm_serial.clone());
        self.line("its HSM key", application.hsm_key.id().to_string());
        self.line("suite of its HSM", application.hsm_key.suite().in_words());
        self.line("its HSM unwraps by", wrap(application.wrap));
        self.line("application made", time(application.created_ms));
        self.line("application (SM3)", digest.to_string());
        self.line("read aloud, compare", digest.words().join(" "));
        Ok(())
    }
}

/// A key id as digits and as words to be compared by voice.
fn key_words(page: &mut Page, label: &str, id: &Digest) {
    page.line(label, id.to_string());
    page.line("read aloud, compare", id.words().join(" "));
}

fn environment(environment: Environment) -> &'static str {
    match environment {
        Environment::Production => "PRODUCTION",
        Environment::Test => "test",
    }
}

fn algorithm(algorithm: CardAlgorithm) -> String {
    match algorithm {
        CardAlgorithm::Aes128 => "AES-128, where the profile says SM4".to_owned(),
        CardAlgorithm::Sm1 | CardAlgorithm::Sm4 => algorithm.name().to_owned(),
    }
}

fn wrap(wrap: KeyWrap) -> &'static str {
    match wrap {
        KeyWrap::Rfc3394 => "rfc3394 (authenticated key wrap, 24 bytes)",
        KeyWrap::Ecb => "ecb (one block, 16 bytes; not authenticated: the signed Merkle leaf alone binds each key)",
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::National => "national",
        Level::Provincial => "provincial",
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system administrator",
        Role::Security => "security officer",
        Role::Audit => "auditor",
    }
}
