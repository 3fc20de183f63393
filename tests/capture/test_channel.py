"""Programs that treat the channel badly without knowing of it: they run as they do alone,
and the trace says what it lacks."""
import array
import json
import mmap
import os
import re
import resource
import socket
import struct
import subprocess

import pytest
from conftest import BUILD, LIMIT, LOCKSTEP, ROOT, capture, check, compile, ended, lines, named, run

MAGIC = 0x4B54534C


# ------------------------------------------------------------ closed descriptors

def test_a_program_that_closes_all_descriptors_is_not_recorded_whole(engine, tmp_path):
    done = capture(tmp_path / "t", engine, "closing", 3)
    found = check(tmp_path / "t")
    assert done.returncode == 0 and len(found) >= 4
    if len(found) < 12:
        assert "INCOMPLETE" in done.stderr and "closed the channel" in done.stderr and not ended(tmp_path / "t")
    else:  # a recorder that was slow to see it missed nothing
        assert ended(tmp_path / "t")


def test_a_program_that_only_closes_them_in_the_end_is_whole(engine, tmp_path):
    done = capture(tmp_path / "t", engine, "closing", 1)
    assert done.returncode == 0 and "INCOMPLETE" not in done.stderr and ended(tmp_path / "t")


def test_a_forked_child_keeps_its_own_descriptors(engine, tmp_path):
    """Also where the program's have the numbers that the channel had."""
    assert capture(tmp_path / "t", engine, "reopening", stdin=subprocess.DEVNULL).returncode == 0


def test_a_recorder_without_standard_streams(engine, tmp_path):
    """What it opens must not become a standard stream, and what it says not part of the trace."""
    out = tmp_path / "t"
    command = f'"{LOCKSTEP}" capture --stats -o "{out}" -- "{engine}" exit 3; echo $? > "{tmp_path}/status"'
    subprocess.run(["sh", "-c", f'({command}) <&- >&- 2>&-'], timeout=LIMIT)
    assert (tmp_path / "status").read_text() == "3\n"
    subprocess.run(["sh", "-c", f'"{LOCKSTEP}" capture --stats -o "{out}" -- "{engine}" run 2 <&- >&- 2>&-'], timeout=LIMIT)
    text = (out / "trace.jsonl").read_text()
    assert all(json.loads(line) for line in text.splitlines()) and len(check(out)) == 8 and ended(out)


# ------------------------------------------------------------ cancelled threads

def test_a_cancelled_thread_leaves_the_channel_to_others(engine, tmp_path):
    done = capture(tmp_path / "t", engine, "cancelled", timeout=LIMIT)
    assert done.returncode == 0
    assert len(named(tmp_path / "t", "sum")) == 10


@pytest.mark.parametrize("preload", [False, True])
def test_threads_with_small_stacks(tmp_path, preload):
    """A library's thread-local memory is taken from every thread's stack."""
    source = tmp_path / "threads.c"
    source.write_text("""
        #include <pthread.h>
        #include <lockstep/lockstep.h>
        static void *nothing(void *p) { return p; }
        int main(void) {
            for (size_t kib = 32; kib <= 1024; kib *= 2) {
                pthread_attr_t attributes;
                pthread_t thread;
                pthread_attr_init(&attributes);
                if (pthread_attr_setstacksize(&attributes, kib << 10) != 0 || pthread_create(&thread, &attributes, nothing, NULL) != 0)
                    return (int)(kib / 32);
                pthread_join(thread, NULL);
            }
            return lockstep_version()[0] == 0;
        }""")
    program = compile(source, tmp_path / "threads", f"-L{BUILD}", "-llockstep", f"-Wl,-rpath,{BUILD}", "-Wl,-rpath-link,.", "-Wl,--no-as-needed")
    environment = dict(os.environ, LD_PRELOAD=str(BUILD / "liblockstep-ggml.so")) if preload else None
    assert run(program, env=environment).returncode == 0


@pytest.mark.parametrize("library", ["liblockstep.so", "liblockstep-ggml.so"])
def test_libraries_have_little_thread_local_memory(library):
    sizes = [int(line.split()[5], 16) for line in run("readelf", "-lW", BUILD / library).stdout.splitlines() if line.split()[:1] == ["TLS"]]
    assert sum(sizes) <= 4096


