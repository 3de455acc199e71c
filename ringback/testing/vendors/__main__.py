"""`python -m ringback.testing.vendors`: the fake vendors from a shell, for benchmarks and for trying things by hand."""

import argparse
import os
import signal
import sys

from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ringback.testing.vendors",
        description="Serves OpenAI, Anthropic, Gemini and Bedrock on loopback and prints the base URL once ready.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="default: any free one")
    parser.add_argument("--text", default="The quick brown fox jumps over the lazy dog. ", help="the answer")
    parser.add_argument("--deltas", type=int, default=8, help="into how many pieces the answer is cut (default 8)")
    parser.add_argument("--first-s", type=float, default=0.0, help="seconds before the answer starts")
    parser.add_argument("--delta-s", type=float, default=0.0, help="seconds between two deltas")
    parser.add_argument("--environment", action="store_true", help="also print the variables that lead the SDKs here")
    return parser.parse_args()


def _pieces(text: str, count: int) -> tuple[str, ...]:
    """`text` cut into `count` pieces of about equal length; one a character if it has fewer."""
    count = max(1, min(count, len(text)))
    return tuple(text[len(text) * n // count : len(text) * (n + 1) // count] for n in range(count))


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    arguments = _arguments()
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with VendorServer(host=arguments.host, port=arguments.port, record=False) as server:
        server.script(
            Script(
                deltas=_pieces(arguments.text, arguments.deltas),
                first_s=arguments.first_s,
                delta_s=arguments.delta_s,
            )
        )
        sys.stdout.write(f"{server.url}\n")
        if arguments.environment:
            sys.stdout.writelines(f"{name}={value}{os.linesep}" for name, value in server.environment().items())
        sys.stdout.flush()
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
