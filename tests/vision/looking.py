"""One forward pass of transformers on tokens and a picture."""
import inspect

import PIL.Image
import torch
import transformers

import tower_models
import towers


def load(row, folder):
    model = row.built(lambda: transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)).eval()
    return model if row.whole else tower_models.Tower(model).eval()


def pixels(folder, picture):
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    return processor(images=PIL.Image.open(picture).convert("RGB"), return_tensors="pt")


def tokens(row):
    return torch.tensor([towers.BEFORE + row.ids + towers.AFTER])


def look(model, row, seen):
    with torch.no_grad():
        if not row.whole:
            return model(seen["pixel_values"].float())
        ids = tokens(row)
        more = {name: (ids == tower_models.IMAGE).long() for name in ("token_type_ids", "mm_token_type_ids") if name in inspect.signature(model.forward).parameters}
        return model(input_ids=ids, attention_mask=torch.ones_like(ids), **seen, **more)
