"""Measures turns by voice against what the vendors themselves take, beside pipecat: `make bench-voice`.

How to read it: docs/benchmarks.md. What is fair about it and what is not:

- Both speak to the same scripted vendors in the same bytes: Transcribe's streams, Polly, a model on the OpenAI wire.
- Ringback is the whole service: an HTTP request with the recording, the queue, a durable record, a worker, and events
  over SSE. pipecat is one process without any of that; its turn begins in the process and ends there.
- pipecat's services are its own. Transcribe's is told when the audio is over, which it leaves to the vendor else, and
  has its stream open before the turn, as in a live call; Ringback opens one when the recording is there. Polly's gets
  one client for all sentences, where its own makes one for each: that costs it 5 to 50 ms a sentence, on the one thread
  that all pipelines share. Its wait for more speech and for late transcripts is set to nothing, there is no voice
  activity detector, and neither metrics, turn tracking, RTVI nor logs below errors.
- A pipeline is made, warm and connected before its turns, and keeps its connections, as in a call.
"""
