"""Malformed files of torch.save: rows of test_malformed.py."""
import io
import struct
import zipfile

ROWS = []


def torch_file(pickle, records=(("0", bytes(16)),), more=(), top="x", compress=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compress) as file:
        for name, data in [("data.pkl", pickle), *((f"data/{key}", data) for key, data in records), *more]:
            file.writestr(zipfile.ZipInfo(f"{top}/{name}"), data, compress)
    return stream.getvalue()


def row(name, data, offset, message, file="x.pt"):
    ROWS.append((f"torch: {name}", file, data, offset, message))


def case(name, opcodes, offset, message, **more):
    """offset: in data.pkl, counted from after PROTO"""
    row(name, torch_file(b"\x80\x02" + opcodes, **more), None if offset is None else offset + 2, message)


# --- pickles, put together by hand

def glob(name):
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def text(value, length=None):
    value = value.encode()
    return b"X" + struct.pack("<I", len(value) if length is None else length) + value


def integer(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def numbers(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


ORDERED = glob("collections.OrderedDict") + b")R"


def storage(key="0", count=4, kind="torch.FloatStorage", tag="storage"):
    return b"(" + text(tag) + glob(kind) + text(key) + text("cpu") + integer(count) + b"tQ"


def tensor(size=(4,), stride=(1,), offset=0, of=None, more=b"", version=2):
    return (glob(f"torch._utils._rebuild_tensor_v{version}") + b"(" + (storage() if of is None else of) + integer(offset)
            + numbers(size) + numbers(stride) + b"\x89" + ORDERED + more + b"tR")


def named(value, name="a"):
    return b"}" + text(name) + value + b"s."


def tensor_case(name, message, at=b"R", **how):
    """at: the last of this opcode is where the error is"""
    opcodes = named(tensor(**how))
    case(name, opcodes, opcodes.rindex(at), message)


def storage_case(name, message, **how):
    tensor_case(f"storage {name}", message, at=b"tQ", of=storage(**how))


# --- the machine

row("empty pickle", torch_file(b""), 0, "pickle: opcode: found 0 bytes left, expected 1")
row("protocol 0", torch_file(b"cos\nsystem\n(S'id'\ntR."), 0, "pickle: found the byte 0x63, expected protocol 2 (80 02)")
row("protocol 4", torch_file(b"\x80\x04N."), 0, "pickle: found protocol 4, expected 2")
case("protocol twice", b"\x80\x02N.", 0, "found protocol 2, expected 2, once, at the start")
case("os.system", glob("os.system") + b"(" + text("id") + b"tR.", 0, "found the global 'os.system', which is not among those")
case("builtins.eval", glob("builtins.eval") + b".", 0, "found the global 'builtins.eval'")
case("a global's prefix", glob("torch.FloatStorag") + b".", 0, "found the global 'torch.FloatStorag'")
case("torch.load", glob("torch.load") + b".", 0, "found the global 'torch.load'")
case("name of a global without end", b"c" + b"a" * 5000, 0, "found a global's name longer than 200 bytes")
case("long attribute of a global", b"c" + b"a" * 198 + b"\n" + b"b" * 300 + b"\n", 0, "found a global's name longer than 200 bytes")
case("name of a global cut", b"cos\nsys", 7, "GLOBAL: found 0 bytes left")
case("STACK_GLOBAL", text("os") + text("system") + b"\x93.", 18, "found the opcode 0x93 STACK_GLOBAL")
case("INST", b"(ios\nsystem\n.", 1, "found the opcode 0x69 INST")
case("OBJ", b"(" + glob("torch.Size") + b"o.", 13, "found the opcode 0x6f OBJ")
case("EXT1", b"\x82\x01.", 0, "found the opcode 0x82 EXT1")
case("unknown opcode", b"\xff.", 0, "found the opcode 0xff, which")
case("call of a class of storages", glob("torch.FloatStorage") + b")R.", 21, "found 'torch.FloatStorage' with 0 arguments")
case("NEWOBJ of a class of storages", glob("torch.FloatStorage") + b")\x81.", 21, "NEWOBJ found 'torch.FloatStorage'")
case("call of a text", text("x") + b")R.", 7, "REDUCE found a string, expected a global to call")
case("arguments that are a list", glob("torch.Size") + b"]R.", 13, "REDUCE found a list, expected a tuple")
case("OrderedDict of something", glob("collections.OrderedDict") + b"]\x85R.", 27, "found 'collections.OrderedDict' with 1 arguments")
BUILT = tensor() + b"}b."
case("BUILD on a tensor", BUILT, len(BUILT) - 2, "BUILD found an object, expected an OrderedDict")
case("BUILD on a dict", b"}}b.", 2, "BUILD found a dict, expected an OrderedDict")
case("BUILD with a list", ORDERED + b"]b.", len(ORDERED) + 1, "BUILD found a list, expected a dict of attributes")
case("SETITEM on a list", b"]" + text("a") + b"Ns.", 8, "SETITEM found a list, expected a dict")
case("SETITEMS on a tensor", tensor() + b"(" + text("a") + b"Nu.", len(tensor()) + 8, "SETITEMS found an object, expected a dict")
case("SETITEMS with half a pair", b"}(" + text("a") + b"u.", 8, "SETITEMS found 1 values, expected pairs")
case("APPEND to a dict", b"}Na.", 2, "APPEND found a dict, expected a list")
case("APPENDS to a tuple", b")(Ne.", 3, "APPENDS found a tuple, expected a list")
case("APPENDS below a MARK", b"](" + b"(Ne.", 4, "APPENDS found 1 values on the stack, expected at least 2")
case("TUPLE without MARK", b"Nt.", 1, "TUPLE found no MARK")
case("TUPLE3 of 2", b"NN\x87.", 2, "TUPLE3 found 2 values on the stack, expected at least 3")
case("TUPLE1 over a MARK", b"N(\x85.", 2, "TUPLE1 found 0 values on the stack, expected at least 1")
case("MARK without end", b"N(.", 2, "STOP found 1 values on the stack and 1 open MARKs")
case("STOP on an empty stack", b".", 0, "STOP found 0 values on the stack")
case("STOP on two values", b"NN.", 2, "STOP found 2 values on the stack")
case("no STOP", b"N", 1, "pickle: opcode: found 0 bytes left")
case("bytes behind STOP", b"N.x", 1, "STOP found 1 bytes after it")
case("missing memo", b"h\x05.", 0, "BINGET found memo 5, expected one of the 0")
case("memo 2^32-1", b"Nr\xff\xff\xff\xff.", 1, "LONG_BINPUT found memo 4294967295, expected at most 0")
case("memo of 2^32-1 wanted", b"j\xff\xff\xff\xff.", 0, "LONG_BINGET found memo 4294967295")
case("memo of an empty stack", b"q\x00.", 0, "BINPUT found 0 values")
case("text beyond the file", text("a", 2**32 - 1) + b".", 5, "BINUNICODE: found 2 bytes left, expected 4294967295")
case("1001 MARKs", b"(" * 1001, 1000, "found more than 1000 open MARKs")
case("1.2 million values in a file of 1 KB", b"N" * 1_200_000, None, "pickle: found more than 66", compress=zipfile.ZIP_DEFLATED)
case("100 MB of pickle in 100 KB", b"N" * 100_000_000, None, "found 100000002 bytes, expected at most 67108864", compress=zipfile.ZIP_DEFLATED)

# --- the walk

case("a dict in itself", b"}q\x00" + text("me") + b"h\x00s.", 0, "'me': found a dict that contains itself")
case("a list in itself", b"]q\x00h\x00\x85a.", 0, "'0.0': found a list that contains itself")
case("100 lists deep", b"]" * 100 + b"a" * 99 + b".", 64, "found containers nested deeper than 64")
case("100 sizes deep", (glob("torch.Size")) * 100 + b")" + b"\x85\x85R" * 100 + b".", None, "found containers nested deeper than 64")
DOUBLED = b"]q\x00Na" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(40)) + b"."
case("2^40 values by sharing", b"(" + DOUBLED[:-1] + b"t.", None, "values, expected fewer in a pickle of this size")
case("a NUL in a key", named(b"N", "a\0b"), 1, "found a string as a dict's key, expected a string without NUL")
case("a list as a key", b"}]Ns.", 1, "found a list as a dict's key")
case("a key of 1001 bytes", named(b"N", "a" * 1001), None, "found a name longer than 1000 bytes")
LONG = b"}" + text("k" * 900) + b"](" + (b"\x88N" * 20_000) + b"es."
case("names of 18 MB", LONG, None, "bytes of names")
case("the same key twice", b"}(" + (text("a") + tensor()) * 2 + b"u.", None, "found a second tensor named 'a'")
case("the same metadata twice", b"}(" + (text("a") + b"\x88") * 2 + b"u.", 15, "found a second metadata key 'a'")

# --- tensors

tensor_case("more sizes than strides", "expected a tuple of sizes and one of as many strides", size=(2, 2), stride=(1,))
tensor_case("negative size", "found a size that is not an integer of at least 0", size=(-1,))
tensor_case("negative stride", "found a stride that is not an integer of at least 0", size=(2,), stride=(-1,))
tensor_case("negative offset", "found a storage offset that is not an integer", offset=-1)
tensor_case("offset beyond the end", "its last element is number 4 of its storage, which has 4", offset=1)
tensor_case("stride beyond the end", "its last element is number 6 of its storage, which has 4", stride=(2,))
tensor_case("stride that wraps", "its last element is number 18446744073709551615", size=(5,), stride=(2**62,))
tensor_case("offset that wraps", "its last element is number 9223372036854775807", size=(1,), offset=2**63 - 1)
tensor_case("sizes that wrap", "the size of shape [4294967296, 4294967296] of float32 overflows 64 bits", size=(2**32, 2**32), stride=(0, 0))
tensor_case("0 hides 2^80", "overflows 64 bits", size=(0, 2**40, 2**40), stride=(0, 0, 0))
tensor_case("2^40 elements of one", "found 1099511627776 elements of a storage of 4, expected at most 2147483647", size=(2**40,), stride=(0,))
tensor_case("9 axes", "found 9 axes, expected at most 8", size=(1,) * 9, stride=(1,) * 9)
tensor_case("7 arguments of v3 but no dtype", "found 6 arguments of torch._utils._rebuild_tensor_v3, expected 7 or 8", version=3)
tensor_case("a text for the dtype", "found a string, expected a dtype", version=3, more=text("x"))
tensor_case("untyped without dtype", "found an untyped storage and no dtype", of=storage(kind="torch.storage.UntypedStorage", count=16))
tensor_case("a list for a storage", "tensor 'a': found a list, expected a storage", of=b"]")
storage_case("of more than its record", "found 5 elements of 4 bytes, its record 'x/data/0' has 16", count=5)
storage_case("whose size wraps", "found 4611686018427387904 elements of 4 bytes, its record", count=2**62)
storage_case("of -1 elements", "expected the id ('storage'", count=-1)
storage_case("in ../x", "found no record 'x/data/../x'", key="../x")
storage_case("in no record", "found no record 'x/data/7'", key="7")
storage_case("key of 1000 bytes", "found no record 'x/data/kkk", key="k" * 1000)
storage_case("key with NUL", "found no record 'x/data/0", key="0\0")
storage_case("with another tag", "expected the id ('storage'", tag="module")
storage_case("of a function", "expected the id ('storage'", kind="torch.Size")
tensor_case("other metadata", "found metadata other than 'neg' and 'conj'", at=b"X", more=b"}" + text("x") + b"\x88s")
tensor_case("list of metadata", "found a list, expected a dict of metadata", more=b"]")
PARAMETER = named(glob("torch._utils._rebuild_parameter") + b"(N\x88" + ORDERED + b"tR")
case("a parameter of nothing", PARAMETER, PARAMETER.rindex(b"R"), "expected a parameter's tensor")

# --- the zip

GOOD = b"\x80\x02" + named(tensor())


def central(data, member):
    """Offset of a member's record: 46 bytes before its last mention."""
    return data.rindex(member) - 46


row("no data.pkl", torch_file(GOOD, top="y").replace(b"y/data.pkl", b"y/data.pkx"), None, "found a zip without 'y/data.pkl'")
SCRIPT = torch_file(GOOD, more=[("constants.pkl", b"\x80\x02).")])
row("TorchScript", SCRIPT, central(SCRIPT, b"x/constants.pkl"), "found 'x/constants.pkl', so this is TorchScript")
FOLDERS = torch_file(GOOD, more=[("12345678", GOOD)]).replace(b"x/12345678", b"y/data.pkl")
row("two folders", FOLDERS, central(FOLDERS, b"y/data.pkl"), "found the member 'y/data.pkl', expected all members in one folder")
TWICE = torch_file(GOOD, more=[("12345678", GOOD)]).replace(b"12345678", b"data.pkl")
row("two data.pkl", TWICE, central(TWICE, b"x/data.pkl"), "found a second member named 'x/data.pkl'")
ORDER = torch_file(GOOD, more=[("byteorder", b"middle")])
row("byte order", ORDER, ORDER.index(b"middle"), "zip member 'x/byteorder': expected 'little' or 'big'")
WRONG = torch_file(GOOD).replace(GOOD, GOOD[:-2] + b"u.")
row("wrong CRC of the pickle", WRONG, central(WRONG, b"x/data.pkl") + 16, "found data with CRC-32")
LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e80024de9032e")
row("legacy", LEGACY, 0, "found the format of torch.save before 1.6, expected a zip")
row("legacy named .bin", LEGACY, 0, "found the format of torch.save before 1.6", "x.bin")
row("tar", b"sys_info".ljust(257, b"\0") + b"ustar  \0" + bytes(300), 0, "found the tar format of early PyTorch versions")
row("oldest", b"PYTORCH1" + bytes(100), 0, "found the format of early PyTorch versions")
row("a plain pickle", b"\x80\x04N.", 0, "found 80 04 4e 2e, expected the zip that torch.save writes")
row("empty", b"", 0, "expected the zip that torch.save writes")
row("cut", torch_file(GOOD)[:-30], len(torch_file(GOOD)) - 30, "zip: found no end record")
row("another zip named .bin", torch_file(GOOD).replace(b"data.pkl", b"data.xyz"), None, "found a zip without 'x/data.pkl'", "x.bin")
