-- The fourth version: devices that were let in on the page (section: the settings have a section
-- for it, without an id), and ids that were turned away. Times in ns since 1970.
CREATE TABLE pairs (
    device  INTEGER PRIMARY KEY REFERENCES devices (id),
    peer    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    section INTEGER NOT NULL
) STRICT;

CREATE TABLE turned_away (
    peer TEXT    PRIMARY KEY,
    at   INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
