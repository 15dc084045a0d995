-- Version 0 added up the repositories below a prefix at every write.
CREATE TABLE usage (
  prefix TEXT PRIMARY KEY,
  bytes  INTEGER NOT NULL
) WITHOUT ROWID;
WITH RECURSIVE above (prefix, bytes) AS (
  SELECT name, bytes FROM repositories
  UNION ALL
  SELECT rtrim(rtrim(prefix, replace(prefix, '/', '')), '/'), bytes FROM above WHERE prefix <> ''
)
INSERT INTO usage SELECT prefix, sum(bytes) FROM above GROUP BY prefix;

-- And it read all referrers of a subject to filter them.
CREATE INDEX manifests_by_kind ON manifests (repository, subject, artifact_type) WHERE subject IS NOT NULL;
