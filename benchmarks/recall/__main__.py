"""`python -m benchmarks.recall [--model provider/model] [--turns N]`: the table of recall by age."""

import argparse
import asyncio

import msgspec

from benchmarks.recall.careless import CarelessModel
from benchmarks.recall.evaluation import evaluate_all, table
from conversations.memory.notes import Asking
from jobs import settings
from jobs.model import split_model
from jobs.session import PRESETS, STRATEGIES
from providers.registry import Services
from providers.service import Answer, Ask


def _asking(services: Services, target: str) -> Asking:
    provider, model = split_model(target)
    service = services.get(provider)

    async def ask(question: Ask) -> Answer:
        return await service.generate(msgspec.structs.replace(question, model=model))

    return ask


async def _run(model: str | None, turns: int, preset: str) -> None:
    loaded = settings.load()
    services = Services(loaded)
    try:
        asks: list[Asking] = [_asking(services, model) if model else CarelessModel() for _ in STRATEGIES]
        recalls = await evaluate_all(asks, turns=turns, settings=PRESETS[preset])
    finally:
        await services.aclose()
    print(f"{turns} turns, memory {preset}, {model or 'a scripted careless model'}; facts by the age of their telling")
    print(table(recalls))


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="benchmarks.recall", description=__doc__)
    parser.add_argument("--model", help="provider/model with its credentials in the environment")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="default")
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.model, arguments.turns, arguments.preset))


main()
