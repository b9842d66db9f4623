//! Tables, as `migrations/` creates them.

diesel::table! {
    log_entries (idx) {
        idx -> BigInt,
        der -> Binary,
    }
}

diesel::table! {
    documents (digest) {
        digest -> Binary,
        der -> Binary,
    }
}

diesel::table! {
    checkpoints (size) {
        size -> BigInt,
        root -> Binary,
        note -> Text,
    }
}

diesel::table! {
    nonces (key_id, nonce) {
        key_id -> Binary,
        nonce -> Binary,
        expires_s -> BigInt,
    }
}

diesel::table! {
    chunks (batch, chunk) {
        batch -> Binary,
        chunk -> Integer,
        token -> BigInt,
        holder -> Nullable<Text>,
        lease_expires_ms -> BigInt,
        records -> Nullable<Binary>,
        openings -> Nullable<Binary>,
    }
}

diesel::table! {
    card_index (id) {
        id -> BigInt,
        number_mac -> Binary,
        factor_mac -> Binary,
        batch -> Binary,
        chunk -> Integer,
        position -> Integer,
        commitment -> Binary,
        replacement -> Bool,
        status -> Text,
    }
}
