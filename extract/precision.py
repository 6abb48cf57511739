"""Names of the precisions that the encoder runs in, known without loading torch."""

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
