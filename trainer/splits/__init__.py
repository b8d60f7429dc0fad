"""Which photo is for training, for validation and for test, from one training to the next."""
