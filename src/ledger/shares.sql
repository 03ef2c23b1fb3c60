-- The second version: what is shared with other people, and sums of masters that were shared.
-- whom is the word for them; peers is JSON: device id -> what we call them. state: 0 being made, 1 made, 2 handed to the sync
-- engine, 3 to end, 4 to end and once handed over. Times in ns since 1970.
CREATE TABLE shares (
    name   TEXT    PRIMARY KEY,
    path   BLOB    NOT NULL,
    whom   TEXT    NOT NULL,
    peers  TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    origin TEXT    NOT NULL,
    wish   TEXT    NOT NULL,
    state  INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- The names in BTsync/shared, by their path there.
CREATE TABLE share_links (
    path  BLOB    PRIMARY KEY,
    ino   INTEGER NOT NULL,
    size  INTEGER NOT NULL,
    mtime INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- The sha1 of a content, true while its inode has this size and mtime.
CREATE TABLE sums (
    ino   INTEGER PRIMARY KEY,
    size  INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    sha1  BLOB    NOT NULL
) STRICT;
