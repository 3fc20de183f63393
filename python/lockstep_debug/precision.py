"""In which type torch may multiply f32 values: TF32 on NVIDIA's GPUs, bf16 on some CPUs, as the program allows."""
import torch

_CONVOLUTIONS = {kind + name for name in ("1d", "2d", "3d") for kind in ("conv", "Conv", "conv_transpose", "ConvTranspose")} | {"convolution"}
_RECURRENCES = {"LSTM", "GRU", "RNN", "lstm", "gru"}
_PRODUCTS = {"linear", "Linear", "matmul", "mm", "bmm", "mv", "addmm", "addmv", "addbmm", "baddbmm", "einsum", "scaled_dot_product_attention"}

# device, operations -> where torch keeps the setting
_SETTINGS = {
    ("cuda", "matmul"): ("cuda", "matmul"), ("cuda", "conv"): ("cudnn", "conv"), ("cuda", "rnn"): ("cudnn", "rnn"),
    ("cpu", "matmul"): ("mkldnn", "matmul"), ("cpu", "conv"): ("mkldnn", "conv"), ("cpu", "rnn"): ("mkldnn", "rnn"),
}


def _kind(op):
    return "matmul" if op in _PRODUCTS else "conv" if op in _CONVOLUTIONS else "rnn" if op in _RECURRENCES else None


def _before_2_9(device, kind):
    """Torch had two switches for TF32, and none that tells of the CPU."""
    if device != "cuda":
        return None
    return "tf32" if (torch.backends.cuda.matmul if kind == "matmul" else torch.backends.cudnn).allow_tf32 else "ieee"


def allowed(op, dtype, device):
    """"tf32", "bf16" or "ieee", the parameter fp32_precision of a line; None for what is not a product of f32, for other
    devices, and on the CPU where nothing else than f32 is allowed."""
    kind = _kind(op) if dtype is torch.float32 else None
    where = _SETTINGS.get((device, kind))
    if where is None:
        return None
    own = getattr(getattr(torch.backends, where[0]), where[1], None)
    found = getattr(own, "fp32_precision", None) if own is not None else None
    if found is None:
        return _before_2_9(device, kind)
    if found != "none":
        return found if device == "cuda" or found != "ieee" else None
    return "ieee" if device == "cuda" else None
