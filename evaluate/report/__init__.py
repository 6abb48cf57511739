"""Run folders, or a sweep's -> one page that opens from disk: numbers, where they come from, what they look like."""
