//! Ceremonies that are cut off between approval and end go on under the ids of their plan: killed at
//! writes of the database and of the token, the second run finds what the first one made.
//!
//! Guards: the token holds exactly what it holds after a ceremony that nobody disturbed, as another
//! PKCS#11 program lists it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::aftermath::audit;
use crate::injection::{Blow, Injection};
use crate::report::{Report, Trouble};
use crate::scene::{Scene, Server, program, run};
use crate::template::founded;

const SECOND: &str = "second-card";
/// Runs after a fault until the ceremony must be done; each may meet a worker that is being replaced.
const RUNS_MAX: usize = 8;

/// Where a ceremony is held, and by whom.
struct Place {
    site: &'static str,
    officers: [&'static str; 3],
}

const NATION: Place =
    Place { site: "national", officers: ["national/zhang-wei", "national/li-na", "national/wang-fang"] };
const HENAN: Place = Place { site: "henan", officers: ["henan/chen-jie", "henan/liu-yang", "henan/sun-li"] };

/// Calls that a ceremony's run is killed at: which call, on which file of the site, which time.
const DATABASE: &str = "data/kms.db-wal";
const OBJECTS: &str = "hsm/token-0000/objects";
const RUN: &[(&str, &str, &[u32])] = &[
    ("pwrite64", DATABASE, &[3, 6, 9, 12, 16]),
    ("fsync", DATABASE, &[2, 3, 4]),
    ("fsync", OBJECTS, &[1, 2, 9, 30, 57]),
];

impl Place {
    /// Proposes and approves; the plan's id.
    fn propose(&self, scene: &Scene, url: &str, what: &[&str]) -> String {
        let mut arguments = vec!["ceremony", "propose"];
        arguments.extend(what);
        arguments.push("--json");
        let view = scene.kms_as(self.officers[0], url, &arguments).json();
        let plan = view["plan_id"].as_str().unwrap().to_owned();
        for officer in &self.officers[1..] {
            scene.approve(officer, url, &plan).good();
        }
        plan
    }

    fn run(&self, scene: &Scene, url: &str, plan: &str) -> crate::scene::Run {
        scene.kms_as(self.officers[0], url, &["ceremony", "run", plan])
    }

