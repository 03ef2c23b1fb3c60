-- A storm goes by the numbers of old contents, not by moments of a clock that may be set: first is the one that it
-- begins with. Of one that was noticed before, that is the first after the last that is older by its moment.
UPDATE paces SET storm = json_set(storm, '$.first', coalesce(
    (SELECT max(number) + 1 FROM versions WHERE at < json_extract(storm, '$.since')),
    (SELECT min(number) FROM versions),
    0
)) WHERE storm IS NOT NULL;
