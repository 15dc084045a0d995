CREATE TABLE uploads (
  id         TEXT PRIMARY KEY,
  repository TEXT NOT NULL,
  owner      TEXT NOT NULL,
  algorithm  INTEGER NOT NULL,
  received   INTEGER NOT NULL,
  hash_state BLOB NOT NULL,
  started    INTEGER NOT NULL,
  touched    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX uploads_by_age ON uploads (touched);
