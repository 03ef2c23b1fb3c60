-- The first version of the ledger. Later ones are numbered files beside this one and never change it.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE devices (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- What we put into a device's folder, or adopted from it. Times: mtime in ns, used in s since 1970.
CREATE TABLE links (
    device INTEGER NOT NULL REFERENCES devices (id),
    path   BLOB    NOT NULL,
    ino    INTEGER NOT NULL,
    size   INTEGER NOT NULL,
    mtime  INTEGER NOT NULL,
    charge INTEGER NOT NULL,
    used   INTEGER NOT NULL,
    PRIMARY KEY (device, path)
) WITHOUT ROWID, STRICT;

-- Paths that a device follows ('follow'), does not want ('except') or never loses ('pin').
CREATE TABLE rules (
    device INTEGER NOT NULL REFERENCES devices (id),
    rule   TEXT    NOT NULL,
    path   BLOB    NOT NULL,
    PRIMARY KEY (device, rule, path)
) WITHOUT ROWID, STRICT;

CREATE TABLE versions (
    number INTEGER PRIMARY KEY,
    path   BLOB    NOT NULL,
    ino    INTEGER NOT NULL,
    size   INTEGER NOT NULL,
    mtime  INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    why    TEXT    NOT NULL
) STRICT;

-- Every wish that ever arrived, by where it came from ('' is the common page). answer is null until
-- there is one; state: 0 received, 1 begun, 2 answered for good.
CREATE TABLE wishes (
    seq      INTEGER PRIMARY KEY,
    origin   TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    state    INTEGER NOT NULL,
    received INTEGER NOT NULL,
    action   TEXT    NOT NULL,
    path     BLOB    NOT NULL,
    wish     TEXT,
    answer   TEXT,
    UNIQUE (origin, id)
) STRICT;
CREATE INDEX open_wishes ON wishes (seq) WHERE state < 2;
CREATE INDEX wishes_of ON wishes (origin, seq);
