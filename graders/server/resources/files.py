"""/v1/files: upload, list, read, delete."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from graders.server.errors import ApiError, JsonResponse
from graders.server.lists import cursor_of, list_response
from graders.server.multipart import UploadForm, read_form
from graders.server.resources import Resource
from graders.server.routing import Routes, api, get
from graders.store import FileRecord, QuotaExceeded

#: Purposes of uploaded files.
PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
#: The service's bounds of a file's lifetime in seconds: an hour to 30 days.
LIFETIME_S = range(3600, 2592000 + 1)
#: The service's largest page of a list.
LIST_MOST = 10_000


class FileResource(Resource):
    """Files in the store."""

    def routes(self) -> Routes:
        return api(
            {
                "/files": {**get(self.list_files), "POST": self.create_file},
                "/files/{file_id}": {**get(self.retrieve_file), "DELETE": self.delete_file},
                "/files/{file_id}/content": get(self.file_content),
            }
        )

    async def create_file(self, request: Request) -> Response:
        """Upload a file."""
        service = self.service
        form = await read_form(request, service.limits, service.store.files.upload)
        assert form.upload is not None
        try:
            purpose, lifetime_s = _purpose(form), _lifetime_s(form)
            if form.upload.n_bytes > service.limits.file_bytes:
                text = f"The file is too large: the limit is {service.limits.file_bytes} bytes."
                raise ApiError(413, text, param="file", code="file_too_large")
        except ApiError:
            form.discard()
            raise
        add = partial(
            service.store.files.add,
            form.upload,
            purpose=purpose,
            filename=form.filename,
            lifetime_s=lifetime_s,
            quota_bytes=service.limits.files_bytes,
        )
        try:
            record = await service.in_store(add)
        except QuotaExceeded as error:
            raise ApiError(400, str(error), param="file", code="quota_exceeded") from None
        return JsonResponse(record.to_wire())

    async def list_files(self, request: Request) -> Response:
        """List files, the newest first."""
        cursor = cursor_of(request, limit=LIST_MOST, most=LIST_MOST, order="desc")
        purpose = request.query_params.get("purpose")
        page = await self.service.in_store(self.service.store.files.page, cursor, purpose)
        return list_response(
            [record.to_text() for record in page.rows], [record.id for record in page.rows], page.has_more
        )

    async def retrieve_file(self, request: Request) -> Response:
        """Describe a file."""
        return JsonResponse((await self._file(request)).to_wire())

    async def file_content(self, request: Request) -> Response:
        """Download a file."""
        path = self.service.store.files.path(await self._file(request))
        # a browser must never render the content as a page of this server
        headers = {"x-content-type-options": "nosniff", "content-disposition": "attachment"}
        return FileResponse(path, media_type="application/octet-stream", headers=headers)

    async def delete_file(self, request: Request) -> Response:
        """Delete a file."""
        file_id = request.path_params["file_id"]
        if not await self.service.in_store(self.service.store.files.delete, file_id):
            raise _unknown(file_id)
        return JsonResponse({"id": file_id, "object": "file", "deleted": True})

    async def _file(self, request: Request) -> FileRecord:
        file_id = request.path_params["file_id"]
        record = await self.service.in_store(self.service.store.files.get, file_id)
        if record is None:
            raise _unknown(file_id)
        return record


def _unknown(file_id: str) -> ApiError:
    return ApiError(404, f"No such File object: {file_id[:80]}", param="id")


def _purpose(form: UploadForm) -> str:
    purpose = form.fields.get("purpose")
    if purpose is None:
        text = "Missing required parameter: 'purpose'."
        raise ApiError(400, text, param="purpose", code="missing_required_parameter")
    if purpose not in PURPOSES:
        supported = ", ".join(map(repr, PURPOSES))
        text = f"Invalid value: {purpose[:80]!r}. Supported values are: {supported}."
        raise ApiError(400, text, param="purpose", code="invalid_value")
    return purpose


def _lifetime_s(form: UploadForm) -> int | None:
    """Seconds until the file expires, from `expires_after`; None: never."""
    anchor, seconds = form.fields.get("expires_after[anchor]"), form.fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        text = f"Invalid value: {str(anchor)[:80]!r}. Supported values are: 'created_at'."
        raise ApiError(400, text, param="expires_after.anchor", code="invalid_value")
    try:
        number = int(seconds or "")
    except ValueError:
        number = 0
    if number not in LIFETIME_S:
        text = (
            f"Invalid value for 'expires_after.seconds': expected an integer from {LIFETIME_S[0]} to "
            f"{LIFETIME_S[-1]}, but got {str(seconds)[:80]!r}."
        )
        raise ApiError(400, text, param="expires_after.seconds", code="invalid_value")
    return number
