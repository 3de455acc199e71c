"""For users' own tests: vendor servers that speak the real wire formats, and an inbox for callbacks."""
