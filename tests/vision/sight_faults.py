"""Faults as they happen when towers are ported, each planted in one of two places: in the code of the reference, where the report reads
the other way round (the candidate is right, and has what the reference hasn't), or in a weight or a key of the candidate's files.
"""
import collections

import planted
import torch
from torch.nn import functional

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# plant: code(model) or file(reader); weights: one of which the first operation at fault reads; ops: or else its kind; names: or else
# its name has this in it. causes: ids that say what was planted. known_place, known_cause: what is not right yet.
Fault = collections.namedtuple("Fault", "tower name place plant weights ops names causes known_place known_cause", defaults=((), (), "", (), "", ""))
FAULTS = []


def code(tower, name, **told):
    def keep(plant):
        FAULTS.append(Fault(tower, name, "code", plant, **told))
        return plant
    return keep


def file(tower, name, plant, **told):
    FAULTS.append(Fault(tower, name, "file", plant, **told))


# --- SigLIP and Gemma 3's projector

def siglip_layer(model, layer):
    return model.model.vision_tower.encoder.layers[layer]


def attention(softmax_axis=-1, scale=1.0, values=lambda v: v):
    """Attention as transformers calls it, with something wrong in it."""
    def attend(module, query, key, value, mask, scaling, **_):
        scores = torch.matmul(query, key.transpose(-1, -2)) * (scaling * scale)
        mixed = torch.matmul(torch.softmax(scores, softmax_axis), values(value))
        return mixed.transpose(1, 2).contiguous(), None
    return attend


