"""Files that are either whole or not there."""

import glob
import os
import tempfile
from pathlib import Path

from moelib.study.base import ConfigError


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` under a temporary name in the same folder, flush it, and rename it to `path`.

    A process killed at any moment leaves the old file or the new one, never a part.

    Raises:
        ConfigError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"Cannot write into {path.parent}: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files
        os.replace(temporary, path)
    except OSError as error:
        raise ConfigError(f"Cannot write {path}: {error.strerror}.") from None
    finally:
        Path(temporary).unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of `path` that killed processes left.

    Only for who alone writes this file: the temporary of a live process would go, too.
    """
    random = "?" * 8  # of mkstemp
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.{random}"):
        leftover.unlink(missing_ok=True)
