"""Stage 1: videos and captions -> feature store, with a frozen CLIP."""
