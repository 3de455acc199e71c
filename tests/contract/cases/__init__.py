"""The implementations of `AIService` under contract: one module each, with its `Case`s in `CASES`."""

import importlib
import pkgutil

from tests.contract.case import Case


def collect() -> tuple[Case, ...]:
    """All cases of all modules here."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(case for name in names for case in importlib.import_module(f"{__name__}.{name}").CASES)
