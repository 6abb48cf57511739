"""`camoe-search`: find videos by text or by video, in the terminal or on a page."""

from __future__ import annotations

import click

from ...pipeline.command import camoe_command, options_from, say
from .config import SearchConfig


@camoe_command("camoe-search")
@click.argument("text", required=False)
@options_from(SearchConfig)
def main(config: SearchConfig, text: str | None) -> None:
    """Find the videos that a text describes, or that are like a video, and the moment that fits best.

    TEXT is what the videos should show. --run searches with a run's model, --features alone with plain CLIP.
    --serve opens a page to search in.
    """
    if config.serve:
        from .serve import serve

        serve(config, text, say)
        return
    from .render import as_csv, as_json, as_table
    from .run import find

    found = find(config, text)
    form = as_json if config.json else as_csv if config.csv else as_table
    say(form(found.hits))
    for note in found.notes:
        say(note, err=True)
