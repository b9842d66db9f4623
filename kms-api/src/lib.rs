//! kms-api
