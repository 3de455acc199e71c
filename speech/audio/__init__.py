"""Recordings in, speech out: which format bytes are in, decoding, resampling, encoding. All of it blocks: use threads.

`numpy`, `soundfile` and `soxr` are imported where they are first needed.
"""
