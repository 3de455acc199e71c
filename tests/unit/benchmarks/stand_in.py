"""A stand-in for LiteLLM's proxy: takes its command line, configuration and environment, and passes requests on.

`python stand_in.py --config FILE --host HOST --port PORT --num_workers N`
"""

import argparse
import json
import os
from pathlib import Path

import aiohttp
from aiohttp import web


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--num_workers", type=int, required=True)
    options = parser.parse_args()
    # As the real one: no master key only where that is said to be meant.
    assert os.environ["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] == "true"
    assert options.host == "127.0.0.1"
    known = {
        entry["model_name"]: entry["litellm_params"]
        for entry in json.loads(options.config.read_text(encoding="utf-8"))["model_list"]
    }

    async def complete(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        target = known[body["model"]]
        asked = body | {"model": target["model"].removeprefix("openai/")}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{target['api_base']}/chat/completions", json=asked) as answer,
        ):
            return web.Response(body=await answer.read(), content_type=answer.content_type)

    async def ready(_: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/health/readiness", ready)])
    web.run_app(app, host=options.host, port=options.port, print=None)


if __name__ == "__main__":
    main()
