-- The browsers that are signed in to the common page. Of each token only its SHA-256.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    under TEXT NOT NULL,
    label TEXT NOT NULL,
    address TEXT NOT NULL,
    since INTEGER NOT NULL,
    used INTEGER NOT NULL
) STRICT;
