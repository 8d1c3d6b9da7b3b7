"""The restricted unpickler against pickle itself on valid files, and on pickles that would do more."""

import builtins
import copyreg
import os
import pickle
import struct

import numpy as np
import pytest

from data.prepare import pickles

PROTOCOLS = (2, 3, 4, 5)
GOOD = {
    "half": np.arange(12, dtype=np.float16).reshape(1, 2, 2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "turned": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(1, 0, 2),
    "swapped": np.arange(4, dtype=">i4"),
    "empty": np.zeros((0, 25, 3)),
    "text": np.array(["ab", "c"]),
    "truth": np.array([True, False]),
    "scalar": np.float64(1.5),
    "label": np.int64(3),
    "nested": [1, (2.5, None, [True]), {"a": {}}, -(2**70), "å" * 300],
    "bytes": (b"", b"x\xff"),
}


def same(a, b):
    if isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(b, dict):
        return type(a) is dict and a.keys() == b.keys() and all(same(a[k], b[k]) for k in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "file.pkl"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_containers_are_what_pickle_gives(written, protocol):
    content = pickle.dumps(GOOD, protocol)
    assert same(pickles.load(written(content)), pickle.loads(content))


@pytest.mark.parametrize("protocol", (2, 4))
@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_both_spellings_of_numpy(written, protocol, core):
    """Arrays written under numpy 1 and 2 differ in the name of one module."""
    content = pickle.dumps({"a": GOOD["half"], "s": GOOD["scalar"]}, protocol)
    old = next(name for name in (b"numpy._core.multiarray", b"numpy.core.multiarray") if name in content)
    new = f"{core}.multiarray".encode()
    content = content.replace(struct.pack("B", len(old)) + old, struct.pack("B", len(new)) + new).replace(b"c" + old, b"c" + new)
    if protocol == 4:  # the frame's length
        content = content[:3] + struct.pack("<Q", len(content) - 11) + content[11:]
    loaded = pickles.load(written(content))
    assert same(loaded, {"a": GOOD["half"], "s": GOOD["scalar"]})


class Reduced:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args, state=None):
        self.made_of = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.made_of


def numpy_array(*shape, data, dtype="f4"):
    """An array as protocol 2 writes it, with any shape and data."""
    return Reduced(np.ndarray((0,)).__reduce__()[0], np.ndarray, (0,), b"b", state=(1, shape, np.dtype(dtype), False, data))


class Plain:
    pass


@pytest.mark.parametrize(
    "value, named",
    [
        (Reduced(os.system, "touch HACKED"), "posix.system"),
        (Reduced(builtins.eval, "open('HACKED', 'w')"), "eval"),
        (Reduced(builtins.getattr, "a", "upper"), "getattr"),
        (Reduced(np.load, "HACKED.npy"), "numpy.load"),
        (Reduced(copyreg._reconstructor, object, object, None), "copy_?reg._reconstructor"),
        (Reduced(bytearray, 10**13), "bytearray"),
        (Reduced(bytes, 10**13), "not a pickle"),  # the name is known, but makes nothing but b""
        (Plain(), "_reconstructor|Plain|opcodes"),
        ({1, 2}, "set|opcodes"),
        (1 + 2j, "complex"),
        (np.array([{}, None], dtype=object), "unknown|type O8|objects"),
        (np.zeros(2, dtype=[("x", "f4")]), "type V4"),
        (numpy_array(10**6, 10**6, data=b"1234"), "shape does not fit its 4 bytes"),
        (numpy_array(2**62, 4, data=b""), "shape does not fit its 0 bytes"),
        (numpy_array(-1, -1, data=b"1234"), "without a valid shape"),
        (numpy_array(1, data=[{}]), "array of objects"),
        (Reduced(np.dtype, "f4", state=("x", "y")), "without byte order"),
        (Reduced(np.dtype, ("f4", 10**9)), "type unknown"),
        ({7: "x"}, "dict with str keys"),
        ({(("deep",),): "x"}, "dict with str keys"),
    ],
)
@pytest.mark.parametrize("protocol", (2, 4))
def test_anything_else_is_refused_by_name(written, tmp_path, monkeypatch, protocol, value, named):
    monkeypatch.chdir(tmp_path)
    path = written(pickle.dumps([value], protocol))
    with pytest.raises(ValueError, match=named) as error:
        pickles.load(path)
    assert str(error.value).startswith(f"{path}: ") and len(str(error.value).splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["file.pkl"]


ENCODE = b"c_codecs\nencode\n"
LATIN, AGAIN = b"X\x06\x00\x00\x00latin1q\x02\x86q\x03R", b"h\x00h\x03R"  # encodes 4,096 letters, once more with 5 bytes


@pytest.mark.parametrize(
    "content, named",
    [
        (b"cos\nsystem\n.", "os.system"),
        (b"cnumpy\nndarray.tofile\n.", "ndarray.tofile"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00rot" + b"tR.", "encodes"),
        (b"cnumpy\x1b[31m\nload\n.", "numpy.*load"),
        (b"(S'ls'\nios\nsystem\n.", "opcodes"),  # INST, and texts of protocol 0
        (b"cnumpy\ndtype\n)\x81.", "opcodes"),  # NEWOBJ
        (b"cnumpy\ndtype\n}b.", "sets attributes"),  # BUILD on a function
        (b"cnumpy\ndtype\n(K\x01K\x01u.", "not a dict"),
        (b"K\x01K\x02a.", "not a pickle, or a damaged one"),
        (b"K\x01)R.", "calls something"),
        (b"\x82\x01.", "opcodes"),  # EXT1
        (b"P1\n.", "opcodes"),  # PERSID
        (b"\x97.", "opcodes"),  # NEXT_BUFFER
        (b"\x8e" + struct.pack("<Q", 10**13) + b".", "truncated"),  # BINBYTES8
        (b"\x96" + struct.pack("<Q", 10**13) + b".", "truncated"),  # BYTEARRAY8
        (b"\x8d" + struct.pack("<Q", 10**13) + b".", "truncated"),  # BINUNICODE8
        (b"\x8b\xff\xff\xff\x7f.", "truncated"),  # LONG4
        (b"\x80\x04\x95" + struct.pack("<Q", 10**13) + b".", "truncated"),  # FRAME
        (b".", "not a pickle"),
        (b"", "truncated"),
        (b"".join([ENCODE, b"q\x00X\x00\x10\x00\x00", b"a" * 4096, b"q\x01", LATIN, AGAIN * 5000, b"."]), "again and again"),
    ],
)
def test_hand_written_pickles(written, content, named):
    with pytest.raises(ValueError, match=named) as error:
        pickles.load(written(content))
    assert str(error.value).isprintable()


def test_a_memo_index_costs_nothing(written):
    """In CPython's C unpickler these 7 bytes take tens of gigabytes."""
    assert pickles.load(written(b"]r\xff\xff\xff\x7f.")) == []


def test_deep_nesting(written):
    depth = 2 * 10**5
    for content in (b"(" * depth, b"]" * depth + b"a" * (depth - 1) + b".", b")" + b"\x85" * depth + b"."):
        try:
            pickles.load(written(content))
        except ValueError as error:
            assert "truncated" in str(error)


def test_cut_anywhere_or_damaged_is_one_line(written):
    rng = np.random.default_rng(0)
    for protocol in PROTOCOLS:
        content = pickle.dumps(GOOD, protocol)
        for end in range(0, len(content), 31):
            with pytest.raises(ValueError, match="file.pkl: "):
                pickles.load(written(content[:end]))
        for _ in range(100):
            damaged = bytearray(content)
            for at in rng.integers(0, len(content), 3):
                damaged[at] = rng.integers(256)
            try:
                pickles.load(written(bytes(damaged)))
            except ValueError as error:
                assert str(error).startswith(str(written(b""))) and len(str(error).splitlines()) == 1
