DROP TABLE card_index;
DROP TABLE chunks;
DROP TABLE nonces;
DROP TABLE checkpoints;
DROP TABLE documents;
DROP TABLE log_entries;
