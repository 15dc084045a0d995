-- metadata.sqlite as version 0 of the program left it (user_version 0): its tables, then some rows.
-- Names that ever held something. `contents` counts links and manifests: a repository without any is not shown.
CREATE TABLE repositories (
  id        INTEGER PRIMARY KEY,
  name      TEXT NOT NULL UNIQUE,
  created   INTEGER NOT NULL,
  bytes     INTEGER NOT NULL DEFAULT 0,
  contents  INTEGER NOT NULL DEFAULT 0,
  manifests INTEGER NOT NULL DEFAULT 0,
  tags      INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX repositories_shown ON repositories (name) WHERE contents > 0;

-- Bytes in the storage. `uses` counts the links and manifests that name them.
CREATE TABLE objects (
  digest  BLOB PRIMARY KEY,
  size    INTEGER NOT NULL,
  object  TEXT NOT NULL,
  uses    INTEGER NOT NULL,
  touched INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX objects_idle ON objects (touched) WHERE uses = 0;

-- Blobs that a repository shows. `refs` counts the edges of its manifests to them.
CREATE TABLE links (
  repository INTEGER NOT NULL,
  digest     BLOB NOT NULL,
  size       INTEGER NOT NULL,
  refs       INTEGER NOT NULL,
  touched    INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX links_by_digest ON links (digest);
CREATE INDEX links_idle ON links (touched) WHERE refs = 0;

-- `pins` counts tags, edges from parents, and one for a subject that is there.
CREATE TABLE manifests (
  repository    INTEGER NOT NULL,
  digest        BLOB NOT NULL,
  size          INTEGER NOT NULL,
  media_type    TEXT NOT NULL,
  artifact_type TEXT,
  annotations   TEXT,
  subject       BLOB,
  created       INTEGER NOT NULL,
  touched       INTEGER NOT NULL,
  pins          INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX manifests_by_subject ON manifests (repository, subject) WHERE subject IS NOT NULL;
CREATE INDEX manifests_idle ON manifests (touched) WHERE pins = 0;

CREATE TABLE edges (
  repository INTEGER NOT NULL,
  parent     BLOB NOT NULL,
  position   INTEGER NOT NULL,
  child      BLOB NOT NULL,
  kind       INTEGER NOT NULL,
  size       INTEGER NOT NULL,
  optional   INTEGER NOT NULL,
  PRIMARY KEY (repository, parent, position)
) WITHOUT ROWID;
CREATE INDEX edges_by_child ON edges (repository, child);

CREATE TABLE tags (
  repository INTEGER NOT NULL,
  name       TEXT NOT NULL,
  digest     BLOB NOT NULL,
  updated    INTEGER NOT NULL,
  PRIMARY KEY (repository, name)
) WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags (repository, digest);

CREATE TABLE history (
  repository INTEGER NOT NULL,
  tag        TEXT NOT NULL,
  sequence   INTEGER NOT NULL,
  digest     BLOB,
  at         INTEGER NOT NULL,
  actor      TEXT NOT NULL,
  PRIMARY KEY (repository, tag, sequence)
) WITHOUT ROWID;

CREATE TABLE outbox (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  event    TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  due      INTEGER NOT NULL
);
CREATE INDEX outbox_by_due ON outbox (due);

-- One row: bytes of all objects, and how long the journal is after the last commit.
CREATE TABLE totals (
  bytes   INTEGER NOT NULL,
  journal INTEGER NOT NULL
);
INSERT INTO totals VALUES (107, 0);
INSERT INTO repositories VALUES (1, 'team/app', 1, 107, 3, 2, 1), (2, 'team/base/linux', 1, 7, 1, 0, 0), (3, 'old', 1, 0, 0, 0, 0);
INSERT INTO objects VALUES
  (X'01DAC1D7CFA95021764849FD102524E141488C5E3A90F861DBB5A12D9AC8584F85', 7, 'sha256/layer.00000000', 2, 1),
  (X'016105D6CC76AF400325E94D588CE511BE5BFDBB73B437DC51ECA43917D7A43E3D', 60, 'sha256/image.00000000', 1, 2),
  (X'011A2FC26DC7EA5A2A4748B7CB2B1EF193D96AB2C99F93092F69E63075B28D1278', 40, 'sha256/signature.00000000', 1, 3);
INSERT INTO links VALUES (1, X'01DAC1D7CFA95021764849FD102524E141488C5E3A90F861DBB5A12D9AC8584F85', 7, 1, 1), (2, X'01DAC1D7CFA95021764849FD102524E141488C5E3A90F861DBB5A12D9AC8584F85', 7, 0, 1);
INSERT INTO manifests VALUES
  (1, X'016105D6CC76AF400325E94D588CE511BE5BFDBB73B437DC51ECA43917D7A43E3D', 60, 'application/vnd.oci.image.manifest.v1+json', NULL, NULL, NULL, 2, 2, 1),
  (1, X'011A2FC26DC7EA5A2A4748B7CB2B1EF193D96AB2C99F93092F69E63075B28D1278', 40, 'application/vnd.oci.image.manifest.v1+json', 'example/signature', NULL, X'016105D6CC76AF400325E94D588CE511BE5BFDBB73B437DC51ECA43917D7A43E3D', 3, 3, 1);
INSERT INTO edges VALUES (1, X'016105D6CC76AF400325E94D588CE511BE5BFDBB73B437DC51ECA43917D7A43E3D', 0, X'01DAC1D7CFA95021764849FD102524E141488C5E3A90F861DBB5A12D9AC8584F85', 2, 7, 0);
INSERT INTO tags VALUES (1, 'v1', X'016105D6CC76AF400325E94D588CE511BE5BFDBB73B437DC51ECA43917D7A43E3D', 2);
INSERT INTO history VALUES (1, 'v1', 1, X'016105D6CC76AF400325E94D588CE511BE5BFDBB73B437DC51ECA43917D7A43E3D', 2, 'user:ann');
