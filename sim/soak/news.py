"""What the checker reads of the database after a commit: its own SQL, only what it needs."""

from __future__ import annotations

UPTO = """
SELECT (SELECT value FROM meta WHERE key = 'last_seq') AS event,
       (SELECT seq FROM sqlite_sequence WHERE name = 'intent') AS intent,
       (SELECT max(move_id) FROM card_move) AS move
"""
"""How far the database has come, in one look."""

EVENTS = "SELECT seq, type, data FROM journal WHERE seq > ? ORDER BY seq"
INTENTS = "SELECT intent_id, unit, motion, slot, token, card_id, journey_id FROM intent WHERE intent_id > ? ORDER BY intent_id"
MOVES = """
SELECT move_id, link.card_id, origin, target, link.slot, reason, intent_id, responsible, intent.result,
       target = 'exit' AND EXISTS (SELECT 1 FROM code WHERE claim_id = link.card_id AND consumed IS NULL) AS opens
FROM card_move AS link LEFT JOIN intent USING (intent_id) WHERE move_id > ? ORDER BY move_id
"""
OPEN_INTENTS = "SELECT count(*) AS n FROM intent WHERE result IS NULL"
