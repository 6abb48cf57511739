"""A file that HDF5 may write to while the disk fills up."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class GuardedFile(io.RawIOBase):
    """A file for HDF5 to write to that never fails under it.

    HDF5 neither reports a full disk reliably nor survives it; so the first error is kept here, what follows is thrown
    away, and `close` raises it.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115 (closed by `close`)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data)
        try:
            while self.error is None and view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self.error = error
        return len(data)

    def readinto(self, buffer: Any) -> int:
        done = 0
        view = memoryview(buffer)
        while done < len(view) and (count := self._file.readinto(view[done:])):
            done += count
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def flush(self) -> None:
        pass

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self._file.closed:
            self._file.close()
            super().close()
            if self.error is not None:
                raise self.error
