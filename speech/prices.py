"""What speech services take, in US dollars, as far as `ringback.toml` says nothing else.

Sources: aws.amazon.com/polly/pricing and aws.amazon.com/transcribe/pricing, written down from memory in November 2026:
US East (N. Virginia), on demand, first tier, without the free tier. Other regions may differ.
"""

from jobs.routes import Price

_TRANSCRIBED = Price(audio_s=0.024 / 60, minimum_s=15.0)
LIST = {
    "polly/standard": Price(characters=4.0),
    "polly/neural": Price(characters=16.0),
    "polly/long-form": Price(characters=100.0),
    "polly/generative": Price(characters=30.0),
    "transcribe/streaming": _TRANSCRIBED,
    "transcribe/batch": _TRANSCRIBED,
}
