"""The OpenAI-compatible surface: chat completions, a thin translation onto `generate` jobs, and models."""
