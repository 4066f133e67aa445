-- Of what kind of picture a template was made: a pack has a threshold for each kind.
ALTER TABLE face_template ADD COLUMN kind TEXT NOT NULL DEFAULT 'photo' CHECK (kind IN ('photo', 'chip'));
ALTER TABLE collector ADD COLUMN kind TEXT NOT NULL DEFAULT 'photo' CHECK (kind IN ('photo', 'chip'));
