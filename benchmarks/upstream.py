"""The one upstream of a run: the fake vendor server in a process of its own, with a model for each timing.

It also counts the requests that it holds, which is how many jobs are really in flight.
"""

import msgspec
from aiohttp import web

from benchmarks.children import Parent, serve
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer

INSTANT = "instant"
"""Answers at once: whatever time passes is overhead."""
PACED = "paced"
"""Speaks as models do: 200 ms to the first token, then 12 more in 300 ms."""
HALF = "half"
"""Answers after half a second."""
REFUSING = "refusing"
"""Refuses every call at once, for a reason that is not worth another try."""
SLOW = "slow"
"""Answers after one second."""

_WORDS = ("The ", "quick ", "brown ", "fox ", "jumps ", "over ", "the ", "lazy ", "dog ", "again ", "and ", "again.")
ANSWER = "".join(_WORDS)
"""Of all models but the paced one, which adds a word before it."""
_SCRIPTS = {
    INSTANT: Script(deltas=_WORDS),
    PACED: Script(deltas=("Well: ", *_WORDS), first_s=0.2, delta_s=0.025),
    HALF: Script(deltas=_WORDS, first_s=0.5),
    REFUSING: Script(fault="forbidden"),
    SLOW: Script(deltas=_WORDS, first_s=1.0),
}


class Upstream(VendorServer):
    """The fake vendors; `GET` tells how many requests are being answered right now."""

    def __init__(self) -> None:
        super().__init__(record=False)
        self._held = 0
        for model, script in _SCRIPTS.items():
            self.script(script, model=model)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        if request.method == "GET":
            return web.Response(body=msgspec.json.encode(self._held))
        self._held += 1
        try:
            return await super().handle(request)
        finally:
            self._held -= 1


async def _main(parent: Parent) -> None:
    with Upstream() as server:
        parent.tell(server.url)
        await parent.read()


if __name__ == "__main__":
    serve(_main)
