"""Raw bytes → rows of a dataset: one file per format, each a `Decoder`. Encodings are turned to text here."""
