"""A streaming reader of multipart/form-data, which writes the file to disk as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from graders.server.errors import ApiError
from graders.server.limits import Limits
from graders.server.request import CALL, Call, ClientGone, discard
from graders.store.tables.files import Upload

FORM = "multipart/form-data"
#: Bytes of one field other than the file.
FIELD_BYTES = 16 * 1024
FIELDS = 64


class UploadForm:
    """The fields of a form with one file.

    Attributes:
        fields: name -> text, without the file.
        upload: The file's content; None until its part has begun.
        filename: The client's name for the file.
    """

    def __init__(self, boundary: bytes, make_upload: Callable[[], Upload]) -> None:
        self.fields: dict[str, str] = {}
        self.upload: Upload | None = None
        self.filename = ""
        self.complete = False
        self._make_upload = make_upload
        self._header = b""
        self._value = b""
        self._name = ""
        self._field: bytearray | None = None
        callbacks: Any = {
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_begin": self._on_part_begin,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, data: bytes) -> None:
        """Parse the next bytes of the body.

        Raises:
            ApiError: 400, it is not a form, or has too much beside its file.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise ApiError(
                400, f"We could not parse the multipart form: {error}.", code="invalid_form"
            ) from None

    def discard(self) -> None:
        """Delete the incomplete file."""
        if self.upload is not None:
            self.upload.discard()

    def _on_part_begin(self) -> None:
        self._name, self._field, self._is_file = "", None, False

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            if self._name == "file":
                self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        if self._name == "file":
            if self.upload is not None:
                raise ApiError(400, "The form has two fields 'file'; send one file a request.", param="file")
            self.upload = self._make_upload()
        elif len(self.fields) >= FIELDS:
            raise ApiError(400, f"The form has more than {FIELDS} fields.", code="invalid_form")
        else:
            self._field = bytearray()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = data[start:end]
        if self._field is None:
            assert self.upload is not None
            self.upload.write(part)
            return
        self._field += part
        if len(self._field) > FIELD_BYTES:
            text = f"The form's field '{self._name[:80]}' is longer than {FIELD_BYTES} bytes."
            raise ApiError(400, text, param=self._name[:80], code="invalid_form")

    def _on_part_end(self) -> None:
        if self._field is not None:
            self.fields[self._name] = self._field.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self.complete = True


async def read_form(request: Request, limits: Limits, make_upload: Callable[[], Upload]) -> UploadForm:
    """The request's form with its file on disk, to be added to the store or discarded.

    Raises:
        ApiError: 415 it is not a form, 400 it is incomplete or has no file, 413 the file is too large, 408 it stopped
            arriving.
        ClientGone: the client left.
    """
    call: Call = request.scope[CALL]
    media_type, options = parse_options_header(call.headers.get(b"content-type", b"").decode("latin-1"))
    if media_type != FORM.encode() or not options.get(b"boundary"):
        found = media_type.decode("latin-1")[:80]
        text = f"Unsupported content type: expected '{FORM}' with a boundary, but got '{found}'."
        raise ApiError(415, text, code="unsupported_content_type")
    form = UploadForm(options[b"boundary"], make_upload)
    try:
        await _receive(request, limits, form)
        if not form.complete:
            raise ApiError(400, "The multipart form ends before its last boundary.", code="invalid_form")
        if form.upload is None:
            raise ApiError(
                400, "Missing required parameter: 'file'.", param="file", code="missing_required_parameter"
            )
    except BaseException:
        form.discard()
        raise
    return form


async def _receive(request: Request, limits: Limits, form: UploadForm) -> None:
    call: Call = request.scope[CALL]
    more = True
    while more:
        try:
            async with asyncio.timeout(limits.body_s):
                message = await request.receive()
        except TimeoutError:
            text = f"No more of the request's body arrived for {limits.body_s:g} s."
            raise ApiError(408, text, code="request_timeout", headers={"connection": "close"}) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        more = message.get("more_body", False)
        call.streamed_bytes += len(part)
        try:
            if call.streamed_bytes > limits.file_bytes + FIELDS * FIELD_BYTES:
                text = f"The file is too large: the limit is {limits.file_bytes} bytes."
                raise ApiError(413, text, param="file", code="file_too_large")
            form.feed(part)
        except OSError as error:
            text = f"The file cannot be kept: {error.strerror or error}."
            raise ApiError(400, text, param="file", code="storage_error") from None
        except ApiError as error:
            if not await discard(request, message):
                error.headers["connection"] = "close"
            raise
