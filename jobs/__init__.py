"""What every process agrees on: job and event types, errors, settings, the signature and the Redis stores."""
