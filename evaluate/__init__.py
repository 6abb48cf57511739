"""Run folder -> retrieval numbers."""
