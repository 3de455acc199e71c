"""Turns of a conversation: what was said is understood, answered sentence by sentence, and spoken meanwhile."""
