"""A catalogue of made-up product photos, drawn from a seed: something to train on before the real photos come."""

from trainer.sample.catalogue import SampleCatalogue, draw_catalogue

__all__ = ["SampleCatalogue", "draw_catalogue"]
