"""llama.cpp's server (xllamacpp, prebuilt), in this process, asked about a picture. argv: MODEL MMPROJ PICTURE PROMPT, where the prompt has <__media__> for it"""
import base64
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

os.environ["LLAMA_MEDIA_MARKER"] = "<__media__>"  # otherwise drawn at random
sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / ".deps" / "vision"))
import xllamacpp  # noqa: E402


def parameters(model, mmproj):
    made = xllamacpp.CommonParams()
    made.model.path, made.mmproj.path, made.mmproj_use_gpu = model, mmproj, False
    made.n_ctx, made.n_batch, made.n_ubatch, made.n_parallel, made.n_gpu_layers, made.warmup = 1024, 512, 512, 1, 0, False
    made.cpuparams.n_threads = made.cpuparams_batch.n_threads = 1
    made.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return made


def ask(server, picture, prompt):
    data = base64.b64encode(pathlib.Path(picture).read_bytes()).decode()
    body = {"prompt": {"prompt_string": prompt, "multimodal_data": [data]}, "n_predict": 1, "temperature": 0, "cache_prompt": False}
    address = str(server.listening_address)
    address = address if address.startswith("http") else f"http://{address}"
    request = urllib.request.Request(f"{address}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        return json.load(urllib.request.urlopen(request, timeout=300))
    except urllib.error.HTTPError as error:
        sys.exit(f"error: {error.read().decode()}")


MODEL, MMPROJ, PICTURE, PROMPT = sys.argv[1:5]
answer = ask(xllamacpp.Server(parameters(MODEL, MMPROJ)), PICTURE, PROMPT)
print("evaluated", answer["tokens_evaluated"], repr(answer["content"]))
