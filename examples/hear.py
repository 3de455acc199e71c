"""Reads the events of a turn from standard input: prints what was heard and is answered, keeps the speech in a file.

    curl -sN …/v1/sessions/ses_…/voice … | python3 hear.py answer.mp3

Only the standard library is needed.
"""

import base64
import json
import sys
from pathlib import Path


def main(path: str) -> None:
    """Writes the audio of all sentences, one after the other, to `path`."""
    speech, name = bytearray(), ""
    for line in sys.stdin:
        field, _, value = line.rstrip("\n").partition(": ")
        if field == "event":
            name = value
        if field != "data":
            continue
        data = json.loads(value)
        if name == "transcript.final":
            print("heard:", data["text"], flush=True)
        elif name == "sentence":
            print("says: ", data["text"].strip(), flush=True)
        elif name == "audio":
            speech += base64.b64decode(data["base64"])
        elif name == "job.failed":
            print("failed:", data["error"]["message"])
    Path(path).write_bytes(speech)
    print(f"{path}: {'speech' if speech else 'nothing was spoken'}")


if __name__ == "__main__":
    main(sys.argv[1])
