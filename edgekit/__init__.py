"""edgekit takes a trained model to an edge device and measures, after every step, that it still works."""

__version__ = "0.1.0"
