"""The catalogue of problems. Each error is a fact and states its code, title, HTTP status and an example once.

Handlers, middleware, the OpenAPI document and the worker all read these classes. The docstring is the description that
users read. The status is a number here and nothing more: HTTP itself is the business of `app/api/`.
"""

from app.domain.errors.catalogue import *  # noqa: F403
from app.domain.errors.failures import *  # noqa: F403
from app.domain.errors.objects import *  # noqa: F403
from app.domain.errors.requests import *  # noqa: F403
from app.domain.errors.service import *  # noqa: F403
