"""What GPTQ does to weights, compared with rounding: the limits of src/checkpoint/weight_cells.c.

    python bench/gptq_error.py      prints a line for each kind of inputs, number of bits, and order of columns

The algorithm is that of the paper (Frantar et al. 2022): each column is rounded, and what it lost is made up for in
the columns after it, by the inverse of the inputs' second moments.
"""
import numpy as np

ROWS, COLUMNS, GROUP, SAMPLES, DAMP = 256, 512, 128, 2048, 0.01


def quantize(w, second_moments, bits, by_size):
    """Original, quantized, and scales, in the order of the columns."""
    order = np.argsort(-np.diag(second_moments)) if by_size else np.arange(COLUMNS)
    w, h, top = w[:, order].copy(), second_moments[order][:, order].copy(), 2**bits - 1
    h[np.arange(COLUMNS), np.arange(COLUMNS)] += DAMP * np.diag(h).mean()
    upper = np.linalg.cholesky(np.linalg.inv(h)).T
    original, quantized, scales = w.copy(), np.zeros_like(w), np.zeros_like(w)
    for i in range(COLUMNS):
        if i % GROUP == 0:
            scale = 2 * np.abs(w[:, i:i + GROUP]).max(1) / top
        codes = np.clip(np.rint(w[:, i] / scale) + (top + 1) // 2, 0, top)
        quantized[:, i], scales[:, i] = (codes - (top + 1) // 2) * scale, scale
        w[:, i + 1:] -= np.outer((w[:, i] - quantized[:, i]) / upper[i, i], upper[i, i + 1:])
    return original, quantized, scales


def inputs(kind, random):
    x = random.normal(size=(SAMPLES, COLUMNS))
    if kind != "independent":
        x = 0.3 * x + random.normal(size=(SAMPLES, 32)) @ random.normal(size=(COLUMNS, 32)).T
    return x * np.exp(random.normal(size=COLUMNS)) if kind == "of different sizes" else x


def grouped(x):
    return x.reshape(ROWS, -1, GROUP).sum(2)


def systematic(original, quantized, scales):
    """Groups in which a factor leaves little of the error, as weight_cells.c has it."""
    error, typical = grouped((original - quantized) ** 2), grouped(scales**2 / 12)
    factor = grouped(original * quantized) / grouped(quantized**2)
    left = grouped(original**2) - factor**2 * grouped(quantized**2)
    return (abs(1 - factor) > 0.1) & (left <= 0.4 * error) & (left <= 8 * factor**2 * typical)


def report(kind, bits, by_size, original, quantized, scales):
    error, typical = grouped((original - quantized) ** 2), grouped(scales**2 / 12)
    factor = grouped(original * quantized).sum() / (quantized**2).sum()
    growth = max(abs(1 - factor) - 0.05, 0) / (typical.sum() / (original**2).sum())
    found = {factor: systematic(original, factor * quantized, factor * scales).mean() for factor in (1, 1.5, 2)}
    print(f"{kind}, {bits} bits{', by size' if by_size else ''}: squares of errors {error.sum() / typical.sum():.2f} times, in a group {(error / typical).max():.2f} times; the best factor is 0.05 + {growth:.2f} NMSE from 1; "
          f"systematic: {found[1]:.3f} of groups, {found[1.5]:.3f} with 1.5 times their scale, {found[2]:.3f} with twice", flush=True)


if __name__ == "__main__":
    for kind in ("independent", "correlated", "of different sizes"):
        random = np.random.default_rng(0)
        x = inputs(kind, random)
        w = random.normal(size=(ROWS, COLUMNS)) * np.exp(0.3 * random.normal(size=(ROWS, 1))) * (0.3 * random.standard_t(4, size=(ROWS, COLUMNS)) + 0.7)
        for bits in (3, 4, 8):
            for by_size in (False, True):
                report(kind, bits, by_size, *quantize(w, 2 * x.T @ x, bits, by_size))
