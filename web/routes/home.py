"""The first page, and the style and the script of all."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from pages.render import style_sheet, table_script

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request) -> Response:
    """Lead to the first page of the navigation."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs", 303)


@router.get("/static/pages.css")
def style() -> Response:
    """The style that the receipt and the reports have."""
    return Response(style_sheet(), media_type="text/css", headers={"cache-control": "max-age=3600"})


@router.get("/static/tables.js")
def script() -> Response:
    """The script that sorts and filters tables, as in the receipt and the reports."""
    return Response(table_script(), media_type="text/javascript", headers={"cache-control": "max-age=3600"})
