"""Stage 2: feature store -> run folder; never touches video, CLIP or ffmpeg."""
