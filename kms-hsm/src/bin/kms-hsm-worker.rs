//! The process that loads one PKCS#11 module and serves one pipe. Started by `HsmClient`, not by hand.

fn main() -> std::process::ExitCode {
    kms_hsm::worker::run()
}
