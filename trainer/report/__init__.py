"""A training's reports for people: a page, a model card, and their pictures."""
