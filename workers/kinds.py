"""Which kind of run a job needs: its type says."""

from collections.abc import Mapping

from jobs.job import JobSpec
from prompts.jobtype import Runner
from prompts.registry import Registry
from workers.narrator import Narrator
from workers.progress import Progress, Run


class Kinds:
    """All kinds of runs, as one."""

    def __init__(self, prompts: Registry, runs: Mapping[Runner, Run]) -> None:
        """`runs` by what prompt files call them."""
        self._prompts = prompts
        self._runs = runs

    async def run(self, spec: JobSpec, narrator: Narrator, progress: Progress) -> None:
        """See `Run`. Raises `errors.UnknownJobType` if this worker has no such type."""
        await self._runs[self._prompts.get(spec.type).runner].run(spec, narrator, progress)
