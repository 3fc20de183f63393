"""Malformed inputs: each is refused with status 2, at the right offset, saying what
was found, in little memory and time. $LOCKSTEP_BIN chooses the program; where
build/asan/lockstep exists, that is tried as well.
"""
import io
import json
import os
import re
import struct
import subprocess
import zipfile
import zlib

import numpy as np
import pytest

import malformed_ggml
import malformed_text
import malformed_torch
from lockstep_library import LOCKSTEP, ROOT

ASAN = ROOT / "build" / "asan" / "lockstep"
PROGRAMS = {"release": LOCKSTEP} | ({"asan": str(ASAN)} if ASAN.exists() else {})
# Memory that a refusal may take. A sanitizer reserves terabytes, so there only a
# single allocation is bounded.
LIMIT_MB = 48
SECONDS = 20

CASES = {}


def case(name, file, data, offset, message):
    """offset: in the file (None: the message has none)"""
    assert name not in CASES
    CASES[name] = (file, data, offset, message)


# --- GGUF

U8, I32, U32, F32, STRING, ARRAY = 0, 5, 4, 6, 8, 9


def text(value, length=None):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(value) if length is None else length) + value


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def tensor(name, ne, kind=0, offset=0, axes=None):
    return (text(name) + struct.pack("<I", len(ne) if axes is None else axes)
            + struct.pack(f"<{len(ne)}Q", *(n % 2**64 for n in ne)) + struct.pack("<IQ", kind, offset))


def gguf(pairs=(), tensors=(), data=b"", version=3, n_tensors=None, n_pairs=None, magic=b"GGUF"):
    head = magic + struct.pack("<IQQ", version, len(tensors) if n_tensors is None else n_tensors,
                               len(pairs) if n_pairs is None else n_pairs)
    head += b"".join(pairs) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


def gguf_case(name, data, offset, message):
    case(f"gguf: {name}", "x.gguf", data, offset, message)


gguf_case("empty", b"", 0, "GGUF magic: found 0 bytes left, expected 4")
gguf_case("bad magic", gguf(magic=b"GGML"), 0, "found 'GGML', expected the magic 'GGUF'")
for version in (0, 1, 4):
    gguf_case(f"version {version}", gguf(version=version), 4, f"found GGUF version {version}, expected 2 or 3")
for cut, what in [(6, "GGUF version"), (12, "tensor count"), (20, "key-value count")]:
    gguf_case(f"cut at {cut}", gguf()[:cut], {6: 4, 12: 8, 20: 16}[cut], what)
for count in (2**63, 2**64 - 1, 2**40):
    gguf_case(f"{count} tensors", gguf(n_tensors=count), 8, f"found a count of {count} tensors, expected at most 0")
    gguf_case(f"{count} pairs", gguf(n_pairs=count), 16, f"found a count of {count} key-values, expected at most")
gguf_case("more pairs than are there", gguf([pair("a", U8, b"\1")], n_pairs=2), 38, "key: found a length of 0 bytes")
gguf_case("key of 1 TB", gguf([text("", 2**40) + bytes(8)]), 32, "key: found 32 bytes left, expected 1099511627776")
gguf_case("key of 2^64-1", gguf([text("", 2**64 - 1) + bytes(8)]), 32, "expected 18446744073709551615")
gguf_case("empty key", gguf([pair("", U8, b"\1")]), 24, "key: found a length of 0 bytes, expected 1 to 65535")
gguf_case("key with NUL", gguf([pair("a\0b", U8, b"\1")]), 32, "key: found a NUL")
gguf_case("same key twice", gguf([pair("a", U8, b"\1"), pair("a", U8, b"\2")]), 38, "found a second metadata key 'a'")
gguf_case("value type", gguf([pair("a", 13, bytes(8))]), 33, "a: found value type 13, expected 0 to 12")
gguf_case("value type -1", gguf([pair("a", 2**32 - 1, bytes(8))]), 33, "found value type 4294967295")
gguf_case("text of 2^64-1", gguf([pair("a", STRING, text("", 2**64 - 1))]), 45, "a: found 19 bytes left")
gguf_case("array of arrays", gguf([pair("a", ARRAY, struct.pack("<IQ", ARRAY, 1) + bytes(16))]), 37,
          "a: found array element type 9, expected 0 to 12, but not 9 (array)")
