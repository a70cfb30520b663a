"""Style sheets, modules and vendored scripts. Their address has their digest, so browsers keep them for good."""

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.pages.rendering import STATIC, static_digest


class _Kept(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        if answer.status_code in {200, 304}:
            answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


files = Mount(f"/static/{static_digest()}", _Kept(directory=STATIC))
