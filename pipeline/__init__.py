"""What the stages share: the feature store, the configuration machinery, errors and the demo."""
