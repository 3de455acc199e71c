"""Runs a prompt's job: renders it, streams the model's answer into the log, checks the output, repairs it once."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import structlog

from jobs import errors
from jobs.job import JobSpec
from jobs.settings import Timeouts
from prompts.registry import JobType, Registry, ReplyInvalid
from prompts.turn import ToolCall
from providers.routing.router import Asked, Restart, Router
from providers.service import Answer, Ask, Delta
from workers.asking import ask_of, images_named, question_of, recorder
from workers.images import Images
from workers.narrator import Narrator
from workers.progress import Progress

_log = structlog.get_logger(__name__)


class OutputTruncated(errors.JobFailure):
    """The model reached its token limit before the answer was complete; `output` holds what there is."""

    code = "output_truncated"


class Answering:
    """Runs jobs whose type is a prompt file."""

    def __init__(self, prompts: Registry, router: Router, timeouts: Timeouts, images: Images) -> None:
        """`timeouts` hold where a job's own deadline says nothing."""
        self._prompts = prompts
        self._router = router
        self._timeouts = timeouts
        self._images = images

    async def run(self, spec: JobSpec, narrator: Narrator, progress: Progress) -> None:
        """Leaves the output in `progress`. Raises `errors.JobFailure`."""
        job_type = self._prompts.get(spec.type)
        value = progress.begin(spec, job_type)
        rendered = job_type.render(value)
        fetched = await self._images.fetch(images_named(rendered))
        ask = ask_of(rendered, fetched, task=spec.type, subject=value)
        answer = await self._stream(spec, spec.targets, ask, narrator, progress)
        try:
            progress.output = _checked(job_type, answer, value, progress)
            return
        except ReplyInvalid as invalid:
            reason = str(invalid)
            _log.info("reply_invalid", job_id=spec.id, type=spec.type, reason=reason)
        # Whoever answered corrects it; those before it have failed already.
        again = spec.targets[spec.targets.index(narrator.target) :]
        narrator.reset("output_invalid", narrator.target)
        repair = ask_of(job_type.repair(rendered, answer.text, reason), fetched, task=spec.type, subject=value)
        answer = await self._stream(spec, again, repair, narrator, progress)
        try:
            progress.output = _checked(job_type, answer, value, progress)
        except ReplyInvalid as invalid:
            raise errors.OutputInvalid(f"{errors.OutputInvalid.__doc__} The last problem: {invalid}") from invalid

    async def _stream(
        self,
        spec: JobSpec,
        asked: Sequence[str],
        ask: Ask,
        narrator: Narrator,
        progress: Progress,
    ) -> Answer:
        question = question_of(spec, ask, asked, self._timeouts, progress)
        async with aclosing(self._router.answer(question, recorder("answer", narrator, progress))) as items:
            async for item in items:
                match item:
                    case Delta(text):
                        narrator.text(text)
                    case Restart(reason, target):
                        narrator.reset(reason, target)
                    case Asked(target):
                        narrator.ask(target)
                    case Answer():
                        return item
        raise AssertionError("unreachable: the router ends with an Answer or raises")


def _checked(job_type: JobType, answer: Answer, value: dict[str, Any], progress: Progress) -> dict[str, Any]:
    try:
        calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in answer.tool_calls)
        output = job_type.parse(answer.text, value, calls)
    except ReplyInvalid:
        if answer.finish == "length":
            raise OutputTruncated from None
        raise
    if answer.finish == "length":
        progress.output = output
        raise OutputTruncated
    return output
