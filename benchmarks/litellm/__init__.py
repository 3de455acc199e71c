"""Measures Ringback beside LiteLLM's proxy: `make bench-litellm`. How to read it: docs/benchmarks.md.

Both are up at the same time, on the same machine, before the same fake upstream; the same load generator sends both
the same bytes, in turns. What is fair about it and what is not:

- Each is one unit of what its makers deploy. LiteLLM: one uvicorn process with one worker (its documentation's
  "one worker per pod"), which is one thread of Python, so about one core; `--litellm-workers` starts more. Ringback:
  `ringback up`, which is a gateway, a worker and the embedded Valkey, so up to two cores where there are two. CPU for
  each request is told for the whole of each.
- LiteLLM runs as its documentation says for production: PRODUCTION mode, error logs only (so no access log either), no
  debugging, no callbacks, no retries. It has no database and no master key, which costs it nothing and saves it
  authentication; it allows that only with a flag. Ringback, too, runs without keys.
- Ringback does more for each request: it writes a durable record before the upstream is asked (AOF, synced every
  second), a lease, events and usage, so that the answer survives its processes and can be read again. LiteLLM without
  its database keeps nothing. Ringback is not relieved of any of that here.
- LiteLLM is installed as its documentation says (`litellm[proxy]`), with uvloop and its default HTTP parser, and the
  OpenTelemetry SDK of its extra `proxy-runtime`: without it, it looks for it in vain at each request (8 % of its CPU
  in a profile). Its beta Rust core does not serve OpenAI models and is off.
"""
