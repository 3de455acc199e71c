"""Conversations: turns in sessions, what they remember, and where their history is kept."""
