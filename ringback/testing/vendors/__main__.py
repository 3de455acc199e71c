"""`python -m ringback.testing.vendors`: the fake vendors from a shell, for benchmarks and for trying things by hand.

Models are served at one address, Amazon's speech services (Polly, Transcribe, and S3 for them) at another.
"""

import argparse
import shlex
import signal
import sys

from ringback.testing.script import Script
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.server import VendorServer

_CHOICES = {
    "RINGBACK_DEFAULT_MODEL": "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
    "RINGBACK_TTS": "polly",
    "RINGBACK_STT": "transcribe",
    "RINGBACK_S3_BUCKET": "ringback-fake",
}
"""Settings with which a turn by voice meets every one of Amazon's services."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ringback.testing.vendors",
        description="Serves OpenAI, Anthropic, Gemini, Bedrock, and Amazon's speech services on loopback, and prints"
        " the base URL of the models once ready.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--text", default="The quick brown fox jumps over the lazy dog. ", help="the answer")
    parser.add_argument("--deltas", type=int, default=8, help="into how many pieces the answer is cut (default 8)")
    parser.add_argument("--first-s", type=float, default=0.0, help="seconds before the answer starts")
    parser.add_argument("--delta-s", type=float, default=0.0, help="seconds between two deltas")
    parser.add_argument("--heard", default="Where is my order?", help="what Transcribe understands of any recording")
    parser.add_argument(
        "--language", default="en-US", help="what it takes the language for, where it is to find out (default en-US)"
    )
    parser.add_argument(
        "--environment",
        action="store_true",
        help="print, for a shell, the variables that lead Ringback here",
    )
    return parser.parse_args()


def _pieces(text: str, count: int) -> tuple[str, ...]:
    """`text` cut into `count` pieces of about equal length; one a character if it has fewer."""
    count = max(1, min(count, len(text)))
    return tuple(text[len(text) * n // count : len(text) * (n + 1) // count] for n in range(count))


def _exports(variables: dict[str, str]) -> list[str]:
    """Lines for a shell."""
    return [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    arguments = _arguments()
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with (
        VendorServer(host=arguments.host, port=arguments.port, record=False) as models,
        SpeechServer(host=arguments.host, record=False) as speech,
    ):
        models.script(
            Script(
                deltas=_pieces(arguments.text, arguments.deltas),
                first_s=arguments.first_s,
                delta_s=arguments.delta_s,
            )
        )
        speech.script(SpeechScript(heard=(arguments.heard,), language=arguments.language))
        if arguments.environment:
            sys.stdout.writelines(_exports(models.environment() | speech.environment() | _CHOICES))
        else:
            sys.stdout.write(f"{models.url}\n")
        sys.stdout.flush()
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