    fn state(&self, scene: &Scene, url: &str, plan: &str) -> String {
        scene.ceremony(self.officers[0], url, plan)["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Everything in the token, as another program lists it.
    fn listing(&self, scene: &Scene) -> String {
        let pin = std::fs::read_to_string(scene.dir.join(self.site).join("pin")).unwrap();
        let arguments = ["-O", "--login", "--pin", pin.trim(), "--module"];
        let tool = &mut Command::new("pkcs11-tool");
        let tool = tool.args(arguments).arg(program("libhsm_sim.so"));
        let listed = run(tool.env("HSM_SIM_DIR", scene.dir.join(self.site).join("hsm"))).good();
        // The number of a data object is its handle.
        let handle = |line: &&str| !line.starts_with("Data object");
        let mut lines: Vec<&str> = listed.lines().filter(handle).collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    /// Starts again, runs the ceremony to its end, compares with the undisturbed one.
    fn resume(&self, scene: &Scene, plan: &str, control: &str) -> Result<(), Trouble> {
        let mut server = scene.launch(self.site, None);
        let Some(url) = server.await_address() else {
            return Err(Trouble::Lost(format!("does not start again: {}", server.log())));
        };
        self.finish(scene, &url, plan, &mut server)?;
        let audit = audit(scene, self.site, &url)?;
        if audit["open_intents"] != 0 {
            return Err(Trouble::Lost(format!("{} open intents", audit["open_intents"])));
        }
        server.kill();
        let listing = self.listing(scene);
        let (found, wanted) = (listing.lines().count(), control.lines().count());
        if listing == control {
            Ok(())
        } else {
            Err(Trouble::Duplicate(format!("{found} lines of objects instead of {wanted}")))
        }
    }

    fn finish(&self, scene: &Scene, url: &str, plan: &str, server: &mut Server) -> Result<(), Trouble> {
        let mut told = String::new();
        for _ in 0..RUNS_MAX {
            if self.state(scene, url, plan) == "done" {
                return Ok(());
            }
            told = format!("{:?}", self.run(scene, url, plan));
            std::thread::sleep(Duration::from_millis(200));
        }
        Err(Trouble::Lost(format!("the ceremony does not end: {told} {}", server.log())))
    }

    /// Kills the server, or its ceremony worker, at each point of a run; then the ceremony is resumed.
    fn cut_off(&self, report: &mut Report, template: &Path, plan: &str) {
        let undisturbed = Scene::of(template, &format!("ceremony-control-{}", self.site));
        let mut server = undisturbed.start(self.site);
        let url = server.url();
        self.finish(&undisturbed, &url, plan, &mut server).unwrap();
        server.kill();
        let control = self.listing(&undisturbed);
        undisturbed.remove_or_keep(true);
        for (call, path, whens) in RUN {
            for when in *whens {
                let scene = Scene::of(template, &format!("ceremony-cut-{}", self.site));
                let path = Some(scene.path(&format!("{}/{path}", self.site)));
                let injection = Injection { call, path, when: *when, blow: Blow::Kill };
                let mut server = scene.launch(self.site, Some(&injection));
                if let Some(url) = server.await_address() {
                    let _ = self.run(&scene, &url, plan);
                }
                let fired = injection.fired(&server.trace());
                server.kill();
                let outcome = self.resume(&scene, plan, &control);
                scene.remove_or_keep(outcome.is_ok());
                report.add(&injection.to_string(), fired, outcome);
            }
        }
    }
}

/// National roots from three components, all handed in; not run.
fn roots_ready(name: &str) -> (Scene, String) {
    let scene = Scene::of(founded(), name);
    let mut server = scene.start("national");
    let url = server.url();
    let mut custodians = Vec::new();
    for person in NATION.officers {
        let person = person.trim_start_matches("national/");
        let file = format!("custodians/{person}.component");
        let shown = scene.kms(&["ceremony", "component", "new", "--value-file", &file]).good();
        custodians.push(format!("{person}={}", shown.split_whitespace().last().unwrap()));
    }
    let mut what = vec!["create-roots", "--profile", SECOND, "--transferable"];
    custodians.iter().for_each(|custodian| what.extend(["--custodian", custodian]));
    let plan = NATION.propose(&scene, &url, &what);
    for officer in NATION.officers {
        let file = format!("custodians/{}.component", officer.trim_start_matches("national/"));
        let hand_in =
            ["ceremony", "component", "hand-in", &plan, "--anchor", "national/anchor.der", "--value-file", &file];
        let mut arguments = hand_in.to_vec();
        arguments.extend(["--yes-digest", &plan]);
        scene.kms_as(officer, &url, &arguments).good();
    }
    (scene, plan)
}

#[test]
fn roots_from_components_go_on_after_a_kill() {
    let mut report = Report::new("create-roots cut off");
    let (template, plan) = roots_ready("ceremony-roots");
    NATION.cut_off(&mut report, &template.dir, &plan);
    report.finish(9);
}

#[test]
fn an_import_of_masters_goes_on_after_a_kill() {
    let mut report = Report::new("import-masters cut off");
    let (template, roots) = roots_ready("ceremony-import");
    {
        let mut nation = template.start("national");
        let url = nation.url();
        NATION.run(&template, &url, &roots).good();
        let derive = ["derive-province", "--region", "410000", "--profile", SECOND];
        let derivation = NATION.propose(&template, &url, &derive);
        NATION.run(&template, &url, &derivation).good();
        let fetch = ["handover", "fetch", "--plan", &derivation, "--out", "sealed.der"];
        template.kms_as(NATION.officers[0], &url, &fetch).good();
    }
    let mut henan = template.start("henan");
    let url = henan.url();
    let import = ["import-masters", "--profile", SECOND, "--sealed", "sealed.der", "--transferable"];
    let plan = HENAN.propose(&template, &url, &import);
    henan.kill();
    HENAN.cut_off(&mut report, &template.dir, &plan);
    report.finish(9);
}

#[test]
fn a_security_officers_session_goes_on_after_a_kill() {
    let mut report = Report::new("trust session cut off");
    let (template, plan) = bureau_ready();
    let place = HENAN;
    let session = |scene: &Scene, url: &str, injection: Option<&Injection>| {
        let mut command = match injection {
            None => Command::new(program("kms")),
            Some(injection) => injection.command(&scene.dir.join("henan/trace"), &program("kms")),
        };
        let module = program("libhsm_sim.so");
        command.args([
            "ceremony",
            "trust",
            &plan,
            "--anchor",
            "henan/anchor.der",
            "--module",
            module.to_str().unwrap(),
        ]);
        command.args(["--map", "policies/hsm/hsm-sim.toml", "--token", "henan", "--so-pin-file", "henan/so-pin"]);
        command.args(["--yes-digest", &plan, "--config", "henan/liu-yang.toml", "--server", url]);
        run(command.current_dir(&scene.dir).env("HSM_SIM_DIR", scene.dir.join("henan/hsm")))
    };
    let whole = |scene: &Scene, injection: Option<&Injection>| {
        let mut server = scene.start("henan");
        let url = server.url();
        let _ = place.run(scene, &url, &plan);
        let cut = session(scene, &url, injection);
        let fired = injection.is_some_and(|injection| injection.fired(&scene.trace("henan")));
        if injection.is_some() {
            // The session is held again, and then once more: it finds everything done.
            session(scene, &url, None).good();
            session(scene, &url, None).good();
        } else {
            cut.good();
        }
        let done = place.finish(scene, &url, &plan, &mut server);
        (fired, done)
    };
    let undisturbed = Scene::of(&template.dir, "trust-control");
    whole(&undisturbed, None).1.unwrap();
    let control = undisturbed.objects("henan");
    undisturbed.remove_or_keep(true);
    for (call, path, whens) in [("fsync", OBJECTS, [1, 2, 3, 4].as_slice()), ("rename", "*", &[2, 3, 4])] {
        for when in whens {
            let scene = Scene::of(&template.dir, "trust-cut");
            let path = (path != "*").then(|| scene.path(&format!("henan/{path}")));
            let injection = Injection { call, path, when: *when, blow: Blow::Kill };
            let (fired, done) = whole(&scene, Some(&injection));
            let objects = scene.objects("henan");
            let outcome = done.and_then(|()| match objects == control {
                true => Ok(()),
                false => Err(Trouble::Duplicate(format!("{objects} objects instead of {control}"))),
            });
            scene.remove_or_keep(outcome.is_ok());
            report.add(&injection.to_string(), fired, outcome);
        }
    }
    report.finish(3);
}

/// A second bureau's registration, approved and not run.
fn bureau_ready() -> (Scene, String) {
    let scene = Scene::of(founded(), "ceremony-bureau");
    let module = program("libhsm_sim.so");
    let arguments = [
        "bureau",
        "init",
        "--id",
        "second-bureau",
        "--name",
        "Another Bureau",
        "--dir",
        "second",
        "--password-file",
        "bureau/password",
        "--module",
        module.to_str().unwrap(),
        "--map",
        "policies/hsm/hsm-sim.toml",
        "--token",
        "bureau",
        "--pin-file",
        "bureau/pin",
        "--so-pin-file",
        "bureau/so-pin",
    ];
    scene.kms_at("bureau", &arguments).good();
    let mut server = scene.start("henan");
    let url = server.url();
    let register = ["register-bureau", "--application", "second/application.der", "--valid-days", "30"];
    let plan = HENAN.propose(&scene, &url, &register);
    server.kill();
    (scene, plan)
}
