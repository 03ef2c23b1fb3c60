-- The third version: folders in BTsync/shared that other people join. Their links and rules are in `links` and `rules`,
-- under the name shared/<name>. open is JSON and null for shares that are only fetched; state 5: what a folder had
-- when it was revoked.
ALTER TABLE shares ADD COLUMN open TEXT;
