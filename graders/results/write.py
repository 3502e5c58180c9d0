"""Writes results files: append-only, a single writer, resumable after any crash (docs/results-format.md)."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import IO

from graders.datasets.ids import IdSet
from graders.jsontext import dumps, loads
from graders.portable import REPLACES_OPEN_FILES, open_flags, sync_folder
from graders.results.agreement import changes, decisive
from graders.results.lines import ResultChunk, Tally
from graders.results.locking import lock_or_refuse, open_locked
from graders.results.read import Header, ResultsError, parse_header

#: Seconds between syncs, the most work that a power cut may cost. A killed process loses no written line.
SYNC_S = 1.0
#: Ids indexed at a time when a results file is resumed.
INDEX_CHUNK_ROWS = 10_000
#: errno -> what the user can do about it.
_NEXT_STEP = {
    errno.ENOSPC: ": make room, then go on with --resume",
    errno.EDQUOT: ": make room, then go on with --resume",
    errno.EFBIG: ": raise the limit on file sizes (ulimit -f), then go on with --resume",
    errno.ENOENT: ": its folder has to be made first",
}


class CannotWrite(ResultsError):
    """Raised when the system refuses to write the file: no space, no permission, no such folder."""

    def __init__(self, path: str, error: OSError, more: str = "") -> None:
        super().__init__(f"cannot write {path}: {error.strerror}{_NEXT_STEP.get(error.errno or 0, '')}{more}")


class Writer:
    """An open results file, locked against other writers.

    Attributes:
        done: Ids of the rows in the file.
        tally: Counts over the rows in the file.
        notes: Sentences for the user about an existing file.
        id_scheme: The scheme of the file's ids (see ID_SCHEME in graders.datasets.ids).
    """

    def __init__(
        self,
        path: str,
        header: Header,
        *,
        resume: bool = False,
        retry_failed: bool = False,
        force: bool = False,
    ) -> None:
        """
        Args:
            path: The file; "-" is standard output, which can be neither resumed nor locked.
            header: The first line; the header of a resumed file has to agree with it.
            resume: Continue an existing file.
            retry_failed: As resume, and drop the rows that failed.
            force: Overwrite an existing file.

        Raises:
            ResultsError: the file exists and none of the three is set, belongs to another spec or mapping, is being
                written by another process, or cannot be written.
        """
        self.path = path
        self.done = IdSet()
        self.tally = Tally()
        self.notes: list[str] = []
        self.id_scheme: int = header.options.get("ids", 1)
        self._synced = time.monotonic()
        if path == "-":
            self._fd, self._size = os.dup(1), 0
            self._append(dumps(header.to_json()) + b"\n")
            return
        try:
            self._fd = open_locked(path)
        except OSError as error:
            raise CannotWrite(path, error) from None
        try:
            self._size = os.fstat(self._fd).st_size
            if self._size and (resume or retry_failed):
                self._resume(header, retry_failed)
            elif self._size and not force:
                raise ResultsError(
                    f"{path} is there already: --resume goes on with it, --force overwrites it"
                )
            elif self._size:
                os.ftruncate(self._fd, 0)
                self._size = 0
            if not self._size:
                self._append(dumps(header.to_json()) + b"\n")
                sync_folder(path)
        except OSError as error:
            self._truncate_to_last_line()
            self._close_fd()
            raise CannotWrite(path, error) from None
        except BaseException:
            self._close_fd()
            raise

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def append(self, piece: ResultChunk) -> None:
        """Append rows. They survive the death of this process at once, and a power cut after SYNC_S.

        Raises:
            ResultsError: they could not be written (disk full, quota, file lost); earlier lines stay intact.
            BrokenPipeError: the reader of standard output has closed it.
        """
        try:
            self._append(piece.text)
            self.tally.join(piece.tally)
            now = time.monotonic()
            if now - self._synced > SYNC_S:
                self._sync()
                self._synced = now
        except OSError as error:
            if isinstance(error, BrokenPipeError) and self.path == "-":
                # the reader has closed the pipe, as `head` does: not an error
                raise
            self._truncate_to_last_line()
            raise self._broken(error) from error

    def close(self) -> None:
        """Sync the file to disk and release the lock.

        Raises:
            ResultsError: syncing failed.
        """
        if self._fd < 0:
            return
        try:
            self._sync()
        except OSError as error:
            raise self._broken(error) from error
        finally:
            self._close_fd()

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._size += len(data)

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            # pipes and terminals cannot be synced
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise

    def _truncate_to_last_line(self) -> None:
        """Remove a line that was written only in part."""
        # the offset of the line is unknown
        if self.path == "-":
            return
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            # a later resume drops the incomplete line
            return

    def _broken(self, error: OSError) -> ResultsError:
        return CannotWrite(self.path, error, " (the rows written so far are kept)")

    def _close_fd(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # --- taking over a file -----------------------------------------------------------------------------------

    def _resume(self, header: Header, retry_failed: bool) -> None:
        with open(os.dup(self._fd), "rb") as file:
            file.seek(0)
            first = file.readline()
            if not first.endswith(b"\n") and (dumps(header.to_json()) + b"\n").startswith(first):
                # an earlier run died while writing its header
                os.ftruncate(self._fd, 0)
                self._size = 0
                return
            old = parse_header(first, self.path)
            self._check_same(old, header)
            self.id_scheme = old.options.get("ids", 1)
            end = self._index(file, len(first), retry_failed)
            if end < self._size:
                os.ftruncate(self._fd, end)
                self._size = end
                self.notes.append(f"a torn last line of {self.path} was dropped; its row is graded again")
            if retry_failed and self.tally.failed:
                self._drop_failed(file, end)

    def _check_same(self, old: Header, new: Header) -> None:
        if old.digest != new.digest:
            raise ResultsError(
                f"{self.path} holds results of another spec ('{old.name}', digest {old.digest[:12]}, not "
                f"{new.digest[:12]}): one file holds one spec's results, so choose another -o"
            )
        was, now = decisive(old), decisive(new)
        for option in was.keys() | now.keys():
            if was.get(option) != now.get(option):
                raise ResultsError(
                    f"{self.path} was written with {option} {was.get(option)}, now it is {now.get(option)}: go on "
                    "with the same options, or choose another -o"
                )
        if (old.engine, old.provenance) != (new.engine, new.provenance):
            changed = changes(old.provenance, new.provenance)
            self.notes.append(f"{self.path} was begun with other versions: {'; '.join(changed)}")

    def _index(self, file: IO[bytes], end: int, only_ok: bool) -> int:
        """Fill `done` and `tally` from the rows; returns the end of the last complete line."""
        torn = 0
        ids: list[str] = []
        for number, line in enumerate(file, 2):
            try:
                fields = loads(line)
                row_id, ok, reward = fields["id"], fields["ok"], fields["reward"]
            except (ValueError, KeyError, TypeError):
                torn = torn or number
                continue
            if torn:
                raise ResultsError(f"{self.path}:{torn}: not a result line, and good ones follow it")
            if not line.endswith(b"\n"):
                break
            end += len(line)
            self.tally.add(reward, fields.get("flags", ()), fields.get("usage"))
            if ok or not only_ok:
                ids.append(row_id)
            if len(ids) == INDEX_CHUNK_ROWS:
                self._index_ids(ids)
        self._index_ids(ids)
        return end

    def _index_ids(self, ids: list[str]) -> None:
        if not self.done.add_new(ids):
            twice = next(
                row_id
                for place, row_id in enumerate(ids)
                if row_id in ids[:place] or self.done.contains([row_id])[0]
            )
            raise ResultsError(f"{self.path} has the id {twice!r} twice; each row's id stands once")
        ids.clear()

    def _drop_failed(self, file: IO[bytes], end: int) -> None:
        """Replace the file by a copy without the failed rows, written beside it."""
        tally = Tally()
        file.seek(0)
        temporary = f"{self.path}.tmp"
        try:
            with open(temporary, "wb") as kept:
                kept.write(file.readline())
                while file.tell() < end:
                    line = file.readline()
                    fields = loads(line)
                    if fields["ok"]:
                        kept.write(line)
                        tally.add(fields["reward"], (), fields.get("usage"))
                kept.flush()
                os.fsync(kept.fileno())
                size = kept.tell()
            if REPLACES_OPEN_FILES:
                fd = lock_or_refuse(os.open(temporary, os.O_RDWR | os.O_APPEND | open_flags()), self.path)
                os.replace(temporary, self.path)
            else:
                file.close()
                self._close_fd()
                os.replace(temporary, self.path)
                fd = open_locked(self.path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(self.path)
        self._close_fd()
        self._fd, self._size, self.tally = fd, size, tally
