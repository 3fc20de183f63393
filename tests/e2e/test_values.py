"""What was captured is what the engine computed."""
import gguf
import numpy as np
import pytest

from conftest import PROMPTS, Trace, diff


@pytest.fixture(scope="module")
def llama(lab):
    reader = gguf.GGUFReader(str(lab.gguf("llama")))
    weights = {t.name: np.asarray(t.data).astype(np.float64) for t in reader.tensors}
    return Trace(lab.candidate("llama")), weights


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_the_inputs_are_the_token_ids(llama):
    trace, _ = llama
    assert trace.values(trace.find("inp_tokens")).tolist() == PROMPTS[24]
    assert trace.values(trace.find("inp_pos")).tolist() == list(range(24))


def test_embedding_first_norm_and_projection_recomputed_from_the_weights(llama):
    trace, weights = llama
    rows = weights["token_embd.weight"][PROMPTS[24]]
    assert np.array_equal(trace.values(trace.find("embd")), rows.astype(np.float32))
    normed = rows / np.sqrt((rows ** 2).mean(-1, keepdims=True) + 1e-6)
    assert relative(trace.values(trace.find("norm-0", "RMS_NORM", occurrence=0)), normed) < 1e-6
    scaled = normed * weights["blk.0.attn_norm.weight"]
    assert relative(trace.values(trace.find("attn_norm-0")), scaled) < 1e-6
    assert relative(trace.values(trace.find("Vcur-0", "MUL_MAT")), scaled @ weights["blk.0.attn_v.weight"].T) < 1e-6


def test_reused_buffers_do_not_leak(llama):
    """Each operation, redone on its recorded sources, gives its recorded output: had
    a source been overwritten before it was copied, it would not."""
    trace, weights = llama
    redone = 0
    for line in trace.tensors:
        sources = [trace.by_order[i] for i in line.get("src", [])]
        if "file" not in line or any("file" not in s and s.get("role") != "weight" for s in sources):
            continue
        values = [weights[s["name"]] if s.get("role") == "weight" else trace.values(s).astype(np.float64) for s in sources]
        if line["op"] == "ADD":
            wanted = values[0] + values[1]
        elif line["op"] == "MUL":
            wanted = values[0] * values[1]
        elif line["op"] == "RMS_NORM":
            wanted = values[0] / np.sqrt((values[0] ** 2).mean(-1, keepdims=True) + line["params"]["eps"])
        elif line["op"] == "MUL_MAT" and sources[0].get("role") == "weight":
            wanted = values[1] @ values[0].T
        elif line["op"] == "SWIGLU":
            wanted = values[0] / (1 + np.exp(-values[0])) * values[1]
        else:
            continue
        assert relative(trace.values(line), wanted) < 1e-5, (line["pass"], line["name"], line["op"])
        redone += 1
    assert redone > 400


def test_views_into_a_value_share_its_bytes(lab):
    trace = Trace(lab.candidate("qwen3", options=("--tensors", "^Qcur-0")))
    projected, seen = trace.find("Qcur-0", "MUL_MAT"), trace.find("Qcur-0", "RESHAPE")
    assert np.array_equal(trace.values(projected).ravel(), trace.values(seen).ravel())
    rotated = trace.values(trace.find("Qcur-0", "ROPE"))                      # token, head, element
    permuted = trace.values(trace.find("Qcur-0 (view) (permuted)"))           # head, token, element
    assert np.array_equal(permuted, rotated.swapaxes(0, 1)), "a permuted view is stored in logical order"


def test_edges_run_through_the_cache(llama):
    """Attention in a decode step depends on what the prompt wrote into the cache."""
    trace, _ = llama
    start = trace.find("kq-0", pass_=1)
    seen, queue = set(), [start["i"]]
    while queue:
        at = queue.pop()
        if at not in seen:
            seen.add(at)
            queue += trace.by_order[at].get("src", [])
    assert trace.find("Kcur-0", "ROPE", pass_=0)["i"] in seen
    assert trace.find("Kcur-0", "ROPE", pass_=1)["i"] in seen


