//! kms-core
