"""`lockstep run`, `init` and `tokens`, with the engine of examples/ on both sides."""
import json
import os
import pathlib
import resource
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCKSTEP = ROOT / "build" / "lockstep"
ENGINE = ROOT / "build" / "examples" / "qwen3"


def lockstep(*words, cwd=None):
    return subprocess.run([str(word) for word in (LOCKSTEP, *words)], capture_output=True, text=True, timeout=120, cwd=cwd, env=dict(os.environ, COLUMNS="0"))


class Project:
    def __init__(self, folder):
        self.folder = folder
        self.model = folder / "model"
        shutil.copytree(ROOT / "examples" / "qwen3-hf", self.model)
        self.write()

    def write(self, bug="", prompts="[{name: a, tokens: [5, 17, 25]}, {name: b, tokens: [8, 9, 10, 11]}]", env="{}", more=""):
        (self.folder / "parity.yaml").write_text(
            f"reference: {{command: '{ENGINE} model {{tokens}} 1', env: {env}}}\n"
            f"candidate: {{command: '{ENGINE} {self.model} {{tokens}} 1 {bug}'}}\n"
            f"prompts: {prompts}\n{more}\n")

    def run(self, *options):
        return lockstep("run", *options, cwd=self.folder)

    def why(self):
        return [line.split("reference: ")[1] for line in self.run("--why").stdout.splitlines() if "reference: " in line and ": recorded" not in line
                and line.startswith(" ")]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_line_a_prompt_and_reports_that_stay(project):
    done = project.run()
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines[0].startswith("a       match") and lines[1].startswith("b       match") and lines[2].startswith("2 match, 0 diverged")
    assert (project.folder / "parity/a/report.html").stat().st_size > 50_000
    report = json.loads((project.folder / "parity/a/report.json").read_text())
    assert report["verdict"] == "match" and report["pairing"]["coverage"] == 1
    assert "verdict: match" in (project.folder / "parity/b/report.txt").read_text()
    # the engine's own output is kept beside
    assert len((project.folder / "parity/a/candidate.log").read_text().split()) == 2


def test_a_divergence_and_where_it_is_first_over_all(project):
    project.write(bug="--bug gate-up-swapped")
    done = project.run()
    assert done.returncode == 1 and done.stdout.count("DIVERGED") == 2
    assert "earliest divergence of all: a: model.layers.0.mlp.gate_proj (linear), layer 0, pass 0" in done.stdout and "cause swapped-with" in done.stdout


def test_a_reference_is_recorded_once_until_something_changes(project):
    assert project.why() == ["there is no recording of it yet"] * 2
    assert all("unchanged" in why for why in project.why())
    trace = project.folder / "parity/a/reference/trace.jsonl"
    before = trace.stat().st_mtime_ns
    project.write(bug="--bug gelu")  # the candidate's command is no matter
    assert all("unchanged" in why for why in project.why()) and trace.stat().st_mtime_ns == before
    config = project.model / "config.json"
    config.write_text(config.read_text() + "\n")
    assert project.why() == [f"a file changed: {config.resolve()}"] * 2
    assert trace.stat().st_mtime_ns != before
    project.write(env="{OMP_NUM_THREADS: '3'}")
    assert project.why() == ["the environment changed: OMP_NUM_THREADS"] * 2
    project.write(env="{OMP_NUM_THREADS: '3'}", prompts="[{name: a, tokens: [5, 17, 26]}]")
    assert project.why() == ["the command changed"]
    (project.folder / "parity/a/reference/trace.jsonl").unlink()
    assert project.why() == ["there is no recording of it yet"]


def test_a_reference_that_is_not_as_it_was_recorded_is_recorded_again(project):
    project.run()
    tensors = project.folder / "parity/a/reference/tensors"
    log = project.folder / "parity/a/reference/trace.jsonl"
    first = sorted(tensors.iterdir())[0]

    def overwrite():
        data = bytearray(first.read_bytes())
        data[-1] ^= 1
        first.write_bytes(data)

    for change in (first.unlink, overwrite, lambda: log.write_text("".join(log.read_text().splitlines(True)[:-1])),
                   lambda: log.write_text(log.read_text().replace('"op":"', '"op":"X')), lambda: first.write_bytes(b"")):
        change()
        assert project.why()[0] == "the recording itself changed, or is incomplete"
        assert all("unchanged" in why for why in project.why())
        assert project.run().returncode == 0


