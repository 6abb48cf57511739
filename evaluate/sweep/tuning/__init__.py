"""Searches: settings drawn from ranges by Optuna, chosen on validation; what is chosen becomes the cells of a sweep."""
