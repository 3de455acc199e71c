"""botocore's connections, which besides tell the bridge's call of their thread which socket it depends on."""

from socket import socket
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from amazon import bridge


class _Announced:
    """A connection that announces its socket: when it is opened, and when a kept one is used again."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc] # of the botocore class beside it
        self._announce()

    def request(self, *args: Any, **kwargs: Any) -> Any:
        if self.sock is not None:
            self._announce()
        return super().request(*args, **kwargs)  # type: ignore[misc] # as above

    def _announce(self) -> None:
        call = bridge.current()
        sock = self.sock
        while not isinstance(sock, socket):  # TLS through a TLS proxy
            sock = sock.socket
        if call is not None:
            call.use(sock)


class _Connection(_Announced, AWSHTTPConnection):  # type: ignore[misc] # botocore has no types
    pass


class _TLSConnection(_Announced, AWSHTTPSConnection):  # type: ignore[misc] # botocore has no types
    pass


class _Releasing:
    """A pool that takes a connection away from its call before another one can get it."""

    def _put_conn(self, conn: Any) -> None:
        if (call := bridge.current()) is not None:
            call.release()
        super()._put_conn(conn)  # type: ignore[misc] # of the botocore class beside it


class _Pool(_Releasing, AWSHTTPConnectionPool):  # type: ignore[misc] # botocore has no types
    ConnectionCls = _Connection


class _TLSPool(_Releasing, AWSHTTPSConnectionPool):  # type: ignore[misc] # botocore has no types
    ConnectionCls = _TLSConnection


def announce(client: Any) -> None:
    """Makes all connections of a new boto3 client announce themselves.

    botocore offers no other way: of its HTTP session only the class can be chosen, by a private argument too.
    """
    # This dict is also that of the session's pool managers, with and without proxy.
    client._endpoint.http_session._pool_classes_by_scheme.update(http=_Pool, https=_TLSPool)
