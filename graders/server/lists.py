"""Lists as the service gives them: part by part, spliced from texts that are JSON already."""

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
    """The part of a list that a request's query asks for.

    Args:
        limit, order: Where the query does not say.
        orders: The words for up and down.
        most: Rows at most; a larger limit is lowered, as a smaller one than 1 is raised.

    Raises:
        ApiError: 400, `limit` is no number, or `order` neither of the two words.
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
    """A parameter of the query with a few values; None when it is absent.

    Raises:
        ApiError: 400, it has another value.
    """
    value = request.query_params.get(name)
    if value is not None and value not in choices:
        supported = ", ".join(map(repr, choices))
        text = f"Invalid value: {value[:80]!r}. Supported values are: {supported}."
        raise ApiError(400, text, param=name, code="invalid_value")
    return value


class JsonText(Response):
    """A response of text that is JSON already."""

    media_type = "application/json"


def list_response(objects: Iterable[str], ids: Sequence[str], has_more: bool) -> Response:
    """The service's list object. Of an empty list the two ids are "", since clients take no null there."""
    first, last = (ids[0], ids[-1]) if ids else ("", "")
    text = (
        f'{{"object":"list","data":[{",".join(objects)}],"first_id":{json.dumps(first)},'
        f'"last_id":{json.dumps(last)},"has_more":{"true" if has_more else "false"}}}'
    )
    return JsonText(text)
