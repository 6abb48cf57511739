"""Re-rankings against hubs: what they are (`kinds`), how they change scores, and ranks under them in blocks."""
