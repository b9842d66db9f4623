//! `kms batch open`: every key of a verified package, from the transport key to the personalization
//! key, inside the bureau's own HSM.
//!
//! Guards: the whole package is verified before the transport key is opened; a chunk is verified again
//! when it is used; every key is compared with its check value by the HSM where package and make allow it, and what could
//! not be compared is said.

use std::path::PathBuf;

use clap::Args;
use kms_core::document::{Manifest, TrustAnchor};
use kms_core::package::{CardKeys, records as card_records};
use kms_core::ports::{Abilities, BureauHsm, Confirmation, HsmError, RewrapItem, SealedMaster, Wrapped};
use kms_core::suite::KeyWrap;
use kms_hsm::BureauClient;

use super::package::{Folder, VerifiedPackage};
use super::records::Writer;
use crate::commands::anchor;
use crate::commands::bureau::{IMPORT_LABEL, PERSONALIZATION_LABEL};
use crate::console;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};
use crate::identity;
use crate::settings::{ConfigOption, wanted};
use crate::token::{self, TokenOptions};

/// Cards whose keys go to the HSM in one request.
const CARDS_PER_CALL: usize = 100;

/// Options of `kms batch open`.
#[derive(Args, Debug)]
pub(crate) struct Open {
    /// Folder that `kms batch pull` wrote
    dir: PathBuf,
    /// Your own copy of the instance's trust anchor
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    token: TokenOptions,
    /// File with the user PIN (mode 600); asked for when absent
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Private key of your encryption certificate
    #[arg(long, value_name = "FILE")]
    enc_key: Option<PathBuf>,
    /// File with its password (mode 600); asked for when absent
    #[arg(long, value_name = "FILE")]
    enc_password_file: Option<PathBuf>,
    /// Label of your HSM key pair that the transport key is sealed to
    #[arg(long, default_value = IMPORT_LABEL)]
    import_key: String,
    /// Label of the key that card keys are wrapped under again
    #[arg(long, default_value = PERSONALIZATION_LABEL)]
    personalization_key: String,
    /// Folder for personalization.csv and personalization.dgi
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Open {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let settings = self.config.read()?;
        let named = self.token.named(&settings)?;
        let enc_key = wanted(self.enc_key.clone(), settings.enc_key, "enc-key")?;
        let enc_password_file = self.enc_password_file.clone().or(settings.enc_password_file);
        let pin_file = self.pin_file.clone().or(settings.pin_file);
        let trusted = anchor::read(&self.anchor)?;
        let package = VerifiedPackage::verify(&Folder(self.dir.clone()), &trusted)?;
        package.show();
        console::say("The package holds. Opening it in the HSM.");
        let encryption = identity::open_key(&enc_key, enc_password_file.as_deref())?;
        let manifest = package.manifest.manifest();
        if encryption.public().id() != manifest.encryption_key {
            return Err(Failure::input(
                format!(
                    "the records are encrypted for key {}, this is {}",
                    manifest.encryption_key,
                    encryption.public().id()
                ),
                "give the private key of the encryption certificate you were registered with",
            ));
        }
        let pin = token::pin(pin_file.as_deref(), &format!("user PIN of token {}", named.label))?;
        let hsm = BureauClient::new(named.config(pin)).map_err(|reason| token::bad_map(&reason))?;
        fits(&trusted.anchor, manifest, &hsm.abilities())?;
        token::show(&hsm.status()?);
        let sealed = package.manifest.transport_key();
        let sealed = SealedMaster { ciphertext: sealed.ciphertext.as_bytes().to_vec(), kcv: sealed.kcv };
        let confirmation = hsm
            .open_transport_key(&self.import_key, manifest.kek, &sealed)
            .map_err(|error| token::failed(error, || hsm.status()))?;
        console::field("transport key", format!("{} is in the token; {}", manifest.kek, vouched(confirmation)));

        files::make_folder(&self.out, Access::Owner)?;
        let mut writer = Writer::create(&self.out, manifest, &package.profile, &self.personalization_key)?;
        let bar = console::progress(manifest.keys, "keys wrapped again");
        let (mut carried, mut compared) = (0, 0);
        for entry in &manifest.chunks {
            let chunk = package.chunk(entry.index)?;
            let records = card_records::open(chunk.chunk(), &manifest.bureau, &encryption).map_err(|reason| {
                Failure::not_verified(
                    format!("chunk {}: {reason}", entry.index),
                    "use nothing of this package; tell the instance",
                )
            })?;
            let cards = chunk.cards();
            for (cards, records) in cards.chunks(CARDS_PER_CALL).zip(records.cards.chunks(CARDS_PER_CALL)) {
                let item = |card| items(card, manifest.wrap);
                let items: Vec<RewrapItem> = cards.iter().map(item).collect::<Outcome<Vec<_>>>()?.concat();
                let rewrapped = hsm
                    .rewrap(manifest.kek, &self.personalization_key, &items)
                    .map_err(|error| refuse(entry.index, error))?;
                carried += items.iter().filter(|item| item.kcv.is_some()).count();
                compared += rewrapped.compared;
                let mut rest = rewrapped.keys.as_slice();
                for (card, record) in cards.iter().zip(records) {
                    let (own, after) = rest
                        .split_at_checked(card.slots.len())
                        .ok_or_else(|| Failure::internal("fewer keys than asked for"))?;
                    writer.card(card, record, own)?;
                    rest = after;
                }
                bar.inc(items.len() as u64);
            }
        }
        bar.finish_and_clear();
        let (csv, dgi) = writer.finish()?;
        console::field(
            "keys",
            format!("{} unwrapped and wrapped under {} ({})", manifest.keys, self.personalization_key, manifest.wrap),
        );
        console::field("check values", compared_words(manifest.keys, carried, compared));
        console::field("per key", csv.display());
        console::field("per card (DGI)", dgi.display());
        console::say("These files name citizens: keep them where only the personalization machine reads them.");
        Ok(())
    }
}

