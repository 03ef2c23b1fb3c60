-- Open wishes are taken page by page.
CREATE INDEX open_wishes_of ON wishes (origin, seq) WHERE state < 2;
DROP INDEX open_wishes;
