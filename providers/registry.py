"""Which providers there are, and the one instance of each that a process shares."""

from collections.abc import Callable

import structlog

from jobs import errors
from jobs.settings import Settings
from providers.service import AIService

_log = structlog.get_logger(__name__)


def _anthropic() -> AIService:
    from providers.anthropic.client import AnthropicService

    return AnthropicService()


def _bedrock() -> AIService:
    from providers.bedrock.client import BedrockService

    return BedrockService()


def _fake() -> AIService:
    from providers.fake.service import FakeService

    return FakeService()


def _gemini() -> AIService:
    from providers.gemini.client import GeminiService

    return GeminiService()


def _offline() -> AIService:
    from providers.offline.service import OfflineService

    return OfflineService()


def _openai() -> AIService:
    from providers.openai.client import OpenAIService

    return OpenAIService()


# Each imports its vendor's folder, and with it the SDK, only when it is first asked for.
CONSTRUCTORS: dict[str, Callable[[], AIService]] = {
    "anthropic": _anthropic,
    "bedrock": _bedrock,
    "fake": _fake,
    "gemini": _gemini,
    "offline": _offline,
    "openai": _openai,
}


class Services:
    """The providers of one process."""

    def __init__(self, settings: Settings) -> None:
        """Those that `settings.providers` names are on."""
        self._on = settings.providers
        self._made: dict[str, AIService] = {}

    def get(self, provider: str) -> AIService:
        """The service, made on first use. Raises `jobs.errors.ProviderDisabled` if it is off here."""
        if provider not in self._on:
            raise errors.ProviderDisabled(f"Provider {provider!r} is not configured on this worker.")
        if provider not in self._made:
            self._made[provider] = CONSTRUCTORS[provider]()
        return self._made[provider]

    async def warm_up(self) -> None:
        """Loads every provider that is on, so that no job has to wait for it."""
        for provider in self._on:
            try:
                await self.get(provider).warm_up()
            except Exception as error:  # noqa: BLE001 - what an SDK raises the first call will tell in our words
                _log.warning("provider_not_ready", provider=provider, error=type(error).__name__)

    async def aclose(self) -> None:
        """Closes those that were made."""
        made, self._made = self._made, {}
        for service in made.values():
            await service.aclose()
