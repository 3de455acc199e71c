"""The pytest plugin: every project that installs `ringback` gets these fixtures.

- `vendor_server`: OpenAI, Anthropic, Gemini and Bedrock on loopback, see `ringback.testing.vendors.server`;
- `callback_inbox`: a receiver of callbacks, see `ringback.testing.inbox`.

```python
from ringback.testing.script import Script

async def test_answer(vendor_server, monkeypatch):
    for name, value in vendor_server.environment().items():
        monkeypatch.setenv(name, value)
    vendor_server.script(Script(deltas=("안녕", "하세요.")))
    ...  # call whatever calls a vendor
    assert vendor_server.received[0].model == "gpt-4o"
```

Nothing heavy is imported before a test asks for a fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ringback.testing.inbox import CallbackInbox
    from ringback.testing.vendors.server import VendorServer


@pytest.fixture(scope="session")
def _vendor_server() -> "Iterator[VendorServer]":
    from ringback.testing.vendors.server import VendorServer

    with VendorServer() as server:
        yield server


@pytest.fixture
def vendor_server(_vendor_server: "VendorServer") -> "Iterator[VendorServer]":
    """A `VendorServer` without scripts and requests. One server, with one URL, serves the whole test session."""
    _vendor_server.reset()
    yield _vendor_server
    _vendor_server.reset()


@pytest.fixture
def callback_inbox() -> "Iterator[CallbackInbox]":
    """A `CallbackInbox`, empty, with an address of its own."""
    from ringback.testing.inbox import CallbackInbox

    with CallbackInbox() as inbox:
        yield inbox
