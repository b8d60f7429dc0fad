"""A catalogue of made-up product photos, drawn from a seed: something to train on before the real photos come."""

from trainer.sample.catalogue import draw_catalogue

__all__ = ["draw_catalogue"]
