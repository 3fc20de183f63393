"""Embeds token ids with the packaged BERT and its pooling (sentence-transformers)."""
import json
import sys

import torch
from sentence_transformers import SentenceTransformer

options = json.loads(sys.argv[1])
model = SentenceTransformer(options["model"], device="cpu").eval()
torch.set_num_threads(1)
ids = torch.tensor([options["prompt"]])
with torch.no_grad():
    model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
