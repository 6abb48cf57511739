"""Search: any text or video against the videos of a store (docs/search.md)."""