def give_attention(module, attend):
    """An attention function for one module alone."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    name = f"faulty-{id(module)}"
    ALL_ATTENTION_FUNCTIONS.register(name, attend)
    module.config = type(module.config).from_dict(module.config.to_dict())
    module.config._attn_implementation = name


@code("gemma3", "erf for tanh GELU", ops=("GELU",), causes=("gelu-variant",))
def erf(model):
    for layer in model.model.vision_tower.encoder.layers:
        layer.mlp.activation_fn = torch.nn.GELU()


@code("gemma3", "softmax over the wrong axis", ops=("SOFT_MAX", "FLASH_ATTN_EXT", "MUL_MAT"), causes=("softmax-axis",))
def wrong_axis(model):
    give_attention(siglip_layer(model, 1).self_attn, attention(softmax_axis=-2))


@code("gemma3", "scores scaled by the hidden size", ops=("SOFT_MAX", "FLASH_ATTN_EXT"), causes=("softmax-scale",))
def hidden_scale(model):
    give_attention(siglip_layer(model, 1).self_attn, attention(scale=0.5))


@code("gemma3", "rows and columns of patches swapped", names="pos_embed",  # the first that reads them in a row
      causes=("axes-swapped",))
def patches_transposed(model):
    inner = model.model.vision_tower.embeddings.patch_embedding
    inner.register_forward_hook(lambda module, given, out: out.transpose(2, 3).contiguous())


@code("gemma3", "rows and columns swapped before pooling", ops=("RMS_NORM",),  # pooling is right either way; then they are put in a row
      causes=("axes-swapped",))
def pooled_transposed(model):
    pool = model.model.multi_modal_projector.avg_pool
    pool.register_forward_pre_hook(lambda module, given: (given[0].transpose(2, 3).contiguous(),))


@code("gemma3", "largest instead of average in pooling", ops=("POOL_2D",), causes=("pool-kind",))
def largest(model):
    model.model.multi_modal_projector.avg_pool = torch.nn.MaxPool2d(2)


file("gemma3", "key and value swapped", planted.swap("v.blk.1.attn_k.weight", "v.blk.1.attn_v.weight"), weights=("v.blk.1.attn_k.weight", "v.blk.1.attn_v.weight"), causes=("swapped-with",))
file("gemma3", "norms of a block swapped", planted.swap("v.blk.1.ln1.weight", "v.blk.1.ln2.weight"), weights=("v.blk.1.ln1.weight", "v.blk.1.ln2.weight"), causes=("swapped-with",))
file("gemma3", "converter's one not added", planted.alter("mm.soft_emb_norm.weight", lambda w: w - 1), weights=("mm.soft_emb_norm.weight",), causes=("plus-one", "not-changed"))
file("gemma3", "positions rolled by one", planted.alter("v.position_embd.weight", lambda w: torch.roll(torch.tensor(w), 1, 0).numpy()), weights=("v.position_embd.weight",), causes=("rolled",))
file("gemma3", "red and blue swapped in the patches", planted.alter("v.patch_embd.weight", lambda w: w[:, ::-1]), weights=("v.patch_embd.weight",), causes=("channel-order", "row-order", "permute-axes"))
file("gemma3", "patches' kernel transposed", planted.alter("v.patch_embd.weight", lambda w: w.swapaxes(2, 3)), weights=("v.patch_embd.weight",), causes=("permute-axes", "transpose"))
file("gemma3", "bias of queries left out", planted.scale("v.blk.2.attn_q.bias", 0), weights=("v.blk.2.attn_q.bias",), causes=("all-zero",))
file("gemma3", "eps of LayerNorm", planted.key("clip.vision.attention.layer_norm_epsilon", 1e-3), ops=("NORM",), causes=("norm-eps",))
file("gemma3", "mean and std of another model", planted.keys("clip.vision.image_mean", IMAGENET_MEAN, "clip.vision.image_std", IMAGENET_STD), names="inp_raw", causes=("pixels-normalization",))

# --- CLIP and LLaVA's projector: what is planted comes beside the live faults


@code("llava", "the last layer's output", weights=("mm.0.weight",), causes=("swapped-with", "reads-another"),
      known_cause="that the projector reads another layer's output is not tried where its product is behind the end of the reference's")
def last_layer(model):
    model.config.vision_feature_layer = -1


file("llava", "GELU for its sigmoid form", planted.key("clip.use_gelu", True), ops=("GELU",), causes=("gelu-variant", "activation"))
file("llava", "projector's two matrices swapped", planted.swap("mm.0.weight", "mm.2.weight"), weights=("mm.0.weight", "mm.2.weight"), causes=("swapped-with",))
file("llava", "bias of values left out", planted.scale("v.blk.1.attn_v.bias", 0), weights=("v.blk.1.attn_v.bias",), causes=("all-zero",))
file("llava", "norm before the blocks left out", planted.alter("v.pre_ln.weight", lambda w: w * 0 + 1), weights=("v.pre_ln.weight",), causes=("constant",))

# --- MobileNetV5


def blocks(model):
    return model.vision_tower.timm_model.blocks


def convolution(module, **changed):
    """Like the module's, without its asymmetric padding, and with other numbers."""
    def forward(x):
        options = {"stride": module.stride, "padding": tuple(side // 2 for side in module.kernel_size), "groups": module.groups, **changed}
        return functional.conv2d(x, module.weight, module.bias, **options)
    module.forward = forward


@code("gemma3n-short", "SAME padding of the stem not asymmetric", weights=("v.conv_stem.conv.weight",), causes=("conv-padding",))
def stem_padding(model):
    convolution(model.vision_tower.timm_model.conv_stem.conv)


@code("gemma3n-short", "SAME padding of a depthwise convolution not asymmetric", weights=("v.blk.1.0.dw_mid.conv.weight",), causes=("conv-padding",))
def depthwise_padding(model):
    convolution(blocks(model)[1][0].dw_mid.conv)


@code("gemma3n-short", "stride on the wrong depthwise convolution", weights=("v.blk.2.0.dw_start.conv.weight",), causes=("conv-stride",),
      known_cause="the sides have other shapes between the two convolutions, and no experiment changes a shape")
def stride(model):
    block = blocks(model)[2][0]
    block.dw_start.conv.stride, block.dw_mid.conv.stride = block.dw_mid.conv.stride, block.dw_start.conv.stride


@code("gemma3n-short", "softmax over the wrong axis", ops=("SOFT_MAX",), causes=("softmax-axis",))
def wrong_axis_of_2d(model):
    module = blocks(model)[2][3].attn

    def forward(x):
        query = module._reshape_projected_query(module.query(x), module.num_heads, module.key_dim) * module.scale
        scores = query @ module._reshape_input(module.key(x)).transpose(-1, -2)
        mixed = scores.softmax(-2) @ module._reshape_input(module.value(x))
        return module.output(module._reshape_output(mixed, module.num_heads, *x.shape[-2:]))
    module.forward = forward


@code("gemma3n-short", "heads' axes swapped in a reshape", ops=("CONT", "MUL_MAT", "RESHAPE"), causes=("axes-swapped", "head-order"),
      known_cause="only rows and columns that are equally many are swapped in experiments")
def heads_swapped(model):
    """[heads, width, pixels] taken for [width, heads, pixels]."""
    module = blocks(model)[2][3].attn

    def reshape(t, heads, width):
        return t.reshape(t.shape[0], width, heads, -1).permute(0, 2, 3, 1).contiguous()
    module._reshape_projected_query = reshape


@code("gemma3n-short", "rows and columns of the output swapped", weights=("v.blk.2.3.attn.output.proj.weight",), ops=("CONT", "MUL"),  # a 1x1 convolution is right either way
      causes=("axes-swapped",))
def output_transposed(model):
    module = blocks(model)[2][3].attn
    kept = module._reshape_output
    module._reshape_output = lambda t, heads, h, w: kept(t, heads, h, w).transpose(2, 3).contiguous()


@code("gemma3n-short", "erf for tanh GELU", ops=("GELU",), causes=("gelu-variant",))
def erf_everywhere(model):
    for module in model.vision_tower.modules():
        for name, child in module.named_children():
            if type(child).__name__.startswith("GELU"):
                setattr(module, name, torch.nn.GELU())


file("gemma3n-short", "key and value norm swapped", planted.swap("v.blk.2.3.attn.key.norm.weight", "v.blk.2.3.attn.value.norm.weight"),
     weights=("v.blk.2.3.attn.key.norm.weight", "v.blk.2.3.attn.value.norm.weight"), causes=("swapped-with",))
file("gemma3n-short", "layer scale left out", planted.alter("v.blk.2.3.layer_scale.gamma", lambda w: w * 0 + 1), weights=("v.blk.2.3.layer_scale.gamma",), causes=("constant",))
file("gemma3n-short", "mean and std of another model", planted.keys("clip.vision.image_mean", IMAGENET_MEAN, "clip.vision.image_std", IMAGENET_STD), names="inp_raw",
     causes=("pixels-normalization",))
