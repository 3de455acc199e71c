"""Gemini models through the google-genai SDK."""

from providers.gemini.client import GeminiService

__all__ = ["GeminiService"]