gguf_case("array element type", gguf([pair("a", ARRAY, struct.pack("<IQ", 99, 1) + bytes(16))]), 37, "type 99")
for count in (2**64 - 1, 2**61, 2**40):
    gguf_case(f"array of {count} u64", gguf([pair("a", ARRAY, struct.pack("<IQ", 10, count) + bytes(8))]), 41,
              f"a: found an array of {count} elements, expected at most 1 in")
    gguf_case(f"array of {count} texts", gguf([pair("a", ARRAY, struct.pack("<IQ", STRING, count) + bytes(8))]), 41,
              f"a: found an array of {count} elements, expected at most 1 in")
gguf_case("text in an array beyond the end", gguf([pair("a", ARRAY, struct.pack("<IQ", STRING, 2) + text("x") + text("", 2**63))]),
          66, "a: found 30 bytes left, expected 9223372036854775808")
for value in (0, 13, 3):
    gguf_case(f"alignment {value}", gguf([pair("general.alignment", U32, struct.pack("<I", value))]), 49,
              f"general.alignment: found {value}, expected a power of two")
gguf_case("alignment as i32", gguf([pair("general.alignment", I32, struct.pack("<i", 32))]), 49, "expected u32")
gguf_case("alignment 2^31", gguf([pair("general.alignment", U32, struct.pack("<I", 2**31))], [tensor("a", [1])], bytes(4)),
          100, "tensor 'a': found the file's end, expected 4 bytes at offset 2147483648")
gguf_case("name of 256", gguf(tensors=[tensor("n" * 256, [1])]), 24, "found a length of 256 bytes, expected 0 to 255")
gguf_case("name with NUL", gguf(tensors=[tensor("a\0", [1])], data=bytes(4)), 32, "tensor name: found a NUL")
gguf_case("name of 2^64-1", gguf(tensors=[text("", 2**64 - 1) + bytes(16)]), 32, "tensor name: found 32 bytes left")
for axes in (5, 9, 2**32 - 1):
    gguf_case(f"{axes} axes", gguf(tensors=[tensor("a", [1] * 5, axes=axes)]), 33, f"tensor 'a': found {axes} axes, expected at most 4")
gguf_case("negative axis", gguf(tensors=[tensor("a", [-1])]), 37, "tensor 'a': found an axis of -1")
for kind in (4, 5, 31, 38, 43, 2**31):
    gguf_case(f"type {kind}", gguf(tensors=[tensor("a", [32], kind)], data=bytes(64)), 45, f"tensor 'a': found type {kind}")
gguf_case("part of a block", gguf(tensors=[tensor("a", [33], 8)], data=bytes(68)), 33,
          "tensor 'a': found an innermost axis of 33 in [33], expected a multiple of the 32")
