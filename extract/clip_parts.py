"""OpenAI's `clip`: the two files of it that are needed, and its list of published weights.

Importing the package itself imports torchvision, which takes about as long as PyTorch and is not used; so its model and
its tokenizer are taken alone.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_ADDRESS = "https://openaipublic.azureedge.net/clip/models"
_FILES = {
    "RN50": "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt",
    "RN101": "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599/RN101.pt",
    "RN50x4": "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd/RN50x4.pt",
    "RN50x16": "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa/RN50x16.pt",
    "RN50x64": "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c/RN50x64.pt",
    "ViT-B/32": "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
    "ViT-B/16": "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
    "ViT-L/14": "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
    "ViT-L/14@336px": "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02/ViT-L-14-336px.pt",
}
PUBLISHED = {name: f"{_ADDRESS}/{file}" for name, file in _FILES.items()}
"""Where OpenAI's weights lie, by name; the last part but one of an address is the SHA-256."""


def clip_class() -> Any:
    """OpenAI's model class."""
    return _part("model").CLIP


@cache
def clip_tokenizer() -> Any:
    """OpenAI's tokenizer with its vocabulary."""
    return tokenizer_module().SimpleTokenizer()


def tokenizer_module() -> ModuleType:
    """OpenAI's tokenizer and the functions that clean a text for it."""
    return _part("simple_tokenizer")


@cache
def _part(name: str) -> ModuleType:
    """One file of the package `clip`, without what stands in its `__init__`."""
    if f"clip.{name}" in sys.modules:
        return sys.modules[f"clip.{name}"]
    package = importlib.util.find_spec("clip")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'clip'; install clip-anytorch", name="clip")
    path = Path(package.submodule_search_locations[0]) / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{__name__}.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
