"""The in-process fake; what its scripts do is tested with it."""

from providers.fake.service import FakeService
from tests.contract.case import Case

CASES = (Case(id="fake", provider="fake", model="x?text=%EC%95%88%EB%85%95&deltas=2", make=FakeService, vendor=None),)
