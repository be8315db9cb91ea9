"""Networks, their training, export and evaluation. Needs the ``train`` extra."""
