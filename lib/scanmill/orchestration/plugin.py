"""Mounts the pages of `scanmill.web` in Airflow's api-server, behind Airflow's own login."""

import functools
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

_Message = MutableMapping[str, Any]


class Pages:
    """The web application, built on its first request.

    Every process of Airflow imports its plugins; only the api-server ever gets a request, and
    only it pays for the imports.
    """

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        await _application()(scope, receive, send)


class ScanmillPlugin(AirflowPlugin):
    """The inbox and the reports, in Airflow's navigation."""

    name = "scanmill"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        {"app": Pages(), "url_prefix": "/scanmill", "name": "Scanmill"}
    ]
    external_views: ClassVar[list[dict[str, str]]] = [
        {
            "name": "Scans: inbox",
            "href": "/scanmill/inbox",
            "destination": "nav",
            "category": "browse",
            "url_route": "scans-inbox",
        },
        {
            "name": "Scans: reports",
            "href": "/scanmill/reports/",
            "destination": "nav",
            "category": "browse",
            "url_route": "scans-reports",
        },
    ]


@functools.cache
def _application() -> Any:
    from airflow.api_fastapi.core_api.security import get_user  # noqa: PLC0415 - api-server only
    from starlette.exceptions import HTTPException  # noqa: PLC0415

    from scanmill.settings import Settings  # noqa: PLC0415
    from scanmill.web.app import create_app  # noqa: PLC0415

    # Plugin pages are public unless they ask for the user themselves.
    app = create_app(guard=get_user, settings=Settings.load())
    app.add_exception_handler(HTTPException, _send_to_login)
    return app


async def _send_to_login(request: Any, error: Any) -> Any:
    """Send a browser that nobody signed in with to the login page; tell everyone else plainly."""
    from airflow.api_fastapi.app import get_auth_manager  # noqa: PLC0415
    from fastapi.exception_handlers import http_exception_handler  # noqa: PLC0415
    from fastapi.responses import RedirectResponse  # noqa: PLC0415

    is_stranger = error.status_code == 401 or (
        error.status_code == 403 and _has_stale_cookie(request)
    )
    if is_stranger and "text/html" in request.headers.get("accept", ""):
        login = get_auth_manager().get_url_login(next_url=str(request.url))
        return RedirectResponse(login, status_code=303)
    return await http_exception_handler(request, error)


def _has_stale_cookie(request: Any) -> bool:
    """Tell whether the 403 is about a cookie that some other installation signed."""
    return "_token" in request.cookies and "authorization" not in request.headers
