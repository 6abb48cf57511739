"""Which open_clip model is meant: `NAME/TAG`, `NAME/FILE`, `NAME/TAG/FILE`, `local-dir:FOLDER`, `hf-hub:REPOSITORY`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import open_clip
from open_clip import factory

from ..pipeline.checksum import file_sha256
from ..pipeline.errors import CamoeError
from .clip_weights import Weights
from .hub import reason, why_not_fetched

FAMILY = "open_clip"
_SCHEMAS = ("local-dir:", "hf-hub:")
_PREPARED = ("mean", "std", "interpolation", "resize_mode")
"""What a published tag says of how frames are prepared."""


@dataclass(frozen=True)
class Found:
    """`model` and `path` are what `open_clip.create_model` takes, `prepared` is what else its frames need.

    `prefix` names the model before a path; `name` is what a store calls it.
    """

    model: str
    path: Path
    prepared: Mapping[str, Any]
    name: str
    prefix: str

    def weights(self, model: Any) -> Weights:
        """With what decides, beside the file's numbers, what the `model` built of it makes of frames and texts."""
        frames = {key: model.visual.preprocess_cfg[key] for key in ("size", *_PREPARED)}
        config = json.dumps({"model": factory.get_model_config(self.model), "frames": frames}, sort_keys=True)
        return Weights(self.name, self.path, file_sha256(self.path), config, self.prefix)


def find_open_clip(asked: str, cache_folder: Path | None = None) -> Found:
    """What follows `open_clip:`; weights by tag are fetched by open_clip itself where its cache lacks them.

    Raises `CamoeError` for an unknown name or tag, a file that is not there, or weights that cannot be fetched.
    """
    if asked.startswith(_SCHEMAS[0]):
        return _in_folder(asked)
    if asked.startswith(_SCHEMAS[1]):
        return _on_hub(asked, cache_folder)
    name, rest = _split(asked)
    tags = open_clip.list_pretrained_tags_by_model(name)
    tag, _, file = rest.partition("/")
    if rest and not Path(rest).expanduser().is_file() and open_clip.is_pretrained_cfg(name, tag):
        return _by_tag(name, tag, file, cache_folder)
    path = Path(rest).expanduser()
    if not rest or not path.is_file():
        known = f"its tags are {', '.join(tags)}" if tags else "it has no published tags"
        what = f"{rest} is neither a tag of {name} nor a file" if rest else "it lacks a tag or a file"
        raise CamoeError(f"{_option(asked)}: {what}; give {FAMILY}:{name}/TAG or {FAMILY}:{name}/FILE ({known})")
    return Found(name, path, _shared(name, tags), f"{FAMILY}:{name}/{path.name}", f"{FAMILY}:{name}/")


def _option(asked: str) -> str:
    return f"--clip {FAMILY}:{asked}"


def _split(asked: str) -> tuple[str, str]:
    """The architecture, and what follows it; slashes in its name are as good as hyphens (`ViT-B/32`)."""
    known = open_clip.list_models()
    parts = asked.split("/")
    for count in range(1, len(parts) + 1):
        if (name := "-".join(parts[:count])) in known:
            return name, "/".join(parts[count:])
    close = get_close_matches(parts[0], known, n=3, cutoff=0.5)
    nearest = f"the nearest are {', '.join(close)}" if close else "open_clip.list_models() lists those it has"
    raise CamoeError(f"{_option(asked)}: open_clip {open_clip.__version__} has no model {parts[0]}; {nearest}")


def _by_tag(name: str, tag: str, file: str, cache_folder: Path | None) -> Found:
    """Published weights, or with `file` those of a file, prepared as the published ones."""
    cfg = open_clip.get_pretrained_cfg(name, tag)
    shown = f"{FAMILY}:{name}/{tag}"
    activation = bool(factory.get_model_config(name).get("quick_gelu", False))
    if bool(cfg.get("quick_gelu", False)) != activation:
        other = f"{name}-quickgelu" if not activation else name.removesuffix("-quickgelu")
        raise CamoeError(f"--clip {shown}: it was trained with another activation; give {FAMILY}:{other}/{tag}")
    if not file:
        repository, _, weights = cfg.get("hf_hub", "").rpartition("/")
        fetch = f"hf download {repository} {weights or 'open_clip_model.safetensors'}"
        fetch = f"{fetch if repository else 'curl -LO ' + cfg.get('url', '')}, and give the file as {shown}/FILE"
        return Found(name, _fetched(cfg, shown, fetch, cache_folder), _prepared(cfg), shown, f"{shown}/")
    path = Path(file).expanduser()
    if not path.is_file():
        raise CamoeError(f"--clip {shown}/{file}: there is no file {file}; give the weights file, or {shown} alone")
    return Found(name, path, _prepared(cfg), f"{shown}/{path.name}", f"{shown}/")


def _fetched(cfg: dict[str, Any], shown: str, instead: str, cache_folder: Path | None) -> Path:
    """Weights from the cache, or by open_clip's own download; `instead` is the way of a machine without a network."""
    try:
        path = open_clip.download_pretrained(cfg, cache_dir=None if cache_folder is None else str(cache_folder))
    except Exception as error:  # open_clip and huggingface_hub tell of a network in errors of many kinds
        why = why_not_fetched(error) if cfg.get("hf_hub") else reason(error)
        raise CamoeError(
            f"--clip {shown}: its weights are not in the cache and could not be fetched ({why}); where there is a "
            f"network run: {instead}"
        ) from None
    if not path:
        raise CamoeError(f"--clip {shown}: open_clip does not say where its weights are; give a file as {shown}/FILE")
    return Path(path)


def _prepared(cfg: Mapping[str, Any]) -> dict[str, Any]:
    return {key: cfg[key] for key in _PREPARED if key in cfg}


def _shared(name: str, tags: list[str]) -> dict[str, Any]:
    """How frames are prepared for all published weights of an architecture; nothing where these differ."""
    ways = [_prepared(open_clip.get_pretrained_cfg(name, tag)) for tag in tags]
    return ways[0] if ways and all(way == ways[0] for way in ways) else {}


def _in_folder(asked: str) -> Found:
    folder = Path(asked.removeprefix(_SCHEMAS[0])).expanduser()
    if not (folder / "open_clip_config.json").is_file():
        raise CamoeError(f"{_option(asked)}: there is no {folder / 'open_clip_config.json'}; give the model's folder")
    found = factory._find_checkpoint_in_dir(folder)
    if found is None:
        raise CamoeError(f"{_option(asked)}: {folder} holds no weights (.safetensors, .bin or .pth); put them there")
    shown = f"{FAMILY}:{_SCHEMAS[0]}{folder.name}"
    return Found(f"{_SCHEMAS[0]}{folder}", Path(found), {}, shown, "")


def _on_hub(asked: str, cache_folder: Path | None) -> Found:
    repository = asked.removeprefix(_SCHEMAS[1])
    fetch = f"hf download {repository} --local-dir FOLDER, and give it as {FAMILY}:{_SCHEMAS[0]}FOLDER"
    path = _fetched({"hf_hub": f"{repository}/"}, f"{FAMILY}:{asked}", fetch, cache_folder)
    return Found(asked, path, {}, f"{FAMILY}:{asked}", "")
