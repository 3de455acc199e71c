"""How much of what was said long ago a conversation's memory still knows: `make eval-memory`."""
