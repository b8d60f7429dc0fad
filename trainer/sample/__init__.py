"""A catalogue of made-up product photos, drawn from a seed: something to train on before the real photos come."""
