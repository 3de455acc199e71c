"""What a conversation remembers: a rolling summary, pinned facts, and the messages since."""
