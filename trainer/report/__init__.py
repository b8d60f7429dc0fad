"""What a training leaves for people: a page to look at, a model card, and the pictures in them."""
