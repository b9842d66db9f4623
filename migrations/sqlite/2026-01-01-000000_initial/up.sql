-- The key log. Nothing here is ever updated or deleted: the server's state is the fold of this table.
CREATE TABLE log_entries (
    idx BIGINT NOT NULL PRIMARY KEY CHECK (idx >= 0),
    der BLOB NOT NULL
);

-- Documents that entries name by their SM3 digest, and sealed sets waiting to be proposed for import.
CREATE TABLE documents (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    der BLOB NOT NULL
);

-- Signed notes. The newest one also lies in the HSM.
CREATE TABLE checkpoints (
    size BIGINT NOT NULL PRIMARY KEY CHECK (size > 0),
    root BLOB NOT NULL CHECK (length(root) = 32),
    note TEXT NOT NULL
);

-- Nonces of signed requests, kept until the request would be refused for its time anyway.
CREATE TABLE nonces (
    key_id BLOB NOT NULL CHECK (length(key_id) = 32),
    nonce BLOB NOT NULL CHECK (length(nonce) = 16),
    expires_s BIGINT NOT NULL,
    PRIMARY KEY (key_id, nonce)
);
CREATE INDEX nonces_expires ON nonces (expires_s);

-- Work of the batch engine. `token` grows with every lease; `records` are the protected card lines and
-- go when the batch is released, `openings` are the protected salts and factors that remain.
CREATE TABLE chunks (
    batch BLOB NOT NULL CHECK (length(batch) = 16),
    chunk INTEGER NOT NULL CHECK (chunk >= 0),
    token BIGINT NOT NULL CHECK (token >= 0),
    holder TEXT,
    lease_expires_ms BIGINT NOT NULL,
    records BLOB,
    openings BLOB,
    PRIMARY KEY (batch, chunk)
);

-- Who was issued keys before, by keyed hashes only.
CREATE TABLE card_index (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    number_mac BLOB NOT NULL CHECK (length(number_mac) = 32),
    factor_mac BLOB NOT NULL CHECK (length(factor_mac) = 32),
    batch BLOB NOT NULL CHECK (length(batch) = 16),
    chunk INTEGER NOT NULL,
    position INTEGER NOT NULL,
    commitment BLOB NOT NULL CHECK (length(commitment) = 32),
    replacement BOOLEAN NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'spoiled', 'cancelled')),
    UNIQUE (batch, chunk, position)
);
CREATE INDEX card_index_number ON card_index (number_mac);
-- A chip gets keys once, and a person one card that is not a replacement, whatever the code above says.
CREATE UNIQUE INDEX card_index_factor_once ON card_index (factor_mac) WHERE status = 'active';
CREATE UNIQUE INDEX card_index_number_once ON card_index (number_mac) WHERE status = 'active' AND replacement = 0;
CREATE INDEX card_index_commitment ON card_index (batch, commitment);
