-- What the night compared: inodes that are equal to no other of their size, with a hash of what they were then. Losing it
-- costs nothing but reading them again.
CREATE TABLE compared (
    ino  INTEGER PRIMARY KEY,
    mark INTEGER NOT NULL
) STRICT;
