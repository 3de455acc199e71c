"""Turns of a session: what comes with them, and the two ways in which they are answered."""
