"""Who calls: credentials and region as boto3 finds them, for calls that it does not make itself."""

import asyncio
from typing import Any

from amazon import failures
from amazon.clients import session


class Identity:
    """Credentials that are kept fresh, and the region. Nothing is looked for before it is needed."""

    def __init__(self, region: str = "") -> None:
        """`region`: instead of the one that boto3 finds."""
        self._region = region
        self._session: Any = None
        self._credentials: Any = None

    async def frozen(self) -> tuple[Any, str]:
        """What botocore signs with, and the region. In a thread only if credentials must be fetched.

        Raises `failures.Failure` (`uncredentialed`, `unauthenticated`, `misconfigured`) and what boto3 raises.
        """
        if self._credentials is None:
            await asyncio.to_thread(self._find)
        credentials = self._credentials
        if getattr(credentials, "refresh_needed", bool)():
            # Not asked for again afterwards: where refreshing fails, old ones are good for a while, and each time
            # they are asked for they are refreshed again.
            try:
                frozen = await asyncio.to_thread(credentials.get_frozen_credentials)
            except RuntimeError as error:  # botocore: what it was given is expired too
                raise failures.Failure("unauthenticated", str(error)) from error
        else:
            frozen = credentials.get_frozen_credentials()
        return frozen, self._session.region_name

    def _find(self) -> None:
        found = session(self._region)
        credentials = found.get_credentials()
        if credentials is None:
            raise failures.Failure("uncredentialed", failures.NO_CREDENTIALS)
        if not found.region_name:
            raise failures.Failure("misconfigured", failures.NO_REGION)
        self._session, self._credentials = found, credentials
