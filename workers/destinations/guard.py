"""Which addresses the HTTP client of callbacks may dial."""

from socket import AF_UNSPEC, AddressFamily

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from jobs.addresses import AddressPolicy


class AddressRefused(OSError):
    """The callback's host is, or resolves to, an address that callbacks may not reach."""


class GuardedResolver(AbstractResolver):
    """Resolves a name once, for the connection that is then made to that address; all addresses must be allowed."""

    def __init__(self, policy: AddressPolicy) -> None:
        """`policy` decides over the addresses."""
        self._policy = policy
        self._resolver = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        """The addresses of `host`. Raises `AddressRefused`, or `OSError` if there are none."""
        found = await self._resolver.resolve(host, port, family)
        if not self._policy.trusts(host) and not all(self._policy.allows(r["host"]) for r in found):
            raise AddressRefused(f"{host} resolves to a private address")
        return found

    async def close(self) -> None:
        """Closes the resolver."""
        await self._resolver.close()
