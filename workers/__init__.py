"""Celery workers: they claim jobs, run them on providers, deliver callbacks and sweep up after the dead."""
