"""The location of the store."""

from __future__ import annotations

import os
from pathlib import Path

from graders.store.database import StoreError

HOME_ENV = "GRADERS_HOME"


def default_home() -> Path:
    """GRADERS_HOME, else the platform's folder for a program's data."""
    wanted = os.environ.get(HOME_ENV)
    if wanted:
        return Path(wanted)
    from platformdirs import user_data_path

    return user_data_path("graders", appauthor=False)


def private_folder(path: Path) -> Path:
    """Create a folder, if missing, that only its user may enter.

    Raises:
        StoreError: it cannot be created or written to.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(
            f"the store cannot be kept in {str(path)!r}: {reason}; set {HOME_ENV} to a folder that can be written"
        ) from None
    return path
