"""`lockstep run` over several prompts: the weights of checkpoints that stay as they are need not be compared again, those of others do."""
import json
import sys

import models
from conftest import HERE, LOCKSTEP, ROOT, run

PROMPTS = {"a": [5, 17, 25], "b": [5, 6, 7], "c": [9, 6, 7]}


def test_weights_that_change_between_prompts(lab, tmp_path):
    """The second prompt's engine gets a file in which one weight is 2 % larger, under the same name; rounding to Q4_0 hides that in what is computed."""
    tensors = models.gguf_tensors(lab.model("llama"), "llama")
    models.write_gguf(tmp_path / "good.gguf", lab.model("llama"), "llama", tensors, quantize="q4_0")
    tensors["blk.1.ffn_up.weight"] = tensors["blk.1.ffn_up.weight"] * 1.02
    models.write_gguf(tmp_path / "bad.gguf", lab.model("llama"), "llama", tensors, quantize="q4_0")
    reference = {"model": str(lab.hf("llama")), "steps": [], "dtype": "float32"}
    candidate = {"engine": str(ROOT / ".deps" / "llama-v0.5.0"), "model": str(tmp_path / "model.gguf"), "flash": False, "steps": []}
    (tmp_path / "run.py").write_text(
        "import json, os, shutil, sys\n"
        "side, tokens = sys.argv[1], json.loads('[' + sys.argv[2] + ']')\n"
        "if side == 'candidate':\n"
        f"    shutil.copy('bad.gguf' if tokens == {PROMPTS['b']} else 'good.gguf', 'model.gguf')\n"
        f"    os.execlp('node', 'node', {str(HERE / 'run_llama.mjs')!r}, json.dumps({candidate!r} | {{'prompt': tokens}}))\n" +
        f"os.execv(sys.executable, [sys.executable, {str(HERE / 'run_hf.py')!r}, json.dumps({reference!r} | {{'prompt': tokens}})])\n")
    prompts = ", ".join(f"{{name: {name}, tokens: {tokens}}}" for name, tokens in PROMPTS.items())
    (tmp_path / "parity.yaml").write_text(f"reference: {{command: '{sys.executable} run.py reference {{tokens}}'}}\n"
                                          f"candidate: {{command: '{sys.executable} run.py candidate {{tokens}}'}}\nprompts: [{prompts}]\n")
    done = run(LOCKSTEP, "run", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == "", done.stdout + done.stderr
    reports = {name: json.loads((tmp_path / "parity" / name / "report.json").read_text()) for name in PROMPTS}
    assert [report["verdict"] for report in reports.values()] == ["match", "diverged", "match"]
    assert [report["replay"]["weights_alike"] for report in reports.values()] == [len(tensors), len(tensors) - 1, len(tensors)]
    assert {o["name"] for o in reports["b"]["replay"]["operations"] if o["origin"]} == {"ffn_up-1"}