gguf_case("same tensor twice", gguf(tensors=[tensor("a", [8]), tensor("a", [8], offset=32)], data=bytes(64)), 57, "found a second tensor named 'a'")
gguf_case("overlapping tensors", gguf(tensors=[tensor("a", [8]), tensor("b", [8])], data=bytes(64)), 57 + 25, "tensor 'b': found its data at 0, expected 32")
gguf_case("hole", gguf(tensors=[tensor("a", [8], offset=32)], data=bytes(64)), 49, "tensor 'a': found its data at 32, expected 0")
gguf_case("data cut by 1 byte", gguf(tensors=[tensor("a", [8])], data=bytes(31)), 95, "tensor 'a': found the file's end, expected 32 bytes at offset 64")
gguf_case("data beyond the file", gguf(tensors=[tensor("a", [2**40])], data=bytes(31)), 49, "tensor 'a': found a file of 95 bytes")
I8 = 24
for name, ne, kind in [
    ("2^32 x 2^32 f32", [2**32, 2**32], 0), ("2^62 x 4 i8", [2**62, 4], I8), ("2^62-1 f32", [2**62 - 1], 0),
    ("q4_0 that wraps", [1024819115206086208], 2), ("0 hides 2^80", [0, 2**40, 2**40], 0),
    ("0 hides 2^80, innermost last", [2**40, 2**40, 0], 0), ("2^31 x 2^31 x 2 i8", [2**31, 2**31, 2], I8),
    ("2^42+1 x 2^22", [2**42 + 1, 2**22], 0),
]:
    gguf_case(name, gguf(tensors=[tensor("w", ne, kind)], data=bytes(64)), None, "tensor 'w': ")
gguf_case("two sizes whose sum wraps", gguf(tensors=[tensor("a", [0x7FFFFFFFFFFFFFC0], I8), tensor("b", [0x7FFFFFFFFFFFFFC0], I8, 0x7FFFFFFFFFFFFFC0)],
                                            data=bytes(64)), 33, "tensor 'a': the size of shape [9223372036854775744] of i8 overflows")


# --- NPY

def npy(header="{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", data=bytes(8), version=1, length=None, magic=b"\x93NUMPY"):
    header = header.encode()
    size = len(header) if length is None else length
    return magic + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", size) + header + data


def descr(value, shape="(2,)", order="False"):
    return "{'descr': %s, 'fortran_order': %s, 'shape': %s}" % (value, order, shape)


def npy_case(name, data, offset, message):
    case(f"npy: {name}", "x.npy", data, offset, message)


npy_case("empty", b"", 0, "found no NPY magic in 0 bytes")
npy_case("bad magic", npy(magic=b"\x93NUMPX"), 0, "expected 93 'NUMPY'")
npy_case("version 4", npy(version=4), 6, "found NPY version 4.0, expected 1.0, 2.0 or 3.0")
npy_case("header of 2^32-1", npy(version=2, length=2**32 - 1), 8, "found an NPY header of 4294967295 bytes, expected at most 16372")
npy_case("header beyond the end", npy(length=100, data=b""), 8, "NPY header: found 58 bytes left, expected 100")
npy_case("data cut by 1 byte", npy(data=bytes(7)), 68, "array: found 7 bytes, expected 8 for shape [2] of <f4")
npy_case("objects", npy(descr("'|O'")), 21, "found pickled objects ('O'), which are never loaded")
npy_case("objects in a struct", npy(descr("[('a', '<i4'), ('b', '|O')]")), 42, "pickled objects")
npy_case("objects in a subarray", npy(descr("('|O', (2,))")), 22, "pickled objects")
npy_case("unknown type", npy(descr("'<q4'")), 21, "expected a type such as '<f4'")
npy_case("type without size", npy(descr("'<f'")), 23, "expected a type with its size")
npy_case("type with more", npy(descr("'<f4x'")), 24, "expected the type's end")
npy_case("nested types", npy(descr("[('a', " * 50 + "'<f4'" + ")]" * 50)), None, "nested deeper than 16")
npy_case("negative shape", npy(descr("'<f4'", "(-1,)")), 61, "found '-1,)}', expected an axis of at least 0")
npy_case("bool in shape", npy(descr("'<f4'", "(True,)")), 61, "expected an axis")
npy_case("float in shape", npy(descr("'<f4'", "(2.0,)")), 62, "expected ',' or ')'")
npy_case("axis of 2^64", npy(descr("'<f4'", "(18446744073709551616,)")), 61, "a number beyond 64 bits")
npy_case("2^32 x 2^32", npy(descr("'<f4'", "(4294967296, 4294967296)")), 10, "shape [4294967296, 4294967296] of <f4 overflows")
npy_case("0 hides 2^80", npy(descr("'<f4'", "(0, 1099511627776, 1099511627776)")), 10, "overflows 64 bits")
npy_case("1 TB", npy(descr("'<f4'", "(274877906944,)")), None, "array: found 8 bytes, expected 1099511627776")
npy_case("9 axes", npy(descr("'<f4'", "(1,1,1,1,1,1,1,1,1)")), 77, "found more than 8 axes")
npy_case("missing key", npy("{'descr': '<f4', 'shape': (2,)}"), 40, "expected the keys descr, fortran_order and shape")
npy_case("extra key", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}"), 66, "once each")
npy_case("key twice", npy("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"), 27, "once each")
npy_case("order is 1", npy(descr("'<f4'", order="1")), 44, "expected True or False")
npy_case("code", npy("__import__('os')"), 10, "expected '{'")
npy_case("something after", npy(descr("'<f4'") + "+1"), None, "found '+1', expected only spaces after the dict")
npy_case("open quote", npy("{'descr"), 12, "expected a closing quote")


