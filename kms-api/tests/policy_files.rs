//! The shipped policy files are accepted; files that break a rule are refused with their line.

#![expect(clippy::panic, reason = "helpers of tests fail as tests do")]
use kms_api::policy_file::{PolicyFileError, parse_ceremony_policy, parse_profile};
use kms_core::{
    digest::Digest,
    diversify::{CardFactor, ProvinceCode},
    policy::{Operation, PolicyViolation},
    profile::{Algorithm, KeyProfile, ProfileViolation, Recipient, SamKeyType, Scope},
};

const PROFILE: &str = include_str!("../../policies/profiles/resident-health-card.toml");
const CEREMONIES: &str = include_str!("../../policies/ceremonies.toml");

fn profile() -> KeyProfile {
    parse_profile(PROFILE.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn health_card_has_21_keys_in_57_slots() {
    let profile = profile();
    assert_eq!(profile.id().as_str(), "resident-health-card");
    assert_eq!(profile.keys().len(), 21);
    assert_eq!(profile.slots().count(), 57);
    assert_eq!(profile.slots_for(Recipient::Bureau).count(), 57);
    assert_eq!(profile.keys().iter().filter(|key| key.scope() == Scope::National).count(), 11);
    assert_eq!(profile.keys().iter().filter(|key| key.groups() == 4).count(), 12);
    assert_eq!(profile.digest(), Digest::of(PROFILE.as_bytes()));
    let names: Vec<_> = profile.slots().map(|slot| slot.to_string()).take(6).collect();
    assert_eq!(names, ["IRK_DDF1/1", "IRK_DDF1/2", "IRK_DDF1/3", "IRK_DDF1/4", "STK_DDF1/1", "STK_DF01/1"]);
}

/// P2 of the SAM's derive command as the source table lists it, for group 1.
#[test]
fn sam_p2_is_that_of_the_source_table() {
    let expected = [
        0x21, 0x02, 0x03, 0x04, 0x05, 0x27, 0x28, 0x29, 0x2A, 0x2B, 0x2C, 0x2D, 0x2E, 0x2F, 0x30, 0x31, 0x32, 0x33,
        0x34, 0x35, 0x16,
    ];
    let found: Vec<_> = profile().keys().iter().map(|key| key.sam_p2(1).unwrap()).collect();
    assert_eq!(found, expected);
    assert_eq!(profile().key("RK1_DF01").unwrap().sam_p2(4), Some(0x92));
    assert_eq!(profile().key("RK1_DF01").unwrap().sam_p2(5), None);
}

#[test]
fn check_values_only_for_authentication_keys() {
    for key in profile().keys() {
        assert_eq!(key.package_kcv().is_some(), key.sam_key_type() == SamKeyType::Authentication, "{}", key.name());
    }
}

#[test]
fn path_leads_over_the_province_to_the_card() {
    let henan: ProvinceCode = "410000".parse().unwrap();
    let card = CardFactor::from_hex("0102030405060708").unwrap();
    let blocks = profile().path().blocks_from_nation(henan, card);
    let blocks: Vec<_> = blocks.iter().map(|block| hex::encode(block.as_bytes())).collect();
    assert_eq!(blocks, ["3431303030303030cbcecfcfcfcfcfcf", "0102030405060708fefdfcfbfaf9f8f7"]);
}

#[test]
fn ceremony_policy_has_a_rule_for_everything() {
    let policy = parse_ceremony_policy(CEREMONIES.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(policy.rules().count(), Operation::ALL.len());
    assert!(policy.rules().all(|(_, rule)| rule.approvals >= 2));
    assert_eq!(policy.rule(Operation::CreateRoots).validity_ms, 7 * 24 * 60 * 60 * 1000);
    assert_eq!((policy.batch().cards_max, policy.batch().chunk_cards), (1_000_000, 1000));
    assert!(policy.production().models.is_empty());
    assert_eq!(policy.digest(), Digest::of(CEREMONIES.as_bytes()));
}

/// Replaces the first `from` and yields what is wrong: (line, rule).
fn broken_profile(from: &str, to: &str) -> Vec<(Option<usize>, ProfileViolation)> {
    assert!(PROFILE.contains(from), "{from}");
    match parse_profile(PROFILE.replacen(from, to, 1).as_bytes()) {
        Err(PolicyFileError::Rules(found)) => {
            found.into_iter().map(|finding| (finding.line, finding.violation)).collect()
        }
        Err(other) => panic!("{from} → {to}: {other}"),
        Ok(_) => panic!("{from} → {to}: accepted"),
    }
}

fn line_of(needle: &str) -> Option<usize> {
    PROFILE.lines().position(|line| line.contains(needle)).map(|line| line + 1)
}

#[test]
fn profile_rules_must_refuse() {
    use ProfileViolation as V;
    let irk = || "IRK_DDF1".to_owned();
    let cases = [
        ("version = 1", "version = 0", V::Version),
        ("\"resident-health-card\"", "\"Resident\"", V::Id),
        ("title = \"Resident", "title = \"\\u001b[2JResident", V::Title),
        ("groups = 4", "groups = 8", V::Groups { key: irk(), found: 8 }),
        ("groups = 4", "groups = 0", V::Groups { key: irk(), found: 0 }),
        ("groups = 4,", "groups = 4, length = 8,", V::Length { key: irk(), found: 8 }),
        ("sam_id = 0x01", "sam_id = 0x20", V::SamId { key: irk(), found: 0x20 }),
        ("sam_id = 0x01", "sam_id = 0x00", V::SamId { key: irk(), found: 0 }),
        ("sam_use = 0x47", "sam_use = 0x27", V::SamUseLevels { key: irk(), expected: 2, found: 1 }),
        ("sam_level = 1", "sam_level = 2", V::SamLevel { key: irk(), expected: 1, found: 2 }),
        ("package_kcv = \"none\"", "package_kcv = \"ecb3\"", V::KcvOfMacKey { key: "STK_DDF1".to_owned() }),
        ("\"IRK_DDF1\"", "\"irk\"", V::Name { key: "irk".to_owned() }),
        ("\"IRK_DDF1\"", "\"STM_MF\"", V::DuplicateName { key: "STM_MF".to_owned() }),
        ("groups = 4,", "groups = 4, recipients = [],", V::Recipients { key: irk() }),
        ("groups = 4,", "groups = 4, recipients = [\"sam\", \"sam\"],", V::Recipients { key: irk() }),
        ("national = \"transferable\"", "national = \"local\"", V::CustodyOfSamKey { level: "national" }),
        ("provincial = \"transferable\"", "provincial = \"local\"", V::CustodyOfSamKey { level: "provincial" }),
    ];
    for (from, to, expected) in cases {
        let found = broken_profile(from, to);
        assert!(found.iter().any(|(_, violation)| *violation == expected), "{from} → {to}: {found:?}");
    }
}

#[test]
fn profile_findings_name_the_line() {
    let found = broken_profile("sam_id = 0x16", "sam_id = 0x15");
    let expected = ProfileViolation::DuplicateSamId { key: "STM_MF".to_owned(), other: "BK_MF".to_owned() };
    assert_eq!(found, [(line_of("\"STM_MF\""), expected)]);
}

#[test]
fn every_violation_is_listed() {
    let broken = PROFILE.replace("groups = 4", "groups = 9").replace("version = 1\n", "version = 0\n");
    let Err(PolicyFileError::Rules(found)) = parse_profile(broken.as_bytes()) else { panic!("accepted") };
    assert_eq!(found.iter().filter(|finding| matches!(finding.violation, ProfileViolation::Groups { .. })).count(), 12);
    assert!(found.iter().any(|finding| finding.violation == ProfileViolation::Version));
}

#[test]
fn algorithms_without_support_are_named() {
    let found = broken_profile("\"sm4\"", "\"3des\"");
    assert_eq!(found.len(), 21);
    assert!(found[0].1.to_string().contains("algorithm 3des: this build supports sm4 and sm1"));
    let all_sm1 = PROFILE.replacen("\"sm4\"", "\"sm1\"", 1);
    assert_eq!(parse_profile(all_sm1.as_bytes()).unwrap().algorithm(), Algorithm::Sm1);
    // One key of another algorithm than the rest.
    let found = broken_profile("groups = 4,", "groups = 4, algorithm = \"sm1\",");
    assert!(found.iter().all(|(_, rule)| matches!(rule, ProfileViolation::MixedAlgorithms { .. })), "{found:?}");
}

#[test]
fn profile_shapes_must_refuse() {
    for (from, to) in [
        ("form = \"kms-profile/1\"", "form = \"kms-profile/2\""),
        ("form = \"kms-profile/1\"", "fonn = \"kms-profile/1\""),
        ("version = 1", "version = 1\nforce = true"),
        ("version = 1", "version = \"1\""),
        ("version = 1", ""),
        ("groups = 4,", "groups = 4, grupps = 4,"),
        ("groups = 4,", "groups = 4, groups = 4,"),
        ("groups = 4,", "groups = 400,"),
        ("groups = 4,", "groups = -1,"),
        ("package_kcv = \"ecb3\"", "package_kcv = \"ecb8\""),
        ("\"national\", package", "\"regional\", package"),
        ("\"province:factor8\"", "\"province:factor9\""),
        ("evidence = \"inferred\" ", "evidence = \"certain\" "),
    ] {
        assert!(PROFILE.contains(from), "{from}");
        let error = parse_profile(PROFILE.replacen(from, to, 1).as_bytes()).err().unwrap_or_else(|| panic!("{to}"));
        assert!(matches!(error, PolicyFileError::Toml(_) | PolicyFileError::Form { .. }), "{to}: {error}");
        assert!(error.to_string().contains("line "), "{to}: {error}");
    }
    assert!(matches!(parse_profile(b"\xFF"), Err(PolicyFileError::NotUtf8)));
    assert!(matches!(parse_profile(&vec![b'#'; 300 * 1024]), Err(PolicyFileError::TooLong { .. })));
}

#[test]
fn paths_must_refuse() {
    for to in [
        "[]",
        "[\"province:factor8\"]",
        "[\"card:factor8\", \"province:factor8\"]",
        "[\"card:factor8\", \"card:factor8\"]",
        "[\"province:factor8\", \"card:block16\"]",
    ] {
        let found = broken_profile("[\"province:factor8\", \"card:factor8\"]", to);
        assert!(matches!(found[0].1, ProfileViolation::Path { .. }), "{to}: {found:?}");
    }
    let found = broken_profile("groups = 1,", "groups = 1, path = [\"card:factor8\"],");
    assert!(found.iter().any(|(_, violation)| matches!(violation, ProfileViolation::MixedPaths { .. })), "{found:?}");
}

fn broken_policy(from: &str, to: &str) -> Vec<(Option<usize>, PolicyViolation)> {
    assert!(CEREMONIES.contains(from), "{from}");
    match parse_ceremony_policy(CEREMONIES.replacen(from, to, 1).as_bytes()) {
        Err(PolicyFileError::Rules(found)) => {
            found.into_iter().map(|finding| (finding.line, finding.violation)).collect()
        }
        Err(other) => panic!("{from} → {to}: {other}"),
        Ok(_) => panic!("{from} → {to}: accepted"),
    }
}

#[test]
fn policy_rules_must_refuse() {
    use PolicyViolation as V;
    let operation = Operation::Genesis;
    let line = CEREMONIES.lines().position(|line| line == "[rules.genesis]").map(|line| line + 2);
    for (from, to, expected) in [
        ("approvals = 2", "approvals = 1", V::Approvals { operation, found: 1 }),
        ("approvals = 2", "approvals = 0", V::Approvals { operation, found: 0 }),
        ("approvals = 2", "approvals = 17", V::Approvals { operation, found: 17 }),
        ("\"P1D\"", "\"PT59M\"", V::Validity { operation, found_ms: 59 * 60 * 1000 }),
        ("\"P1D\"", "\"P91D\"", V::Validity { operation, found_ms: 91 * 24 * 60 * 60 * 1000 }),
        ("max_log_span = 1000\n", "max_log_span = 0\n", V::LogSpan { operation, found: 0 }),
        ("max_log_span = 1000\n", "max_log_span = 10_000_001\n", V::LogSpan { operation, found: 10_000_001 }),
    ] {
        assert_eq!(broken_policy(from, to), [(line, expected)], "{to}");
    }
    for (from, to, expected) in [
        ("cards_max = 1_000_000 ", "cards_max = 0 ", V::BatchCards { found: 0 }),
        ("cards_max = 1_000_000 ", "cards_max = 1_000_001 ", V::BatchCards { found: 1_000_001 }),
        ("chunk_cards = 1000", "chunk_cards = 0", V::ChunkCards { found: 0 }),
        ("chunk_cards = 1000", "chunk_cards = 10_001", V::ChunkCards { found: 10_001 }),
        ("token_models = []", "token_models = [\"\"]", V::TokenModel),
    ] {
        assert_eq!(broken_policy(from, to), [(None, expected)], "{to}");
    }
}

#[test]
fn policy_shapes_must_refuse() {
    for (from, to) in [
        ("kms-ceremonies/1", "kms-ceremonies/2"),
        ("[rules.genesis]", "[rules.genezis]"),
        ("[rules.genesis]", "[rules.create-roots]"),
        ("approvals = 2", "approvals = -2"),
        ("approvals = 2", "approvals = 2\nforce = true"),
        ("\"P1D\"", "\"P1M\""),
        ("\"P1D\"", "86400"),
        ("[production]", "[productions]"),
    ] {
        assert!(CEREMONIES.contains(from), "{from}");
        let broken = CEREMONIES.replacen(from, to, 1);
        let error = parse_ceremony_policy(broken.as_bytes()).err().unwrap_or_else(|| panic!("{to}"));
        assert!(matches!(error, PolicyFileError::Toml(_) | PolicyFileError::Form { .. }), "{to}: {error}");
        assert!(error.to_string().contains("line "), "{to}: {error}");
    }
}

#[test]
fn a_missing_rule_is_named() {
    let start = CEREMONIES.find("[rules.pair-nation]").unwrap();
    let end = CEREMONIES.find("[rules.import-masters]").unwrap();
    let broken = format!("{}{}", &CEREMONIES[..start], &CEREMONIES[end..]);
    let Err(error) = parse_ceremony_policy(broken.as_bytes()) else { panic!("accepted") };
    assert_eq!(error.to_string(), "pair-nation: there is no rule");
}
