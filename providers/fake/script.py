"""What a fake model does, read from its name: `label?name=value&…`, in the syntax of a URL's query."""

import functools
import itertools
import re
from collections import Counter
from typing import Annotated
from urllib.parse import parse_qsl

import msgspec

from providers import errors
from providers.service import Finish

PROVIDER = "fake"
SILENCE = frozenset({"stall", "hang"})
"""The values of `fail` that are no error: nothing more comes, without end."""
ERRORS: dict[str, type[errors.ProviderError]] = {
    cls.code: cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.ProviderError)
} | {"cut": errors.StreamInterrupted}

Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one fake model does. Without `text`, `reply` or `chars` it repeats the last user message."""

    text: str | None = None
    """The answer."""
    reply: str | None = None
    """Answers to consecutive calls, separated by `|`; the last one stays."""
    chars: Count | None = None
    """Length of a filler answer."""
    deltas: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None
    """Into how many pieces of about equal length the answer is cut (a shorter answer into fewer); else its words."""
    first_ms: Milliseconds = 0.0
    """Before the first delta."""
    delta_ms: Milliseconds = 0.0
    """Between two deltas."""
    input_tokens: Count | None = None
    """Else the words of the request."""
    output_tokens: Count | None = None
    """Else the words of the answer."""
    cached_tokens: Count = 0
    reasoning_tokens: Count = 0
    finish: Finish = "stop"
    fail: str | None = None
    """A code of `providers.errors`, with or without its `provider_`; `cut`; or `stall` or `hang`, which is silence."""
    after: Count = 0
    """Deltas that come before it fails."""
    times: Count | None = None
    """How many calls fail before the others succeed; else all do."""
    retry_after: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Seconds, on the error."""
    key: str = ""
    """Only tells apart models that are otherwise the same, as calls are counted for each model name."""

    @property
    def counts_calls(self) -> bool:
        """Whether one call may go differently from the next."""
        return self.reply is not None or self.times is not None

    @property
    def error(self) -> type[errors.ProviderError] | None:
        """What `fail` stands for, unless that is silence. Raises `ValueError` if it is no code."""
        if self.fail is None or self.fail in SILENCE:
            return None
        found = ERRORS.get(self.fail) or ERRORS.get(f"provider_{self.fail}")
        if found is None:
            raise ValueError(f"`{self.fail}` is none of {', '.join([*sorted(SILENCE), *ERRORS])} - at `$.fail`")
        return found

    def answer(self, call: int, echo: str) -> str:
        """The answer to call number `call` (from 0), in which `echo` was said last."""
        if self.reply is not None:
            replies = self.reply.split("|")
            return replies[min(call, len(replies) - 1)]
        if self.chars is not None:
            return "".join(itertools.islice(itertools.cycle("Lorem ipsum dolor sit amet. "), self.chars))
        return echo if self.text is None else self.text

    def pieces(self, text: str) -> list[str]:
        """`text` as the deltas in which it is streamed."""
        if self.deltas is None:
            return re.findall(r"\s*\S+\s*", text) or ([text] if text else [])
        count = min(self.deltas, len(text))
        cuts = [len(text) * i // count for i in range(count + 1)] if count else []
        return [text[start:end] for start, end in itertools.pairwise(cuts)]

    def fails_at(self, call: int, deltas: int) -> int | None:
        """After how many of its `deltas` call number `call` (from 0) fails; `None`: it does not."""
        if self.fail is None or (self.times is not None and call >= self.times):
            return None
        return min(self.after, deltas)


@functools.lru_cache(maxsize=256)
def parse(model: str) -> Script:
    """The script in a model name.

    Raises `errors.BadRequest` naming what is unknown, not a legal value, or given twice.
    """
    _, _, query = model.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=32) if query else []
        if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
            raise ValueError(f"{', '.join(twice)} given twice")
        values = dict(pairs)
        if len(answers := values.keys() & {"text", "reply", "chars"}) > 1:
            raise ValueError(f"{' and '.join(sorted(answers))} exclude each other")
        script = msgspec.convert(values, Script, strict=False)
        _ = script.error
    except ValueError as error:  # which msgspec.ValidationError is, too
        raise errors.BadRequest(f"{PROVIDER}/{model}: {error}", provider=PROVIDER) from error
    return script
