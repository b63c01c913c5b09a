"""Builds the web application: read-only pages, each behind the guard it is given."""

import functools
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import jinja2
from fastapi import Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.responses import HTMLResponse

from scanmill.local import inbox
from scanmill.settings import Settings
from scanmill.web.reports import PLAIN_NAME, Reports

# Reports and mails hold words that strangers wrote: nothing on these pages may run or load.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
        "font-src 'self' data:; script-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store, private",
}
MOST_MESSAGES = 500

_Name = Annotated[str, Path(pattern=PLAIN_NAME)]


def create_app(*, guard: Callable[..., Any], settings: Settings) -> FastAPI:
    """Return the application; `guard` is a FastAPI dependency that raises for strangers."""
    app = FastAPI(
        title="Scanmill",
        dependencies=[Depends(guard)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.middleware("http")(_with_headers)
    _add_inbox(app, settings)
    _add_reports(app, Reports(settings.bucket))

    @app.get("/")
    def start(request: Request) -> HTMLResponse:
        return _page(request, "index.html", bucket=settings.bucket)

    return app


def _add_inbox(app: FastAPI, settings: Settings) -> None:
    @app.get("/inbox")
    def show_inbox(request: Request) -> HTMLResponse:
        found = inbox.messages(settings.inbox_dir) if settings.inbox_dir else None
        return _page(request, "inbox.html", messages=found and found[:MOST_MESSAGES])

    @app.get("/inbox/{message_id}")
    def show_message(request: Request, message_id: str) -> HTMLResponse:
        folder = settings.inbox_dir
        message = inbox.message(folder, message_id) if folder else None
        if message is None:
            raise HTTPException(404, f"No message [{message_id}] in the inbox")
        return _page(request, "message.html", message=message)


def _add_reports(app: FastAPI, reports: Reports) -> None:
    @app.get("/reports/")
    def show_batches(request: Request) -> HTMLResponse:
        return _page(request, "reports.html", batch=None, names=reports.batches())

    @app.get("/reports/{batch}/")
    def show_gates(request: Request, batch: _Name) -> HTMLResponse:
        return _page(request, "reports.html", batch=batch, names=reports.gates(batch))

    @app.get("/reports/{batch}/{gate}/{path:path}")
    def show_report(batch: _Name, gate: _Name, path: str) -> Response:
        found = reports.read(batch, gate, path or "index.html")
        disposition = "inline" if found.is_shown else "attachment"
        return Response(
            found.body,
            media_type=found.media_type,
            headers={"Content-Disposition": disposition},
        )


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


def _page(request: Request, template: str, **values: object) -> HTMLResponse:
    # Where the application is mounted is the server's business: links start from there.
    root = request.scope.get("root_path", "")
    return HTMLResponse(_templates().get_template(template).render(root=root, **values))


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("scanmill.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