# --- zip

def npz(members, compress=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compress) as file:
        for name, data in members:
            file.writestr(zipfile.ZipInfo(name), data, compress)
    return bytearray(stream.getvalue())


def npz_case(name, data, offset, message):
    case(f"npz: {name}", "x.npz", bytes(data), offset, message)


def patched(data, *patches):
    """patches: (position, struct format, value)"""
    data = bytearray(data)
    for at, form, value in patches:
        struct.pack_into(form, data, at, value)
    return data


ONE = npz([("a.npy", npy())])
CENTRAL, END = ONE.index(b"PK\1\2"), ONE.index(b"PK\5\6")
TWO = npz([("a.npy", npy()), ("b.npy", npy())])
DEFLATED = npz([("a.npy", npy(descr("'<f4'", "(1000,)"), bytes(4000)))], zipfile.ZIP_DEFLATED)
DCENTRAL, DEND = DEFLATED.index(b"PK\1\2"), DEFLATED.index(b"PK\5\6")
npz_case("empty", b"", 0, "zip: found no end record")
npz_case("cut by 1 byte", ONE[:-1], len(ONE) - 1, "zip: found no end record that reaches the file's end")
npz_case("prepended bytes", b"PK\3\4junk" + ONE, END + 8, "expected it to end at offset")
npz_case("end record in the comment", patched(ONE, (END + 20, "<H", 22)) + patched(ONE[END:], (12, "<I", 0), (16, "<I", 0), (8, "<I", 0)),
         END, "zip: found a second end record")
npz_case("65534 entries", patched(ONE, (END + 8, "<H", 65534), (END + 10, "<H", 65534)), END, "zip: found 65534 entries, expected at most 1")
npz_case("fewer entries than records", patched(TWO, (len(TWO) - 14, "<H", 1), (len(TWO) - 12, "<H", 1)), None, "bytes after the directory's 1 entries")
npz_case("directory elsewhere", patched(ONE, (END + 16, "<I", 0)), END, "expected it to end at offset")
npz_case("two disks", patched(ONE, (END + 4, "<H", 1)), END + 4, "several disks")
zip64 = (b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 2**64 - 1, 2**64 - 1, END - CENTRAL, CENTRAL)
         + b"PK\6\7" + struct.pack("<IQI", 0, END, 1))
npz_case("zip64: 2^64-1 entries", ONE[:END] + zip64 + patched(ONE[END:], (8, "<H", 65535), (10, "<H", 65535)),
         END + 76, "zip: found 18446744073709551615 entries, expected at most 1")
npz_case("zip64 record missing", ONE[:END] + b"PK\6\7" + struct.pack("<IQI", 0, 2**63, 1) + ONE[END:], END + 8, "no zip64 end record at offset 9223372036854775808")
for flag in (0x1, 0x20, 0x40):
    npz_case(f"flag {flag:#x}", patched(ONE, (CENTRAL + 8, "<H", flag)), CENTRAL + 8, f"found flags 0x{flag:04x}")
