"""transformers' Llama 3.2 Vision on a picture: a prompt, then single tokens with the caches. argv: HF_DIR PICTURE [--tower | --without-cross-attention]

--tower: the vision model alone. --without-cross-attention: the layers that look at the picture are left out of all passes but the first, as in a port that forgets a flag.
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e"), str(HERE.parent / "zoo")]
import vision_site  # noqa: E402,F401
import looking  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from transformers.models.mllama.modeling_mllama import MllamaCrossAttentionDecoderLayer  # noqa: E402

FOLDER, PICTURE = sys.argv[1:3]
IMAGE, PROMPT, STEPS = 320, [1, 320, 5, 17, 25, 33], [53, 91]


def leave_out(model):
    """Cross-attention layers hand on what they get."""
    for module in model.modules():
        if isinstance(module, MllamaCrossAttentionDecoderLayer):
            module.forward = lambda hidden_states, *_, **__: hidden_states


def mask(tiles, length, most):
    """Each token from the picture's on sees the tiles that there are."""
    seen = torch.zeros(1, length, 1, most, dtype=torch.long)
    seen[:, 1:, :, :tiles] = 1
    return seen


torch.set_num_threads(1)
model = transformers.MllamaForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32).eval()
seen = looking.pixels(FOLDER, PICTURE)
tiles, most = seen.pop("num_tiles")[0][0], seen["pixel_values"].shape[2]
if "--tower" in sys.argv:
    with torch.no_grad():
        model.model.vision_model(**seen)
    sys.exit()
with torch.no_grad():
    length = len(PROMPT)
    out = model(input_ids=torch.tensor([PROMPT]), attention_mask=torch.ones(1, length, dtype=torch.long), cross_attention_mask=mask(tiles, length, most), use_cache=True, **seen)
    if "--without-cross-attention" in sys.argv:
        leave_out(model)
    for token in STEPS:
        length += 1
        out = model(input_ids=torch.tensor([[token]]), attention_mask=torch.ones(1, length, dtype=torch.long), cross_attention_mask=mask(tiles, length, most)[:, -1:],
                    past_key_values=out.past_key_values, use_cache=True)
print("argmax", int(out.logits[0, -1].argmax()))
