//! One place of the story: an instance with its people, token and server, or the bureau.

use std::net::TcpListener;
use std::path::Path;

use kms_core::digest::Digest;

use super::narrator::{Narrator, Show};
use super::people::Player;
use super::server::{self, Server};
use crate::failure::Outcome;
use crate::files::{self, Access};
use crate::identity;

/// A place with a token.
pub(super) struct Site {
    /// Name of its folder and of its token.
    pub(super) name: &'static str,
    /// Folder of its token, below the root.
    pub(super) hsm: String,
    module: String,
    map: String,
}

/// A place with an instance.
pub(super) struct InstanceSite {
    /// Folder and token.
    pub(super) site: Site,
    /// Its people: officers first.
    pub(super) people: &'static [Player],
    /// Where its server listens.
    pub(super) url: String,
    port: u16,
    /// Holds the port until the server takes it.
    reservation: Option<TcpListener>,
}

impl Site {
    /// Makes the folder, PIN files and token.
    pub(super) fn found(narrator: &mut Narrator, name: &'static str) -> Outcome<Self> {
        let folder = narrator.root().join(name);
        let make = narrator.make();
        let (module, map) = (make.module.display().to_string(), make.map.clone());
        let site = Self { name, hsm: format!("{name}/hsm"), module, map };
        files::make_folder(&folder, Access::Owner)?;
        narrator.make().prepare(&folder.join("hsm"))?;
        secret_file(&folder.join("so-pin"))?;
        secret_file(&folder.join("pin"))?;
        let init = format!("hsm init-token --label {name} --so-pin-file {name}/so-pin --pin-file {name}/pin");
        narrator.kms(Some(&site.hsm), &init, &["--module", &site.module], Show::Last(5))?;
        Ok(site)
    }

    /// A path below the site's folder, relative to the root.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// Settings of whoever works at this place: server, key, and the token beside them.
    pub(super) fn settings(&self, url: &str, key: &str, password_file: &str) -> String {
        format!(
            "server = \"{url}\"\nkey = \"{key}\"\npassword_file = \"{password_file}\"\n\
             module = {}\nmap = \"../policies/hsm/{}.toml\"\ntoken = \"{}\"\n",
            quoted(&self.module),
            self.map,
            self.name
        )
    }
}

impl InstanceSite {
    /// Makes token, configuration and keys of the people.
    pub(super) fn found(
        narrator: &mut Narrator,
        name: &'static str,
        people: &'static [Player],
        nation: Option<&str>,
    ) -> Outcome<Self> {
        let site = Site::found(narrator, name)?;
        let (reservation, port) = server::reserve_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let instance = Self { site, people, url, port, reservation: Some(reservation) };
        let folder = narrator.root().join(name);
        files::write(&folder.join("server.toml"), instance.server_config(nation).as_bytes(), Access::Anyone)?;
        let mut roster =
            String::from("# Who founds this instance: each brings the public key that `kms officer keygen` made.\n");
        for person in people {
            secret_file(&folder.join(format!("{}.password", person.id)))?;
            let keygen = format!(
                "officer keygen --id {id} --out {name}/{id}.pem --password-file {name}/{id}.password",
                id = person.id
            );
            narrator.kms(None, &keygen, &[], Show::Last(0))?;
            let Player { id, name, role } = person;
            roster += &format!(
                "\n[[person]]\nid = \"{id}\"\nrole = \"{role}\"\nname = \"{name}\"\npublic_key = \"{id}.pub.pem\"\n"
            );
            let settings = instance.site.settings(&instance.url, &format!("{id}.pem"), &format!("{id}.password"));
            files::write(&folder.join(format!("{id}.toml")), settings.as_bytes(), Access::Owner)?;
        }
        files::write(&folder.join("people.toml"), roster.as_bytes(), Access::Anyone)?;
        Ok(instance)
    }

    /// Starts its server.
    pub(super) fn start(&mut self, narrator: &mut Narrator, program: &Path) -> Outcome<Server> {
        drop(self.reservation.take());
        let root = narrator.root().to_owned();
        let config = root.join(self.site.path("server.toml"));
        narrator.print(&format!(
            "   $ {}kms-server --config {}",
            narrator.make().before_a_command(&self.site.hsm),
            self.site.path("server.toml")
        ));
        let environment = narrator.make().environment(&root.join(&self.site.hsm));
        let server = Server::start(self.site.name, program, &config, &environment, self.port)?;
        narrator.tell(&format!("The {} server listens on {} (process {}).", self.site.name, self.url, server.id()));
        Ok(server)
    }

    /// The security officers.
    pub(super) fn officers(&self) -> impl Iterator<Item = &'static Player> {
        self.people.iter().filter(|person| person.role == "security")
    }

    /// The settings file of officer number `index`.
    pub(super) fn officer(&self, index: usize) -> String {
        let id = self.officers().nth(index).map_or("nobody", |person| person.id);
        self.site.path(&format!("{id}.toml"))
    }

    /// The settings file of the auditor.
    pub(super) fn auditor(&self) -> String {
        let id = self.people.iter().find(|person| person.role == "audit").map_or("nobody", |person| person.id);
        self.site.path(&format!("{id}.toml"))
    }

    /// Its trust anchor file.
    pub(super) fn anchor(&self) -> String {
        self.site.path("anchor.der")
    }

    fn server_config(&self, nation: Option<&str>) -> String {
        let (mode, nation) = match nation {
            None => ("mode = \"national\"".to_owned(), String::new()),
            Some(url) => ("mode = \"provincial\"\nregion = \"410000\"".to_owned(), format!("nation_url = \"{url}\"\n")),
        };
        format!(
            "# Configuration of the {name} instance of a quickstart. Paths are relative to this file.\n\
             {mode}\norigin = \"kms.example/{name}/test/log/1\"\nenvironment = \"test\"\ndata_dir = \"data\"\npolicies_dir = \"../policies\"\n{nation}\n\
             [listen]\naddress = \"127.0.0.1\"\nport = {port}\n\n\
             [hsm]\nmodule = {module}\nmap = \"{map}\"\ntoken_label = \"{name}\"\npin_file = \"pin\"\n",
            name = self.site.name,
            port = self.port,
            module = quoted(&self.site.module),
            map = self.site.map
        )
    }
}

/// As a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A random secret in a file of its own: 16 decimal digits, so that it passes as a PIN as well.
pub(super) fn secret_file(path: &Path) -> Outcome<()> {
    let digits: String = identity::random::<16>()?.iter().map(|byte| char::from(b'0' + byte % 10)).collect();
    let digits = zeroize::Zeroizing::new(digits);
    files::write_new(path, digits.as_bytes(), Access::Owner)
}

/// SM3 of a file below the root.
pub(super) fn digest_of(root: &Path, name: &str, limit: usize) -> Outcome<Digest> {
    Ok(Digest::of(&files::read(&root.join(name), limit)?))
}
