"""Captions as people write them down: own files read into `CaptionSet`s, names matched to videos, videos split.

Extraction and `camoe-store import` read own captions through the same functions, so that both see the same.
"""
