"""Paginated lists in the service's form, spliced from JSON texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from graders.server.errors import ApiError
from graders.store.pages import Cursor


def cursor_of(
    request: Request,
    *,
    limit: int = 20,
    most: int = 100,
    order: str = "asc",
    orders: tuple[str, str] = ("asc", "desc"),
) -> Cursor:
    """The cursor in a request's query.

    Args:
        limit, order: Defaults of the query's parameters.
        orders: The words for ascending and descending.
        most: Largest limit; a larger one is lowered, and one below 1 raised.

    Raises:
        ApiError: 400, `limit` is not a number, or `order` is neither word.
    """
    query = request.query_params
    wanted = query.get("limit", str(limit))
    try:
        number = int(wanted)
    except ValueError:
        text = f"Invalid type for 'limit': expected an integer, but got {wanted[:80]!r} instead."
        raise ApiError(400, text, param="limit", code="invalid_type") from None
    direction = choice_of(request, "order", orders) or order
    return Cursor(max(1, min(number, most)), query.get("after", ""), direction == orders[1])


def choice_of(request: Request, name: str, choices: Sequence[str]) -> str | None:
    """A parameter of the query with fixed choices; None when it is absent.

    Raises:
        ApiError: 400, it has another value.
    """
    value = request.query_params.get(name)
    if value is not None and value not in choices:
        supported = ", ".join(map(repr, choices))
        text = f"Invalid value: {value[:80]!r}. Supported values are: {supported}."
        raise ApiError(400, text, param=name, code="invalid_value")
    return value


class JsonTextResponse(Response):
    """A response with JSON text."""

    media_type = "application/json"


def list_response(objects: Iterable[str], ids: Sequence[str], has_more: bool) -> Response:
    """The service's list object. The two ids of an empty list are "", since clients accept no null there."""
    first, last = (ids[0], ids[-1]) if ids else ("", "")
    text = (
        f'{{"object":"list","data":[{",".join(objects)}],"first_id":{json.dumps(first)},'
        f'"last_id":{json.dumps(last)},"has_more":{"true" if has_more else "false"}}}'
    )
    return JsonTextResponse(text)
