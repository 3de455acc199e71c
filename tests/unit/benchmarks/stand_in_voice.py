"""A stand-in for pipecat's process: takes what it is told, and hears nothing but the clock."""

import json
import os
import sys
import time


def main() -> None:
    # As the real one: these lead its services to the vendors.
    for name in ("OPENAI_BASE_URL", "AWS_ENDPOINT_URL_POLLY", "RINGBACK_TRANSCRIBE_STREAMING_URL"):
        assert "127.0.0.1" in os.environ[name]
    tell("ready")
    for line in sys.stdin:
        told = json.loads(line)
        assert told["recording"].endswith(".wav")
        time.sleep(0.01)
        failure = os.environ.get("LOGURU_LEVEL") != "ERROR" and "its log is not quiet"
        tell([{"first_audio_s": 1.1, "last_audio_s": 2.0, "failure": failure or ""}] * told["turns"])


def tell(told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
