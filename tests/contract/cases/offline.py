"""The provider that needs no key; what its rules do is tested with it."""

from providers.offline.service import OfflineService
from tests.contract.case import Case

CASES = (Case(id="offline", provider="offline", model="rules", make=OfflineService, vendor=None),)
