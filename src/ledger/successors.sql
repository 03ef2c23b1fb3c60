-- What took the place of an old content when it was replaced, where that is known: whoever renames the file at home
-- meanwhile leaves it to be found. Null for those of before, and for what was not replaced.
ALTER TABLE versions ADD COLUMN new_ino INTEGER;
ALTER TABLE versions ADD COLUMN new_size INTEGER;
ALTER TABLE versions ADD COLUMN new_mtime INTEGER;
