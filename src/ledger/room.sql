-- What made room lately on each device (the last some hundred), and what each does to files that it had.
-- Times in ns since 1970; pace and storm are JSON, storm only while one waits for the owner's word.
CREATE TABLE evicted (
    seq    INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES devices (id),
    path   BLOB    NOT NULL,
    size   INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT;
CREATE INDEX evicted_of ON evicted (device, seq);

CREATE TABLE paces (
    device INTEGER PRIMARY KEY REFERENCES devices (id),
    pace   TEXT,
    storm  TEXT
) STRICT;
