"""The Redis stores: job records with leases and fences, event logs, the outbox of callbacks. Redis holds the truth."""
