"""The search page and the JSON beneath it, for one's own machine."""
