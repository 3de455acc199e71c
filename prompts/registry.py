"""All job types of a deployment: the built-in catalog and the user's own directory of prompt files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from jobs import errors
from prompts import definition, document
from prompts.conversation import Rendered
from prompts.jobtype import JobType
from prompts.output import ReplyInvalid
from prompts.turn import Turn

__all__ = ["CATALOG", "JobType", "Registry", "Rendered", "ReplyInvalid", "Turn", "load"]

CATALOG = Path(__file__).parent / "catalog"
"""The directory of the prompt files that ship with Ringback."""


class Registry:
    """Job types by name; immutable."""

    def __init__(self, types: Iterable[JobType]) -> None:
        self.types: Mapping[str, JobType] = MappingProxyType({t.name: t for t in sorted(types, key=lambda t: t.name)})

    def get(self, name: str) -> JobType:
        """The job type of that name; raises `errors.UnknownJobType`."""
        try:
            return self.types[name]
        except KeyError:
            known = ", ".join(self.types)
            raise errors.UnknownJobType.at("#/type", f"unknown job type {name[:64]!r}; known: {known}") from None


def load(prompts_dir: Path | None = None) -> Registry:
    """The built-in job types and those of the `*.md` files in `prompts_dir`, which add to or override them by name.

    Raises `errors.ConfigurationError` (`FILE:LINE: reason`) for the first file that cannot be used.
    """
    types = _directory(CATALOG)
    if prompts_dir is not None:
        types |= _directory(prompts_dir)
    return Registry(types.values())


def _directory(directory: Path) -> dict[str, JobType]:
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == ".md" and not path.name.startswith("."))
    except OSError as error:
        raise errors.ConfigurationError(f"prompts directory {directory}: {error.strerror}") from error
    types: dict[str, JobType] = {}
    files: dict[str, str] = {}
    for path in paths:
        source = document.read(path)
        made = definition.job_type(source)
        if made.name in types:
            raise source.error(("name",), f"{made.name!r} is already the name of {files[made.name]}")
        types[made.name], files[made.name] = made, path.name
    return types
