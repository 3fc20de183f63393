"""Lockstep's functions of one number against PyTorch's in double precision."""
import subprocess

import pytest

from table import ROOT

torch = pytest.importorskip("torch")
functional = torch.nn.functional

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "op/unary.h"
int main(int count, char **words) {
    for (const ls_unary *u = ls_unaries; u->name != NULL; u++) {
        printf("%s|%s", u->name, u->config);
        for (int i = 1; i < count; i++)
            printf("|%.17g", u->apply(atof(words[i])));
        printf("\n");
    }
    return 0;
}
"""

EXPECTED = {
    "tanh": torch.tanh, "1 - tanh": lambda x: 1 - torch.tanh(x), "sigmoid": torch.sigmoid, "exp": torch.exp, "silu": functional.silu, "relu": torch.relu,
    "gelu (erf)": functional.gelu, "gelu (tanh)": lambda x: functional.gelu(x, approximate="tanh"), "gelu (sigmoid)": lambda x: x * torch.sigmoid(1.702 * x),
    "squared relu": lambda x: torch.relu(x) ** 2, "softplus": functional.softplus, "mish": functional.mish, "elu": functional.elu,
    "hardswish": functional.hardswish, "hardsigmoid": functional.hardsigmoid, "square": torch.square, "sqrt": torch.sqrt, "1 +": lambda x: 1 + x,
}
POINTS = [-40.0, -5.5, -3.0, -1.0, -0.3, -1e-8, 0.0, 1e-8, 0.25, 1.0, 3.0, 7.5, 40.0]


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """{name: (spellings, values at POINTS)} as the library computes them."""
    folder = tmp_path_factory.mktemp("unary")
    (folder / "unary.c").write_text(PROGRAM)
    subprocess.run(["cc", f"-I{ROOT / 'src'}", folder / "unary.c", ROOT / "build" / "liblockstep.a", "-lm", "-o", folder / "unary"], check=True)
    lines = subprocess.run([folder / "unary", *map(repr, POINTS)], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: (spellings.split(), [float(v) for v in values]) for name, spellings, *values in (line.split("|") for line in lines)}


def test_every_function_is_known_to_this_test(functions):
    assert set(functions) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_function_is_that_of_torch(functions, name):
    expected = EXPECTED[name](torch.tensor(POINTS, dtype=torch.float64))
    torch.testing.assert_close(torch.tensor(functions[name][1], dtype=torch.float64), expected, rtol=1e-12, atol=1e-15, equal_nan=True)


def test_spellings_of_configurations_are_those_of_transformers(functions):
    """Every spelling that transformers has is the same function there."""
    activations = pytest.importorskip("transformers.activations")
    x = torch.tensor(POINTS, dtype=torch.float64)
    tried = 0
    for name, (spellings, values) in functions.items():
        for spelling in spellings:
            if spelling not in activations.ACT2FN:
                continue
            tried += 1
            got = activations.ACT2FN[spelling](x)
            torch.testing.assert_close(got, torch.tensor(values, dtype=torch.float64), rtol=1e-6, atol=1e-6, msg=lambda m: f"{spelling}: {m}")
    assert tried >= 12
