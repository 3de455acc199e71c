"""A fake of Amazon's speech services on their real wire: Polly, Transcribe (batch and streaming), and S3 for them.

In tests: `ringback.testing.speech.server.SpeechServer`.
"""
