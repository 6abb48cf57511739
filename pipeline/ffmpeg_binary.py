"""Which ffmpeg runs: the one place that decides."""

from __future__ import annotations

import os
import shutil

from .errors import CamoeError


def find_ffmpeg(explicit: str | None = None, *, prefer_bundled: bool = False) -> str:
    """Path of the ffmpeg binary: `explicit`, else CAMOE_FFMPEG, else PATH, else the one of imageio-ffmpeg.

    `prefer_bundled` puts imageio-ffmpeg before PATH: its static build surely encodes H.264, and starts faster.
    Raises CamoeError where a binary was named but cannot be run, or where none is found.
    """
    for origin, named in (("--ffmpeg", explicit), ("CAMOE_FFMPEG", os.environ.get("CAMOE_FFMPEG"))):
        if named:
            found = shutil.which(named)
            if found is None:
                raise CamoeError(f"{origin} names {named!r}, which is not a program that can be run; fix or unset it")
            return found
    on_path = shutil.which("ffmpeg")
    return on_path if on_path and not prefer_bundled else _bundled_ffmpeg()


def _bundled_ffmpeg() -> str:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise CamoeError(
            "no ffmpeg was found; install imageio-ffmpeg, or name a binary by --ffmpeg or CAMOE_FFMPEG"
        ) from error
