"""Errors that a user can act on: the command lines print them as one sentence and exit."""

from __future__ import annotations


class CamoeError(Exception):
    """A mistake in what was asked, or input that cannot be used; exit status 2, nothing written."""

    exit_status = 2


class ArrayError(CamoeError, ValueError):
    """Arrays that do not fit: what the functions on arrays raise, for whoever calls them without our commands."""


class RunStoppedError(CamoeError):
    """A run that could not go on (disk full, I/O error); what was finished before is intact; exit status 1."""

    exit_status = 1