def test_the_capture_library_needs_libc_alone():
    """It is loaded into every kind of program: no library that clashes, no thread-local storage, no symbol of others."""
    library = BUILD / "liblockstep-capture.so"
    needed = re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-dW", library).stdout)
    assert needed and set(needed) <= {"libc.so.6", "ld-linux-aarch64.so.1", "ld-linux-x86-64.so.2"}
    assert not [line for line in run("readelf", "-lW", library).stdout.splitlines() if line.split()[:1] == ["TLS"]]
    exported = {line.split()[-1] for line in run("nm", "-D", "--defined-only", library).stdout.splitlines()}
    assert exported and all(name.startswith("lockstep_") for name in exported)


# ------------------------------------------------------------ many processes

def test_more_processes_than_there_are_descriptors(engine, tmp_path):
    script = f"i=0; while [ $i -lt 100 ]; do {engine} run 1 >&2 || exit 1; i=$((i+1)); done"
    done = capture(tmp_path / "t", "sh", "-c", script, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    assert done.returncode == 0 and ended(tmp_path / "t")
    assert len([line for line in lines(tmp_path / "t") if "engine" in line]) == 100


def test_more_processes_at_once_than_the_soft_limit(engine, tmp_path):
    """And the command has the limit that it would have alone."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 200:
        pytest.skip("no right to so many descriptors")
    script = f"ulimit -Sn; for i in $(seq 60); do {engine} linger >/dev/null & done; wait"
    done = capture(tmp_path / "t", "sh", "-c", script, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard)))
    assert done.stdout.split()[0] == "40"
    assert len([line for line in lines(tmp_path / "t") if "engine" in line]) == 60


def test_a_process_that_can_not_connect_is_counted(engine, tmp_path):
    """In a network of its own there is no channel."""
    if os.geteuid() != 0 or run("unshare", "-n", "true").returncode != 0:
        pytest.skip("no right to a network of its own")
    done = capture(tmp_path / "t", "sh", "-c", f"{engine} run 1; unshare -n {engine} run 1; unshare -n {engine} run 1")
    assert done.returncode == 0 and "INCOMPLETE" in done.stderr
    assert any("2 processes were not recorded" in line.get("note", "") for line in lines(tmp_path / "t"))
    assert not ended(tmp_path / "t") and len(check(tmp_path / "t")) == 4


def test_a_process_without_descriptors_is_counted(engine, tmp_path):
    done = capture(tmp_path / "t", engine, "full")
    assert done.returncode == 0 and "1 process was not recorded" in done.stderr and not ended(tmp_path / "t"), done.stderr


def test_a_process_of_another_user_is_counted(engine, tmp_path):
    done = capture(tmp_path / "t", engine, "nobody")
    if done.returncode == 77:
        pytest.skip("no right to be another user")
    assert done.returncode == 0 and "1 process was not recorded" in done.stderr and not ended(tmp_path / "t"), done.stderr


def test_a_process_that_outlives_the_command_is_recorded(engine, tmp_path):
    for number in range(5):
        out = tmp_path / str(number)
        assert capture(out, engine, "daemon", 3).returncode == 0
        assert len(check(out)) == 12 and ended(out)


# ------------------------------------------------------------ unread answers

class Peer:
    """An observed process, by hand."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("\0" + name[1:])
        _, control, *_ = self.socket.recvmsg(1, socket.CMSG_LEN(4))
        descriptors = array.array("i")
        descriptors.frombytes(control[0][2][:4])
        self.ring = mmap.mmap(descriptors[0], os.fstat(descriptors[0]).st_size)
        self.written = 0

    def send(self, text):
        frame = struct.pack("<IIQ", MAGIC, len(text), 0) + text
        self.ring[4096 + self.written:4096 + self.written + len(frame)] = frame
        self.written += len(frame)
        self.ring[64:72] = struct.pack("<Q", self.written)


@pytest.mark.parametrize("questions", [50, 2000])
def test_answers_that_nobody_reads_do_not_hold_the_recorder(tmp_path, questions):
    recorder = subprocess.Popen([LOCKSTEP, "capture", "-o", tmp_path / "t", "--listen"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
    peer = Peer(recorder.stdout.readline().strip())
    for _ in range(questions):
        peer.send(b'{"event":"resync","id":1}')
    recorder.communicate(timeout=LIMIT)  # the peer lives on
    assert recorder.returncode == 0