npz_case("local flag", patched(ONE, (6, "<H", 1)), 6, "its local and central headers disagree")
npz_case("method 12", patched(ONE, (CENTRAL + 10, "<H", 12)), CENTRAL + 10, "found compression method 12")
npz_case("other local name", patched(ONE, (30, "<c", b"b")), 30, "found the name 'b.npy' before the data, expected 'a.npy'")
npz_case("local header beyond the end", patched(ONE, (CENTRAL + 42, "<I", 2**31)), CENTRAL + 42, "found header offset 2147483648")
npz_case("more data than the file", patched(ONE, (CENTRAL + 20, "<I", 2**30), (CENTRAL + 24, "<I", 2**30)), 35, "zip: member data: found")
npz_case("stored sizes differ", patched(ONE, (CENTRAL + 24, "<I", 2**30)), CENTRAL + 20, "expected equal sizes")
npz_case("size beyond deflate", patched(DEFLATED, (DCENTRAL + 24, "<I", 10**9)), DCENTRAL + 24, "found a size of 1000000000 bytes, expected at most the ")
npz_case("zip64 extra missing", patched(ONE, (CENTRAL + 24, "<I", 2**32 - 1)), CENTRAL, "found no zip64 extra")
npz_case("same member twice", npz([("a.npy", npy()), ("a.npy", npy())]), None, "found a second member named 'a.npy'")
npz_case("same array twice", npz([("a.npy", npy()), ("a", b"x")]), None, "found a second tensor named 'a'")
for name in ("../x.npy", "/x.npy", "a/../../x.npy", "a\\..\\x.npy", "a//x.npy"):
    npz_case(f"member {name}", npz([(name, npy())]), None, "expected a path inside the archive")
npz_case("members overlap", patched(TWO, (TWO.index(b"PK\1\2") + 20, "<I", 110), (TWO.index(b"PK\1\2") + 24, "<I", 110)), None, "overlap")
npz_case("objects", npz([("a.npy", npy(descr("'|O'")))]), 56, "pickled objects")
npz_case("deflated member cut", npz([("a.npy", npy(data=bytes(3)))], zipfile.ZIP_DEFLATED), 68, "x.npz(a.npy): offset 68: array: found 3 bytes, expected 8")
npz_case("garbage for deflate", patched(DEFLATED, (35, "<I", 0xFFFFFFFF)), None, "zip member 'a.npy': ")


# --- safetensors

def safetensors(header, data=bytes(4), length=None):
    header = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype="F32", shape="[1]", offsets="[0,4]", name="a"):
    return '{"%s":{"dtype":"%s","shape":%s,"data_offsets":%s}}' % (name, dtype, shape, offsets)


def st_case(name, data, offset, message):
    case(f"safetensors: {name}", "x.safetensors", data, offset, message)


st_case("empty", b"", 0, "header length: found 0 bytes left, expected 8")
st_case("header of 2^64-1", safetensors(entry(), length=2**64 - 1), 0, "found a header of 18446744073709551615 bytes, expected at most 100000000")
st_case("header of 99 MB in a small file", safetensors(entry(), length=99999999), 8, "header: found")
st_case("not JSON", safetensors("hello"), 8, "expected the header: an object")
st_case("an array", safetensors("[]"), 8, "expected the header: an object")
st_case("not UTF-8", safetensors(b'{"\xff":1}'), 10, "expected UTF-8")
st_case("open object", safetensors(entry()[:-1]), 8 + len(entry()) - 1, "found the end of the text, expected ',' or '}'")
st_case("something after", safetensors(entry() + "{}"), 8 + len(entry()), "found '{}', expected nothing more")
st_case("same name twice", safetensors('{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}'),
        8 + 53, "found a second tensor named 'a'")