def test_quantized_weights_leave_float_values(lab):
    import models
    model = lab.model("llama")
    path = lab.folder / "llama" / "q8.gguf"
    tensors = models.gguf_tensors(model, "llama")
    models.write_gguf(path, model, "llama", tensors, quantize="q8_0")
    trace = Trace(lab.candidate("llama", gguf=path))
    line = trace.find("Qcur-0", "MUL_MAT")
    assert trace.values(line).dtype == np.float32
    assert trace.by_order[line["src"][0]]["dtype"] == "q8_0"


def test_a_quantized_cache_is_dequantized(lab):
    candidate = lab.candidate("qwen3", flash=True, cache="Q8_0", options=("--tensors", r"^cache_k_l0 \(view\)$|^Kcur-0$"))
    trace = Trace(candidate)
    line = trace.find("cache_k_l0 (view)", "VIEW")
    assert line["dtype"] == "q8_0"
    cache = trace.values(line).reshape(-1, 64)[:24]
    keys = trace.values(trace.find("Kcur-0", "ROPE")).reshape(24, 64)
    packed = gguf.quants.quantize(keys, gguf.GGMLQuantizationType.Q8_0)
    assert cache.dtype == np.float32
    assert np.array_equal(cache, gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q8_0))


def test_two_contexts_are_told_apart(lab):
    candidate = lab.candidate("qwen3", contexts=2)
    trace = Trace(candidate)
    assert {p["context"] for p in trace.passes if "context" in p} == {0, 1}
    status, result = diff(lab.reference("qwen3"), candidate)
    assert status == 0, result["reason"]
    assert {p["candidate"]["pass"] for p in result["pairs"]} == {0, 1, 2, 3, 4}, "the second is another run of the same"


def test_operands_are_the_slots_of_the_operation(llama):
    """Sources have the last write to a cache besides; operands are what ggml was given, in ggml's order."""
    trace, _ = llama

    def operands(line):
        return [None if i is None else trace.by_order[i] for i in line.get("operands", line["src"])]

    checked = 0
    for line in trace.tensors:
        op, given = line["op"], operands(line)
        if op == "MUL_MAT":  # [n, k] and [m, k] give [m, n]
            assert len(given) == 2 and given[0]["shape"][-1] == given[1]["shape"][-1], line
            assert line["shape"][-2:] == [given[1]["shape"][-2] if len(given[1]["shape"]) > 1 else 1, given[0]["shape"][-2]][-len(line["shape"]):]
        elif op == "SOFT_MAX":
            assert len(given) == 2 and given[0]["shape"] == line["shape"] and given[1]["name"].startswith("attn_inp_kq_mask"), line
        elif op == "ROPE":
            assert given[0]["shape"] == line["shape"] and given[1]["name"] == "inp_pos"
        elif op == "SET_ROWS":
            assert given[1]["dtype"] == "i64" and trace.by_order[line["view_of"]]["role"] == "state", line
        elif op == "ADD":
            assert len(given) == 2 and all(g is not None for g in given)
        else:
            continue
        checked += 1
    assert checked > 300 and any("operands" in line for line in trace.tensors)


@pytest.mark.parametrize("flash", [False, True])
def test_views_lie_where_their_lines_say(lab, flash):
    """NumPy, given the root's bytes, the offset and the strides, sees what was recorded of the view."""
    trace = Trace(lab.candidate("qwen3", flash=flash, options=("--tensors", ".", "--kv")))
    found = 0
    for line in trace.tensors:
        root = trace.by_order.get(line.get("view_of"))
        if root is None or "file" not in line or "file" not in root or line["role"] != "view" or root["dtype"] != line["dtype"]:
            continue
        memory = np.ascontiguousarray(trace.values(root))
        assert line["offset"] + sum((n - 1) * s for n, s in zip(line["shape"], line["strides"])) < memory.nbytes
        seen = np.ndarray(line["shape"], memory.dtype, memory, line["offset"], line["strides"])
        assert np.array_equal(seen, trace.values(line)), line["name"]
        found += 1
    assert found > 20
