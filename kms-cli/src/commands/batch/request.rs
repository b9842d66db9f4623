//! `kms batch request`: the card list is checked here first; nothing is sent while a line is bad.

use std::path::{Path, PathBuf};

use clap::Args;
use kms_api::body::{BatchSubmit, BatchView, StatusView};
use kms_api::text::{Base64, Hex};
use kms_core::cards::{CardList, LIST_BYTES_MAX};
use kms_core::digest::Digest;
use kms_core::document::BatchRequest;
use kms_core::encoding::Document;
use kms_core::id::{Actor, BatchId, ProfileId};
use kms_core::package::{SALT_BYTES, list_commitment};

use crate::client::ServerOptions;
use crate::commands::{policy, view};
use crate::console;
use crate::failure::{Exit, Failure, Outcome};
use crate::files::{self, Access};
use crate::identity::{self, now_ms};

/// Options of `kms batch request`.
#[derive(Args, Debug)]
pub(crate) struct Request {
    #[command(flatten)]
    server: ServerOptions,
    /// Profile: its name, or its file if you hold a copy to compare with the server's
    #[arg(long, value_name = "ID|FILE")]
    profile: String,
    /// Card list: `card_number,factor` or `card_number,factor,replacement,reason`
    #[arg(long, value_name = "FILE")]
    cards: PathBuf,
    /// Folder for your copy of the request
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// JSON for machines
    #[arg(long)]
    json: bool,
}

impl Request {
    /// Runs the command.
    pub(crate) fn run(&self) -> Outcome<()> {
        let bytes = files::read(&self.cards, LIST_BYTES_MAX)?;
        let list = CardList::parse(&bytes).map_err(|errors| {
            let mut lines: Vec<String> = errors.first().iter().map(ToString::to_string).collect();
            if errors.total() > lines.len() {
                lines.push(format!("… and {} more", errors.total() - lines.len()));
            }
            Failure::input(
                format!("{}: {} bad lines; nothing was sent", self.cards.display(), errors.total()),
                "correct every line, then request again",
            )
            .with_lines(lines)
        })?;
        let cards =
            String::from_utf8(bytes).map_err(|_| Failure::input("the card list is not UTF-8", "save it as UTF-8"))?;
        let client = self.server.connect()?;
        let status: StatusView = client.get("/v1/status")?;
        let bureau = match Actor::parse(&status.you).map_err(Failure::internal)? {
            Actor::Bureau(bureau) => bureau,
            other => {
                return Err(Failure::new(
                    Exit::Input,
                    format!("this key speaks for {other}, not for a bureau"),
                    "use the key of the bureau's signing certificate",
                ));
            }
        };
        let (profile_id, profile) = self.profile(&status)?;
        let salt: [u8; SALT_BYTES] = identity::random()?;
        let count = |n: usize| u32::try_from(n).map_err(Failure::internal);
        let document = BatchRequest {
            label: BatchRequest::LABEL.to_owned(),
            origin: status.origin.0,
            bureau,
            batch: BatchId::from_bytes(identity::random()?),
            profile_id,
            profile,
            cards: count(list.len())?,
            replacements: count(list.replacements())?,
            list: list_commitment(&salt, cards.as_bytes()),
            created_ms: now_ms(),
        };
        let signed = identity::sign(document, client.key()?)?;
        let body = BatchSubmit { request: Base64(signed.bytes().to_vec()), salt: Hex(salt), cards };
        let batch: BatchView = client.post_json("/v1/batches", &body)?;
        if let Some(out) = &self.out {
            files::make_folder(out, Access::Owner)?;
            files::write_new(&out.join("request.der"), signed.bytes(), Access::Owner)?;
            files::write_new(&out.join("list-salt.hex"), hex::encode(salt).as_bytes(), Access::Owner)?;
            let view = serde_json::to_vec_pretty(&batch).map_err(Failure::internal)?;
            files::write_new(&out.join("batch.json"), &view, Access::Owner)?;
        }
        if self.json {
            return console::json(&batch);
        }
        view::batch(&batch);
        console::say(
            "The officers of the instance now read and approve the ceremony; watch it with `kms batch status --watch`.",
        );
        Ok(())
    }

    fn profile(&self, status: &StatusView) -> Outcome<(ProfileId, Digest)> {
        let path = Path::new(&self.profile);
        if path.is_file() {
            let own = policy::read_profile(path)?;
            return Ok((own.id().clone(), own.digest()));
        }
        let known = status.profiles.iter().find(|known| known.id.0.as_str() == self.profile);
        known.map(|known| (known.id.0.clone(), known.digest.0)).ok_or_else(|| {
            let names: Vec<&str> = status.profiles.iter().map(|p| p.id.0.as_str()).collect();
            Failure::input(
                format!("the server knows no profile {}", self.profile),
                format!("it knows: {}", names.join(", ")),
            )
        })
    }
}
