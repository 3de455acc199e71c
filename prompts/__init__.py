"""Prompt files: each one in a catalog is a job type."""
