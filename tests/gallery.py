"""A host of images on loopback: good ones, and every way in which such hosts are bad."""

import asyncio

from aiohttp import web

from ringback.testing.loopback import LoopbackServer, cut, reset

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(64))
MEBIBYTE = 1024 * 1024


class Gallery(LoopbackServer):
    """Answers by path; see `handle`. Remembers what was asked for, and the headers of each request."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.open = 0
        """Requests under way."""
        self.files: dict[str, bytes] = {}
        """More of what is here, by path."""
        self.most_open = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return await self._answer(request)
        finally:
            self.open -= 1

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path in self.files:
            return web.Response(body=self.files[request.path])
        kind, _, rest = request.path.removeprefix("/").partition("/")
        match kind:
            case "png":
                return web.Response(body=PNG, content_type="text/plain")  # what it is shows in its content
            case "jpeg":
                return web.Response(body=JPEG)
            case "together":  # answers when so many are asked for at once
                await self.wait_until(lambda: self.most_open >= int(rest))
                return web.Response(body=PNG)
            case "status":
                return web.Response(status=int(rest), body=PNG)
            case "to":  # redirects to the URL in the query
                return web.Response(status=302, headers={"Location": request.query["url"]})
            case "hops":
                where = f"/hops/{int(rest) - 1}" if int(rest) else "/png"
                return web.Response(status=307, headers={"Location": where})
            case "html":
                return web.Response(text="<html>SECRET</html>", content_type="image/png")
            case "empty":
                return web.Response()
            case "large":  # so many bytes, announced
                return web.Response(body=PNG + bytes(int(rest) - len(PNG)))
            case "endless":
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(PNG)
                while True:
                    await response.write(bytes(65536))
            case "drip":
                response = web.StreamResponse()
                await response.prepare(request)
                for byte in PNG * 100:
                    await response.write(bytes([byte]))
                    await asyncio.sleep(0.02)
                return response
            case "half":
                response = web.StreamResponse()
                response.content_length = len(PNG) * 2
                await response.prepare(request)
                await response.write(PNG)
                cut(request)
                return response
            case "reset":
                reset(request)
                return web.Response()
            case "silent":
                await asyncio.Event().wait()
        return web.Response(status=404, text="SECRET")
