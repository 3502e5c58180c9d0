"""Uploaded files: a record each, and a folder with one copy of each distinct content."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, BinaryIO

from graders.jsontext import dumps
from graders.store.database import Database
from graders.store.home import private_folder
from graders.store.ids import base62_id
from graders.store.pages import Cursor, Page, page_of

BLOCK_BYTES = 1024**2


class QuotaExceeded(Exception):
    """Raised when a file would exceed the quota."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file, with the fields of the wire."""

    id: str
    purpose: str
    filename: str
    bytes: int
    sha256: str
    created_at: int
    expires_at: int | None

    def to_wire(self) -> dict[str, Any]:
        """The service's file object."""
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": self.bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "status": "processed",
            "status_details": None,
        }

    def to_text(self) -> str:
        """The service's file object as JSON text."""
        return dumps(self.to_wire()).decode()


class Upload:
    """A file that is written to disk part by part. Used by one thread at a time.

    Attributes:
        n_bytes: Bytes so far.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / secrets.token_hex(16)
        self._file: BinaryIO = os.fdopen(
            os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb"
        )
        self._hash = sha256()
        self.n_bytes = 0

    def write(self, part: bytes) -> None:
        self._file.write(part)
        self._hash.update(part)
        self.n_bytes += len(part)

    def discard(self) -> None:
        """Delete the parts; has no effect after `FileTable.add`."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def finish(self) -> tuple[Path, str]:
        """The closed file and the hash of its content."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._path, self._hash.hexdigest()


_LIVE = "deleted_at IS NULL AND (expires_at IS NULL OR expires_at > ?)"


class FileTable:
    """Operations on files. Deleted and expired ones are hidden. A file's name is only text; it is never opened."""

    def __init__(self, database: Database, home: Path) -> None:
        self._database = database
        self._contents = private_folder(home / "files")
        self._incoming = private_folder(home / "incoming")

    def upload(self) -> Upload:
        """A new upload, for `add`."""
        return Upload(self._incoming)

    def add(
        self,
        upload: Upload,
        *,
        purpose: str,
        filename: str,
        lifetime_s: int | None = None,
        quota_bytes: int | None = None,
        file_id: str | None = None,
    ) -> FileRecord:
        """Store an upload.

        Args:
            filename: The client's name for the file; only its last component is stored.
            lifetime_s: Seconds until it expires; None: never.
            quota_bytes: Limit for all files together; None: no limit.
            file_id: The id of an imported file; None: a new one.

        Raises:
            QuotaExceeded: it would exceed the quota; the upload is discarded.
        """
        path, content = upload.finish()
        now = int(time.time())
        record = FileRecord(
            id=file_id or base62_id("file"),
            purpose=purpose,
            filename=filename.replace("\\", "/").rpartition("/")[2][:255] or "file",
            bytes=upload.n_bytes,
            sha256=content,
            created_at=now,
            expires_at=None if lifetime_s is None else now + lifetime_s,
        )
        try:
            with self._database.write() as db:
                if quota_bytes is not None and self._room_taken(db) + record.bytes > quota_bytes:
                    raise QuotaExceeded(
                        f"the files kept here may take {quota_bytes} bytes in all, and this one of {record.bytes} "
                        "bytes does not fit; delete some, or raise the quota"
                    )
                db.execute(
                    "INSERT INTO files (id, purpose, filename, bytes, sha256, created_at, expires_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        record.id,
                        record.purpose,
                        record.filename,
                        record.bytes,
                        record.sha256,
                        record.created_at,
                        record.expires_at,
                    ),
                )
                # within the transaction, so that an equal content cannot be deleted in between
                os.replace(path, self._contents / content)
        finally:
            path.unlink(missing_ok=True)
        return record

    def add_from(
        self, source: IO[bytes], *, purpose: str, filename: str, file_id: str | None = None
    ) -> FileRecord:
        """Store the content of a stream; see `add`."""
        upload = self.upload()
        try:
            while part := source.read(BLOCK_BYTES):
                upload.write(part)
            return self.add(upload, purpose=purpose, filename=filename, file_id=file_id)
        finally:
            upload.discard()

    def _room_taken(self, db: sqlite3.Connection) -> int:
        taken: int = db.execute(
            "SELECT coalesce(sum(bytes), 0) FROM files WHERE deleted_at IS NULL"
        ).fetchone()[0]
        return taken

    def get(self, file_id: str) -> FileRecord | None:
        row = (
            self._database.read()
            .execute(f"SELECT * FROM files WHERE id = ? AND {_LIVE}", (file_id, int(time.time())))
            .fetchone()
        )
        return None if row is None else _record(row)

    def path(self, record: FileRecord) -> Path:
        """The path of its content."""
        return self._contents / record.sha256

    def page(self, cursor: Cursor, purpose: str | None = None) -> Page[FileRecord]:
        """A page of files in the order of their upload."""
        db = self._database.read()
        where, values = _LIVE, [int(time.time()), *([] if purpose is None else [purpose])]
        if purpose is not None:
            where += " AND purpose = ?"
        start = db.execute("SELECT seq FROM files WHERE id = ?", (cursor.after,)).fetchone()
        found = page_of(db, "SELECT * FROM files", where, values, cursor, start=start)
        return Page([_record(row) for row in found.rows], found.has_more)

    def delete(self, file_id: str) -> bool:
        """Delete a file, and its content with the last file that has it; returns whether it existed."""
        with self._database.write() as db:
            now = int(time.time())
            row = db.execute(f"SELECT * FROM files WHERE id = ? AND {_LIVE}", (file_id, now)).fetchone()
            if row is None:
                return False
            self._remove(db, [row], now)
        return True

    def sweep(self) -> None:
        """Delete expired files."""
        with self._database.write() as db:
            now = int(time.time())
            expired = db.execute(
                "SELECT * FROM files WHERE deleted_at IS NULL AND expires_at <= ?", (now,)
            ).fetchall()
            self._remove(db, expired, now)

    def remove_unfinished(self) -> None:
        """Delete incomplete uploads; for the holder of the claim, before it accepts any."""
        for path in self._incoming.iterdir():
            path.unlink(missing_ok=True)

    def _remove(self, db: sqlite3.Connection, rows: Iterable[sqlite3.Row], now: int) -> None:
        for row in rows:
            db.execute("UPDATE files SET deleted_at = ? WHERE seq = ?", (now, row["seq"]))
            others = db.execute(
                "SELECT 1 FROM files WHERE sha256 = ? AND deleted_at IS NULL", (row["sha256"],)
            ).fetchone()
            if others is None:
                (self._contents / row["sha256"]).unlink(missing_ok=True)


def _record(row: sqlite3.Row) -> FileRecord:
    return FileRecord(
        row["id"],
        row["purpose"],
        row["filename"],
        row["bytes"],
        row["sha256"],
        row["created_at"],
        row["expires_at"],
    )
