//! kms-server
