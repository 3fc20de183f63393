/* Functions of NumPy scripts, one row each: LS_HELPER_ROW(name, definition). A function comes after those that it calls. They are written into a
 * script only where they are called. This file has no include guard. */
LS_HELPER_ROW("like", "def like(b, a):  # b repeated to a's shape, as ggml broadcasts\n"
                      "    b = b.reshape((1,) * (a.ndim - b.ndim) + b.shape)\n"
                      "    return np.tile(b, [n // m for n, m in zip(a.shape, b.shape)])\n")
LS_HELPER_ROW("heads", "def heads(a, b):  # each matrix of a serves as many of b's\n"
                       "    a = a.reshape((1,) * (b.ndim - a.ndim) + a.shape)\n"
                       "    for axis in range(b.ndim - 2):\n"
                       "        a = np.repeat(a, b.shape[axis] // a.shape[axis], axis)\n"
                       "    return a\n")
LS_HELPER_ROW("experts", "def experts(w, x, ids):\n"
                         "    w, x, ids = w.reshape(w.shape[-3:]), x.reshape(x.shape[-3:]), ids.reshape(ids.shape[-2:]).astype(int)\n"
                         "    return np.array([[w[e] @ x[t, i % x.shape[1]] for i, e in enumerate(row)] for t, row in enumerate(ids)])\n")
LS_HELPER_ROW("centred", "def centred(x):\n    return x - x.mean(-1, keepdims=True)\n")
LS_HELPER_ROW("sigmoid", "def sigmoid(x):\n    return 1 / (1 + np.exp(-x))\n")
LS_HELPER_ROW("silu", "def silu(x):\n    return x / (1 + np.exp(-x))\n")
LS_HELPER_ROW("gelu_quick", "def gelu_quick(x):\n    return x / (1 + np.exp(-1.702 * x))\n")
LS_HELPER_ROW("gelu_erf", "def gelu_erf(x):\n    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))\n")
LS_HELPER_ROW("gelu", "def gelu(x):\n    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))\n")
LS_HELPER_ROW("gate", "def gate(f, a, b, swapped):\n"
                      "    if b is None:\n"
                      "        a, b = np.split(a, 2, -1)[::-1 if swapped else 1]\n"
                      "    return f(a) * b\n")
LS_HELPER_ROW("swiglu_oai", "def swiglu_oai(a, b, alpha, limit):\n    a, b = np.minimum(a, limit), np.clip(b, -limit, limit)\n    return a / (1 + np.exp(-alpha * a)) * (b + 1)\n")
LS_HELPER_ROW("rope", "def rope(x, positions, factors, dims, mode, base, scale, factor, yarn, context, fast, slow):\n"
                      "    assert mode in (0, 2), \"this kind of RoPE is not in this script\"\n"
                      "    angles = positions[:, None, None] * base ** (-np.arange(0, dims, 2) / dims) / (1 if factors is None else factors)\n"
                      "    if yarn:\n"
                      "        low, high = (dims * math.log(context / (beta * 2 * math.pi)) / (2 * math.log(base)) for beta in (fast, slow))\n"
                      "        low, high = max(0, math.floor(low)), min(dims - 1, math.ceil(high))\n"
                      "        share = yarn * (1 - np.clip((np.arange(dims // 2) - low) / max(0.001, high - low), 0, 1))\n"
                      "        angles, factor = angles * (scale * (1 - share) + share), factor * (1 + 0.1 * math.log(1 / scale))\n"
                      "    else:\n"
                      "        angles = angles * scale\n"
                      "    cos, sin = np.cos(angles) * factor, np.sin(angles) * factor\n"
                      "    a, b = (x[..., 0:dims:2], x[..., 1:dims:2]) if mode == 0 else np.split(x[..., :dims], 2, -1)\n"
                      "    pair = a * cos - b * sin, a * sin + b * cos\n"
                      "    turned = np.stack(pair, -1).reshape(*x.shape[:-1], dims) if mode == 0 else np.concatenate(pair, -1)\n"
                      "    return np.concatenate([turned, x[..., dims:]], -1)\n")
LS_HELPER_ROW("concat", "def concat(a, b, dim):\n"
                        "    rank = max(a.ndim, b.ndim, dim + 1)  # outer axes of 1 are not written\n"
                        "    a, b = (x.reshape((1,) * (rank - x.ndim) + x.shape) for x in (a, b))\n"
                        "    return np.concatenate([a, b], axis=rank - 1 - dim)\n")
LS_HELPER_ROW("softmax", "def softmax(s, mask, sinks, alibi=0):\n"
                         "    assert alibi == 0, \"ALiBi is not in this script\"\n"
                         "    s = s if mask is None else s + like(mask[..., :s.shape[-2], :], s)\n"
                         "    sinks = -np.inf if sinks is None else sinks.reshape(-1, 1, 1)\n"
                         "    top = np.maximum(s.max(-1, keepdims=True), sinks)\n"
                         "    e = np.exp(s - top)\n"
                         "    return e / (e.sum(-1, keepdims=True) + np.exp(sinks - top))\n")
LS_HELPER_ROW("attention", "def attention(q, k, v, mask, sinks, scale, alibi, cap):\n"
                           "    s = q @ np.swapaxes(heads(k, q), -1, -2) * scale\n"
                           "    s = cap * np.tanh(s / cap) if cap else s\n"
                           "    return np.swapaxes(softmax(s, mask, sinks, alibi) @ heads(v, q), -2, -3)\n")
