"""The parts of the speech services that need no service."""
