"""embft: declarative sweeps for fine-tuning embedding models."""

__version__ = "0.1.0"