st_case("same key twice", safetensors('{"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,4]}}'), 27, "found a second 'dtype'")
st_case("two __metadata__", safetensors('{"__metadata__":{},"__metadata__":{}}', b""), 27, "a second __metadata__")
st_case("metadata twice", safetensors('{"__metadata__":{"k":"1","k":"2"}}', b""), 33, "a second metadata key 'k'")
st_case("metadata that is no text", safetensors('{"__metadata__":{"k":1}}', b""), 29, "found '1}}', expected a string")
st_case("missing dtype", safetensors('{"a":{"shape":[1],"data_offsets":[0,4]}}'), 9, "tensor 'a': found no dtype")
st_case("missing offsets", safetensors('{"a":{"dtype":"U8","shape":[1]}}'), 9, "tensor 'a': found no data_offsets")
st_case("unknown dtype", safetensors(entry("F128")), 22, "tensor 'a': found dtype 'F128'")
for shape in ("-1", "1.0", "1e0", "true", '"1"', "01", "18446744073709551616"):
    st_case(f"shape {shape}", safetensors(entry(shape=f"[{shape}]")), 8 + entry().index("[1]") + 1, "expected an axis")
st_case("offset -1", safetensors(entry(offsets="[-1,4]")), 8 + entry().index("[0,4]") + 1, "expected an offset")
st_case("three offsets", safetensors(entry(offsets="[0,4,8]")), 8 + entry().index("[0,4]") + 5, "expected two offsets")
st_case("offsets reversed", safetensors(entry(offsets="[4,0]")), 9, "tensor 'a': found data_offsets [4, 0], expected 4 bytes between them")
st_case("offsets smaller than shape", safetensors(entry(shape="[1000]")), 9, "expected 4000 bytes between them")
st_case("product wraps to 4", safetensors(entry(shape="[4194305, 4194305, 211106198978564]", offsets="[0,16]")), 9, "overflows 64 bits")
st_case("0 hides 2^80", safetensors(entry(shape="[0, 1099511627776, 1099511627776]", offsets="[0,0]"), b""), 9, "overflows 64 bits")
st_case("9 axes", safetensors(entry(shape="[1,1,1,1,1,1,1,1,1]")), 8 + entry().index("[1]") + 17, "found more than 8 axes")
st_case("misaligned F4", safetensors(entry("F4", "[3]", "[0,2]"), bytes(2)), 9, "has 12 bits, expected a multiple of 8")
st_case("hole", safetensors(entry(offsets="[4,8]"), bytes(8)), 9, "found its data at 4, expected 0")
st_case("bytes behind", safetensors(entry(), bytes(5)), 8 + len(entry()) + 4, "found 1 bytes after the last tensor")
st_case("data cut by 1 byte", safetensors(entry(), bytes(3)), 8 + len(entry()) + 3, "tensor 'a': found 3 bytes of data, expected 4")
st_case("NUL in a name", safetensors(entry(name="a\\u0000b")), 11, "expected a JSON escape of a character other than NUL")
st_case("lone surrogate", safetensors(entry(name="\\ud800")), 10, "expected a JSON escape")
st_case("nested 100,000 deep", safetensors('{"a":{"x":' + "[" * 100000), None, "nested deeper than 64")
many = ",".join('"%d":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}' % i for i in range(20000))
st_case("20,000 overlapping entries", safetensors("{" + many + "}"), None, "found its data at 0, expected 4")
st_case("5 MB of spaces", safetensors(" " * 5_000_000), 8 + 5_000_000, "found the end of the text")

for row in malformed_torch.ROWS + malformed_text.ROWS + malformed_ggml.ROWS:
    case(*row)


