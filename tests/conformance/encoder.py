#!/usr/bin/env python3
"""encoder.py FOLDER: writes an encoder and a cross-encoder with random weights there, for the clients' embeddings."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))
from encoder_models import BERT, TinyEncoder  # noqa: E402  (found beside this folder)

folder = Path(sys.argv[1])
(folder / "encoder.gguf").write_bytes(TinyEncoder(BERT).gguf())
(folder / "scorer.gguf").write_bytes(TinyEncoder(BERT, scorer=True).gguf(pooling=4))
