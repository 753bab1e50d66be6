"""Uses trained models: features, classes, and models that are saved to a folder."""
