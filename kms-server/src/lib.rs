//! The KMS server: use cases, HTTP, storage, batch engine.
//!
//! | Module | What |
//! |---|---|
//! | [`config`], [`policies`] | what the operator and the reviewed files say |
//! | [`instance`] | the parts of a running instance, brought up in order |
//! | [`inspection`], [`guarded`] | what is found in the HSM; which keys are used after that |
//! | [`journal`], [`checkpointer`] | the one writer of the key log; its signed heads |
//! | [`store`] | rows; the only place that knows which database |
//! | [`app`] | use cases: load → decide → record → act → record |
//! | [`engine`], [`packages`], [`card_data`] | batches: chunks, files, card lines at rest |
//! | [`http`] | routes and guards; async stops there |
//!
//! Invariants: the process loads no PKCS#11 module (an HSM is a [`kms_core::ports::Hsm`]); state is the
//! fold of the key log; an INTENT is durable before its effect; nothing is answered before it is durable.

#![forbid(unsafe_code)]

pub mod app;
pub mod card_data;
pub mod checkpointer;
pub mod config;
pub mod engine;
pub mod fault;
pub mod guarded;
mod housekeeping;
pub mod http;
pub mod inspection;
pub mod instance;
pub mod journal;
pub mod packages;
pub mod policies;
pub mod store;
pub mod strangers;

use std::fs;
use std::sync::Arc;

use kms_core::ports::Hsm;
use rocket::fairing::AdHoc;
use rocket::{Build, Rocket};

use config::Config;
use instance::{Instance, StartError};

/// Exit status when the process must not go on (EX_IOERR): whoever supervises it starts it again.
pub const EXIT_STOPPED: i32 = 74;

/// Brings up an instance and its server; the threads of engine and housekeeping start with it.
pub fn build(config: Config, hsm: Arc<dyn Hsm>) -> Result<Rocket<Build>, StartError> {
    let settings = rocket::Config {
        address: config.listen.address,
        port: config.listen.port,
        ident: rocket::config::Ident::none(),
        // The peer's own address: nobody may choose it by a header.
        ip_header: None,
        log_level: rocket::config::LogLevel::Off,
        cli_colors: false,
        ..rocket::Config::default()
    };
    let address_file = config.address_file();
    let instance = Arc::new(Instance::open(config, hsm)?);
    // The address of an earlier run would mislead whoever waits for this one.
    match fs::remove_file(&address_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    engine::start(instance.clone())?;
    housekeeping::start(instance.clone())?;
    Ok(rocket::custom(settings)
        .manage(instance)
        .mount("/", http::routes())
        .register("/", http::error_catchers())
        .attach(AdHoc::on_liftoff("address file", move |rocket| {
            Box::pin(async move {
                let bound = format!("{}:{}", rocket.config().address, rocket.config().port);
                tracing::info!(address = %bound, "listening");
                if let Err(error) = write_atomically(&address_file, &bound) {
                    tracing::error!(%error, "the address file could not be written");
                }
            })
        })))
}

/// Ends the process: going on would risk the key log.
pub(crate) fn stop(reason: &str) -> ! {
    tracing::error!(reason, "stopping");
    std::process::exit(EXIT_STOPPED)
}

/// A reader never sees half an address.
fn write_atomically(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}
