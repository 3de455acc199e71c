"""Measures Ringback as it runs: `make bench`, or `python -m benchmarks`. How to read it: docs/benchmarks.md."""
