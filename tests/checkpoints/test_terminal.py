"""What people see: tables at several widths, and progress on a terminal."""
import os
import pty
import re
import select
import subprocess

from checkpoint_files import LOCKSTEP, ROOT

EXAMPLES = ROOT / "examples"


def test_lines_keep_within_the_terminal():
    for columns in (80, 160):
        done = subprocess.run([LOCKSTEP, "diff", EXAMPLES / "llama-hf", EXAMPLES / "llama-faulty.gguf"], capture_output=True, text=True,
                              env=dict(os.environ, COLUMNS=str(columns)))
        findings = done.stdout.split("findings")[1].splitlines()[1:]
        assert findings and max(map(len, findings)) <= columns


def test_every_pair_in_a_table():
    done = subprocess.run([LOCKSTEP, "diff", EXAMPLES / "llama-hf", EXAMPLES / "llama-faulty.gguf", "--all"], capture_output=True, text=True,
                          env=dict(os.environ, COLUMNS="120"))
    assert done.stdout.count("rope-pairs: reshape(") >= 4 and re.search(r"^RoPE base +500000 +10000 +differs$", done.stdout, re.MULTILINE)


def sparse(path, kind, count, elements, size):
    head = b"GGUF" + (3).to_bytes(4, "little") + count.to_bytes(8, "little") + (0).to_bytes(8, "little")
    for i in range(count):
        head += (8).to_bytes(8, "little") + b"%d.weight" % i + (1).to_bytes(4, "little") + elements.to_bytes(8, "little") + kind.to_bytes(4, "little") + (i * size).to_bytes(8, "little")
    head += bytes(-len(head) % 32)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + count * size)
    return path


def test_progress_on_a_terminal_and_nowhere_else(tmp_path):
    """Of a few GiB of holes, which take more than a second."""
    elements = 2**27
    a, b = sparse(tmp_path / "a.gguf", 1, 10, elements, 2 * elements), sparse(tmp_path / "b.gguf", 30, 10, elements, 2 * elements)
    leader, follower = pty.openpty()
    with open(tmp_path / "report.txt", "w") as report:  # a pipe may lead to a pager, which draws on the same terminal
        done = subprocess.run([LOCKSTEP, "diff", a, b, "--what", "weights"], stdout=report, stderr=follower, text=True, env=dict(os.environ, TERM="xterm"))
    os.close(follower)
    seen = b""
    while select.select([leader], [], [], 0)[0]:
        try:
            seen += os.read(leader, 65536)
        except OSError:  # nothing is left, and nobody writes to it
            break
    seen = seen.decode()
    os.close(leader)
    assert done.returncode == 0 and "GB/s" in seen and "s left" in seen and seen.endswith("\r\x1b[K")
    done = subprocess.run([LOCKSTEP, "diff", a, b, "--what", "weights"], capture_output=True, text=True)
    assert done.stderr == ""
    leader, follower = pty.openpty()
    subprocess.run([LOCKSTEP, "diff", a, b, "--what", "weights"], stdout=subprocess.PIPE, stderr=follower, env=dict(os.environ, TERM="xterm"))
    assert not select.select([leader], [], [], 0)[0]
    os.close(follower)
    os.close(leader)