def run_limited(program, *arguments):
    """Beyond LIMIT_MB allocations fail, and then neither status nor message is right."""
    command = [PROGRAMS[program], *map(str, arguments)]
    environment = dict(os.environ, LOCKSTEP_THREADS="2")
    if program == "asan":
        environment["ASAN_OPTIONS"] = f"max_allocation_size_mb={LIMIT_MB}"
    else:
        command = ["sh", "-c", f'ulimit -d {LIMIT_MB * 1024}; exec "$0" "$@"', *command]
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          timeout=SECONDS)
    return done.returncode, done.stderr.decode(errors="replace")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", CASES)
def test_refused(tmp_path, name, program):
    file, data, offset, message = CASES[name]
    (tmp_path / file).write_bytes(data)
    arguments = ["ls", tmp_path / file, "--stats"]
    status, errors = run_limited(program, *arguments)
    assert status == 2, errors
    assert message in errors
    assert errors.count("\n") == 1 and file in errors
    if offset is not None:
        assert re.search(r"offset (\d+)", errors).group(1) == str(offset), errors


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("change, message", [
    (lambda data, central: patched(data, (central + 16, "<I", 0)), "found data with CRC-32"),
    (lambda data, central: patched(data, (central + 24, "<I", 4000)), "the compressed data continues"),
    (lambda data, central: patched(data, (central + 24, "<I", 4100)), "the compressed data ends early"),
], ids=["crc", "longer than declared", "shorter than declared"])
def test_wrong_deflated_data_is_found_when_read(tmp_path, change, message, program):
    raw = npz([("a.npy", npy(descr("'<f4'", "(980,)"), bytes(4000)))], zipfile.ZIP_DEFLATED)
    data = change(raw, raw.index(b"PK\1\2"))
    (tmp_path / "x.npz").write_bytes(data)
    status, errors = run_limited(program, "show", tmp_path / "x.npz", "a[0]")
    assert status == 2 and message in errors, errors


def test_wrong_stored_data_is_found_when_read(tmp_path):
    (tmp_path / "x.npz").write_bytes(patched(ONE, (35 + 68, "<B", 7)))
    status, errors = run_limited("release", "show", tmp_path / "x.npz", "a")
    assert status == 2 and "found data with CRC-32" in errors, errors


def test_a_member_of_400_mb_in_400_kb_takes_no_memory_until_it_is_read(tmp_path):
    header = npy(descr("'|u1'", "(419430400,)"), b"")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed, crc = squeeze.compress(header), zlib.crc32(header)
    for _ in range(400):
        chunk = bytes(1 << 20)
        packed, crc = packed + squeeze.compress(chunk), zlib.crc32(chunk, crc)
    packed += squeeze.flush()
    data = npz([("a.npy", b"x")], zipfile.ZIP_STORED)
    sizes = struct.pack("<III", crc, len(packed), len(header) + 419430400)
    local, central = bytes(data[:35]), data.index(b"PK\1\2")
    record = bytearray(data[central:data.index(b"PK\5\6")])
    struct.pack_into("<H12s", record, 10, 8, bytes(12))
    record[16:28] = sizes
    record[10:12] = b"\x08\0"
    local = local[:8] + b"\x08\0" + local[10:14] + sizes + local[26:]
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(record), len(local) + len(packed), 0)
    path = tmp_path / "bomb.npz"
    path.write_bytes(local + packed + bytes(record) + end)
    assert path.stat().st_size < 500_000
    assert np.load(path)["a"].shape == (419430400,)
    status, errors = run_limited("release", "ls", path)
    assert (status, errors) == (0, "")
    status, errors = run_limited("release", "show", path, "a[-1]")
    assert (status, errors) == (0, "")


def test_names_cannot_drive_a_terminal(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(safetensors(entry(name="\\u001b]0;title\\u0007\u202e")))
    shown = subprocess.run([LOCKSTEP, "ls", tmp_path / "x.safetensors"], capture_output=True).stdout.decode()
    assert "\x1b" not in shown and "\u202e" not in shown and "\\x1b]0;title\\x07\\u{202e}" in shown
