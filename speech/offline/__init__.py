"""Speech on this machine, with nothing but packages: English only.

The engines hold Python's global lock for long, and one of them is C code of the last century: they run in processes of
their own, which neither stop the event loop nor take the worker along.
"""
