"""The store: one owner of the database, the ledger of custody, claims, codes, the journal for the office."""