def test_a_reference_that_lost_values_is_not_kept(project):
    """A limit that its values are too large for, and its log isn't."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200 << 10, 200 << 10))
    engine = project.folder / "flood"
    subprocess.run(["cc", "-o", engine, ROOT / "tests/capture/engine.c", f"-I{ROOT}/include", "-pthread", f"-L{ROOT}/build", "-llockstep",
                    f"-Wl,-rpath,{ROOT}/build", "-Wl,-rpath-link,."], check=True)
    (ROOT / "build/liblockstep.so.0").exists() or (ROOT / "build/liblockstep.so.0").symlink_to("liblockstep.so")
    (project.folder / "parity.yaml").write_text(f"reference: {{command: '{engine} flood 1'}}\ncandidate: {{command: '{engine} flood 1'}}\nprompts: [a]\n")
    done = subprocess.run([LOCKSTEP, "run"], cwd=project.folder, capture_output=True, text=True, preexec_fn=limit, env=dict(os.environ, COLUMNS="0"))
    assert done.returncode == 2 and "lost the values of 1 tensors: File too large" in done.stdout
    done = project.run("--why")
    assert done.returncode == 0 and "unchanged" not in done.stdout


def test_a_typing_error_costs_no_recording(project):
    project.run()
    right = (project.folder / "parity.yaml").read_text()
    (project.folder / "parity.yaml").write_text(right.replace(f"command: '{ENGINE} model", "command: 'pyhton model"))
    assert project.run().returncode == 2
    (project.folder / "parity.yaml").write_text(right)
    assert all("unchanged" in why for why in project.why())


def test_a_second_run_at_the_same_time_is_refused(project):
    slow = project.folder / "slow.sh"
    slow.write_text(f"echo > started; {ENGINE} model 5; read x < gate\n")
    os.mkfifo(project.folder / "gate")
    (project.folder / "parity.yaml").write_text(f"reference: {{command: sh slow.sh}}\ncandidate: {{command: '{ENGINE} model 5'}}\nprompts: [a]\n")
    first = subprocess.Popen([LOCKSTEP, "run"], cwd=project.folder, stdout=subprocess.PIPE, text=True)
    with open(project.folder / "gate", "w") as gate:  # opens once the first has come so far
        done = project.run()
        assert done.returncode == 2 and done.stdout == "" and "another run is writing there" in done.stderr
        gate.write("\n")
    assert "1 match" in first.communicate(timeout=60)[0] and first.returncode == 0


def test_files_that_are_named_within_words_and_in_env_count(project):
    named = ["plain.txt", "equals.txt", "listed.txt", "at.txt", "script.txt", "variable.txt", "within/deep.txt"]
    (project.folder / "within").mkdir()
    for name in named:
        (project.folder / name).write_text("1")
    (project.folder / "parity.yaml").write_text(
        f"reference: {{command: [sh, -c, 'cat script.txt > /dev/null; {ENGINE} model 5', plain.txt, --config=equals.txt, 'x,listed.txt', '@at.txt', '--d=a@within'],"
        f" env: {{SETTINGS: 'x:variable.txt'}}}}\ncandidate: {{command: '{ENGINE} model 5'}}\nprompts: [a]\n")
    project.run()
    for name in named:
        assert "unchanged" in project.why()[0]
        (project.folder / name).write_text("2")
        assert project.why() == [f"a file changed: {(project.folder / name).resolve()}"]


def test_links_that_lead_back_are_followed_once(project):
    farm = project.folder / "farm"
    farm.mkdir()
    for number in range(12):
        (farm / f"l{number}").symlink_to(".")
    (farm / "file").write_text("1")
    (project.folder / "parity.yaml").write_text(f"reference: {{command: [sh, -c, '{ENGINE} model 5', sh, farm]}}\ncandidate: {{command: '{ENGINE} model 5'}}\nprompts: [a]\n")
    project.run()
    (farm / "file").write_text("2")
    assert project.why() == [f"a file changed: {(farm / 'file').resolve()}"]


def test_what_is_not_watched_is_said(project):
    assert "not watched" not in project.run().stdout
    assert "2 references were not recorded again (not watched: the shared libraries and packages" in project.run().stdout


def test_large_files_are_sampled(project):
    large = project.folder / "large.bin"
    with open(large, "wb") as file:
        file.truncate(64 << 20)
    (project.folder / "parity.yaml").write_text(
        f"reference: {{command: \"sh -c '{ENGINE} model {{tokens}}' {large}\"}}\n"
        f"candidate: {{command: '{ENGINE} model {{tokens}}'}}\nprompts: [{{name: a, tokens: [5]}}]\n")
    project.run()
    why = project.why()
    assert len(why) == 1 and "1 by size, time and samples" in why[0]
    with open(large, "r+b") as file:
        file.write(b"x")
    assert project.why() == [f"a file changed: {large.resolve()}"]


def test_sides_that_are_skipped_and_one_prompt(project):
    done = project.run("--skip-reference")
    assert done.returncode == 2 and "there is no reference to use" in done.stdout
    assert project.run("--only", "b").returncode == 0
    assert not (project.folder / "parity/a/reference").exists()
    project.write(bug="--bug gelu")
    assert project.run("--only", "2", "--skip-candidate").returncode == 0, "the clean one is still there"
    assert project.run("--only", "b", "--skip-reference").returncode == 1
    done = project.run("--only", "c")
    assert done.returncode == 2 and "no prompt has this name" in done.stderr


def test_the_candidate_gets_the_references_tokens(project):
    (project.folder / "parity.yaml").write_text(
        f"reference: {{command: [{ENGINE}, model, '7,8,9']}}\n"
        f"candidate: {{command: [sh, -c, 'echo got $1; {ENGINE} model $1', sh, '{{tokens}}']}}\nprompts: [any text]\n")
    done = project.run()
    assert done.returncode == 0, done.stdout
    assert (project.folder / "parity/01-any_text/candidate.log").read_text().startswith("got 7,8,9\n")


def test_commands_that_fail_are_told_with_their_log(project):
    (project.folder / "parity.yaml").write_text(
        f"reference: {{command: '{ENGINE} model {{tokens}}'}}\ncandidate: {{command: \"sh -c 'echo oh; exit 3'\"}}\n"
        "prompts: [{name: a, tokens: [5]}]\n")
    done = project.run()
    assert done.returncode == 2 and "the candidate's command ended with status 3: oh (parity/a/candidate.log)" in done.stdout
    (project.folder / "parity.yaml").write_text("reference: {command: no-such-program}\ncandidate: {command: 'true'}\nprompts: [x]\n")
    done = project.run()
    assert done.returncode == 2 and "no-such-program: No such file or directory" in done.stdout
    (project.folder / "parity.yaml").write_text("reference: {command: 'true {tokens}'}\ncandidate: {command: 'true'}\nprompts: [x]\n")
    assert "this prompt has no value for {tokens}" in project.run().stdout


MALFORMED = [
    ("reference: [", "line 2"),
    ("a: 1\n", "expected reference, candidate, prompts"),
    ("reference: {command: x}\ncandidate: {command: y}\n", "'prompts' is missing, or empty"),
    ("reference: {command: x}\nprompts: [x]\n", "each need a 'command'"),
    ("reference: {command: 'a \"b'}\n", "line 1: a quote is not closed"),
    ("reference: {command: x, what: y}\n", "line 1: found an unknown key, expected command, env"),
    ("reference:\n  command: x\n  [a]: y\n", "line 3: keys must be plain words"),
    ("prompts: [{tokens: [a]}]\n", "tokens are a list of ids"),
    ("prompts: [{tokens: []}]\n", "tokens are a list of ids"),
    ("prompts: [{name: ../x, prompt: y}]\n", "a name must not begin with a dot"),
    ("prompts: [{name: x, prompt: y}, {name: x, prompt: z}]\n", "two prompts have this name"),
    ("compare: {atol: -1}\n", "expected a number of at least 0"),
    ("compare: {atol: nan}\n", "expected a number of at least 0"),
    ("reference: {command: x, env: [a]}\n", "expected a mapping"),
    ("reference: {command: []}\n", "a command is a line, or a list of words"),
    ("", "expected a mapping"),
    ("\x01", "offset 0"),
]


@pytest.mark.parametrize("text,said", MALFORMED)
def test_a_malformed_file_is_refused_with_its_place(tmp_path, text, said):
    (tmp_path / "parity.yaml").write_text(text)
    done = lockstep("run", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "parity.yaml" in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "parity.yaml"]


def test_init_writes_what_run_reads_and_overwrites_nothing(tmp_path):
    done = lockstep("init", cwd=tmp_path)
    assert done.returncode == 0 and "lockstep run" in done.stdout
    again = lockstep("init", cwd=tmp_path)
    assert again.returncode == 2 and "File exists" in again.stderr
    done = lockstep("run", cwd=tmp_path)
    assert done.returncode == 2 and "01-The_weather_today_is" in done.stdout, done.stderr
    assert "lockstep init" in lockstep("run", cwd=ROOT / "docs").stderr


# ------------------------------------------------------------------ tokens

@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")

    def make(tokens):
        out = folder / tokens.replace(",", "_")
        if not out.exists():
            done = lockstep("capture", "-o", out, "--", ENGINE, ROOT / "examples/qwen3-hf", tokens)
            assert done.returncode == 0, done.stderr
        return out
    return make


def vocabulary(folder):
    pieces = {"<|image|>": 40, "<": 27, "|": 28, "image": 29, ">": 30, "\n\n": 31, "\n": 32, "\n\n\n": 33}
    (folder / "tokenizer.json").write_text(json.dumps({
        "model": {"type": "BPE", "vocab": {f"t{i}": i for i in range(64) if i not in pieces.values()} | {k: v for k, v in pieces.items() if v != 40}, "merges": []},
        "added_tokens": [{"id": 40, "content": "<|image|>", "special": True}]}))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    shutil.copy(ROOT / "examples/llama-hf/model.safetensors", folder)
    return folder


def test_equal_tokens(traces):
    done = lockstep("tokens", traces("5,17,25"), traces("5,17,25"))
    assert done.returncode == 0 and "verdict: equal" in done.stdout


def test_a_doubled_beginning_is_named(traces):
    done = lockstep("tokens", traces("1,17,25"), traces("1,1,17,25"))
    assert done.returncode == 1 and "doubled: the candidate begins with token 1 twice" in done.stdout
    assert "verdict: differ at row 1" in done.stdout
    assert "doubled: the reference" in lockstep("tokens", traces("1,1,17,25"), traces("1,17,25")).stdout


def test_an_appended_end_is_named(traces):
    done = lockstep("tokens", traces("1,17,25"), traces("1,17,25,2"))
    assert done.returncode == 1 and "the candidate continues for 1 tokens (2): an end-of-text token" in done.stdout


def test_a_special_token_that_was_split(traces, tmp_path):
    whole, split = traces("5,40,17"), traces("5,27,28,29,28,30,17")
    done = lockstep("tokens", whole, split)
    assert done.returncode == 1 and "split? one token of the reference corresponds to several of the candidate (40; 27 28 29 28 30)" in done.stdout
    done = lockstep("tokens", whole, split, "--tokenizer", vocabulary(tmp_path))
    assert "split: '<|image|>' is one token of the reference and several of the candidate (40; 27 28 29 28 30)" in done.stdout
    assert "40 '<|image|>'" in done.stdout and "verdict: differ at row 1" in done.stdout


def test_other_tokens_of_the_same_text(traces, tmp_path):
    done = lockstep("tokens", traces("5,31,32,17"), traces("5,32,31,17"), "--tokenizer", vocabulary(tmp_path))
    assert done.returncode == 1 and "verdict: differ at row 1" in done.stdout


def test_only_what_is_near_a_difference_is_shown(traces):
    first = ",".join(str(5 + i % 50) for i in range(60))
    second = first.replace("30,", "31,", 1)
    done = lockstep("tokens", traces(first), traces(second))
    assert done.stdout.count("\n") < 25 and done.stdout.count("…") == 2
    assert lockstep("tokens", traces(first), traces(second), "--all").stdout.count("\n") > 60


def test_traces_without_tokens_are_said_to_be(traces, tmp_path):
    done = lockstep("tokens", ROOT / "examples/llama-hf", traces("5,17,25"))
    assert done.returncode == 2 and "tells no token ids" in done.stderr
