"""What can be asked of which model: `profiles.toml`, read once."""

import functools
import re
import tomllib
from pathlib import Path

import msgspec

from jobs.model import split_model
from providers.service import Capabilities

_FILE = Path(__file__).with_name("profiles.toml")


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of the file."""

    models: str
    images: bool = True
    tools: bool = True
    json_schema: bool = True
    system: bool = True
    prefill: bool = True
    context_tokens: int | None = None

    def capabilities(self) -> Capabilities:
        """The same, as services tell it."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "models"}
        return Capabilities(**fields)


@functools.cache
def entries() -> dict[str, tuple[tuple[re.Pattern[str], Capabilities], ...]]:
    """By provider, in the order of the file."""
    documents = msgspec.convert(tomllib.loads(_FILE.read_text(encoding="utf-8")), dict[str, list[Profile]])
    return {
        provider: tuple((re.compile(profile.models), profile.capabilities()) for profile in profiles)
        for provider, profiles in documents.items()
    }


@functools.lru_cache(maxsize=1024)
def of(target: str) -> Capabilities:
    """What can be asked of `provider/model`; of a provider that is not in the file: everything."""
    provider, model = split_model(target)
    for pattern, capabilities in entries().get(provider, ()):
        if pattern.search(model):
            return capabilities
    return Profile(models="").capabilities()