/// Refuses a package that this bureau's HSM cannot unwrap, before it is asked to.
fn fits(anchor: &TrustAnchor, manifest: &Manifest, own: &Abilities) -> Outcome<()> {
    let differs = |what: &str, package: &str, hsm: &str| {
        Failure::input(
            format!("{what} of the package is {package}, your HSM's vendor map says {hsm}"),
            "name the token and map that you applied with (--token, --map)",
        )
    };
    let suite = anchor.instance_key.suite();
    if suite != own.suite {
        return Err(differs("the suite", suite.name(), own.suite.name()));
    }
    if manifest.wrap != own.wrap {
        return Err(differs("the wrap", manifest.wrap.name(), own.wrap.name()));
    }
    Ok(())
}

fn vouched(confirmation: Confirmation) -> &'static str {
    match confirmation {
        Confirmation::ByCheckValue => "its check value is right",
        Confirmation::BySealOnly => {
            "NOT compared with its check value (this make shows none of an unwrapped key): only the seal to your HSM \
             and the instance's signature vouch for it"
        }
    }
}

/// Which keys were proven by check value, and why the others were not.
fn compared_words(keys: u64, carried: usize, compared: usize) -> String {
    let without = keys.saturating_sub(carried as u64);
    let by_profile = format!("{without} keys carry none by the profile");
    if carried == compared {
        return format!("{compared} compared and right; {by_profile}");
    }
    format!(
        "{compared} of {carried} compared; the others NOT: this make shows no check value of an unwrapped key, only the \
         signed Merkle leaf vouches for them; {by_profile}"
    )
}

fn items(card: &CardKeys, wrap: KeyWrap) -> Outcome<Vec<RewrapItem>> {
    let item = |slot: &kms_core::package::SlotKey| {
        let wrapped = Wrapped::new(wrap, slot.wrapped.as_bytes());
        let wrapped = wrapped.ok_or_else(|| Failure::internal("a wrapped key of another length"))?;
        Ok(RewrapItem { wrapped, kcv: slot.kcv })
    };
    card.slots.iter().map(item).collect()
}

fn refuse(chunk: u32, error: HsmError) -> Failure {
    let mut failure = Failure::from(error);
    if failure.exit == Exit::Hsm {
        failure.what = format!("chunk {chunk}: {}", failure.what);
    }
    failure
}
