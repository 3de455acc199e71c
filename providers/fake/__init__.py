"""The scripted in-process provider, for tests through the whole service: its script travels in the model name."""
