import re
import zipfile

import numpy as np
import pytest

from data.prepare.skeleton_file import read_skeleton

BIG = 2**56


@pytest.fixture
def write(tmp_path):
    def write(content, name="S001C001P001R001A001.skeleton"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def example(skeleton_text, walk):
    """Three frames, the second without a body; two ids that are one number as floats."""
    a, b = walk(2), walk(1)
    return skeleton_text([[(BIG + 1, a[0])], [], [(BIG + 1, a[1]), (BIG + 2, b[0])]]), a, b


def equal(one, other):
    assert one[0] == other[0] and len(one[1]) == len(other[1])
    for a, b in zip(one[1], other[1], strict=True):
        assert (a.id, a.start) == (b.id, b.start)
        np.testing.assert_array_equal(a.joints, b.joints)


def test_a_returning_body_is_closed_up_in_time(write, skeleton_text, walk):
    a, b = walk(3), walk(4)
    frames = [[(1, a[0]), (2, b[0])], [(2, b[1])], [(2, b[2]), (1, a[1])], [(1, a[2]), (2, b[3])]]
    num_frames, (one, two) = read_skeleton(write(skeleton_text(frames)))
    assert num_frames == 4 and (one.start, one.end) == (0, 2) and (two.start, two.end) == (0, 3)
    np.testing.assert_allclose(one.joints, a, rtol=1e-6)


def test_line_ends_spaces_and_missing_last_newline_do_not_matter(write, example):
    text = example[0]
    plain = read_skeleton(write(text))
    for variant in (text.replace("\n", "\r\n"), text.rstrip("\n"), text + "\n\r\n", text.replace(" ", "  \t")):
        equal(read_skeleton(write(variant)), plain)


def test_other_columns_may_hold_anything(write, example):
    text = example[0]
    equal(read_skeleton(write(text.replace("213.2", "nan").replace("853.4", "-1.#IND"))), read_skeleton(write(text)))


def test_no_body_anywhere(write):
    assert read_skeleton(write("3\n0\n0\n0\n")) == (0, [])


@pytest.mark.parametrize(
    "change, line, reason",
    [
        (lambda t: "4" + t[1:], 85, "truncated or its frame count is wrong"),
        (lambda t: "2" + t[1:], 31, "frame count is wrong"),
        (lambda t: "\n".join(t.split("\n")[:20]), 20, "the file ends where a joint should follow"),
        (lambda t: "x" + t, 1, "'x3' instead of a frame count"),
        (lambda t: t.replace("\n1\n", "\n2\n", 1), 30, "1 fields instead of the 10 of a body"),
        (lambda t: t.replace("\n25\n", "\n24\n", 1), 4, "24 joints instead of 25"),
        (lambda t: t.replace(str(BIG + 1), f"{float(BIG + 1):e}", 1), 3, "is not a whole number"),
        (lambda t: swap(t, 6, 1, "nan"), 6, "coordinate 'nan' is not a finite number"),
        (lambda t: swap(t, 40, 0, "0,25"), 40, "'0,25' is not a finite"),
        (lambda t: swap(t, 85, 2, "-1e30"), 85, "'-1e30' is not a finite number below 1,000,000 m"),
        (lambda t: swap(t, 40, 5, ""), 40, "11 fields instead of the 12 of a joint"),
        (lambda t: t.replace("\n25\n", "\n\n25\n", 1), 4, "'' instead of a joint count"),
    ],
)
def test_a_wrong_line_is_named(write, example, change, line, reason):
    path = write(change(example[0]))
    with pytest.raises(ValueError, match=re.escape(reason)) as info:
        read_skeleton(path)
    assert str(info.value).startswith(f"{path}: line {line}: ")


def swap(text, line, field, value):
    lines = text.split("\n")
    fields = lines[line - 1].split()
    fields[field] = value
    lines[line - 1] = " ".join(fields)
    return "\n".join(lines)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (b"PK\x03\x04\0\0\0\0", "binary"),
        (b"<html>" + b"not here " * 50, "line 1: '<html>.{30,40}' instead of a frame count"),
        (b"9" * 5000, "line 1: '9{37}...' instead of a frame count"),
        (b"99999999999999999999", "line 1: the file ends where a body count should follow"),
    ],
)
def test_not_a_skeleton_file(write, content, reason):
    with pytest.raises(ValueError, match=reason):
        read_skeleton(write(content))


def test_equals_a_plain_reading_of_the_fixture(shared, tmp_path):
    """Word by word, every coordinate through Python's float: another way to the same numbers."""
    with zipfile.ZipFile(shared("parity/ntu60/raw.zip")) as archive:
        names = [name for name in archive.namelist() if name.endswith(".skeleton")]
        for name in names[:8]:
            words = iter(archive.read(name).split())
            found, frame = {}, 0
            for _ in range(int(next(words))):
                bodies = int(next(words))
                for _ in range(bodies):
                    body_id = [next(words) for _ in range(10)][0].decode()
                    joints = [[next(words) for _ in range(12)][:3] for _ in range(int(next(words)))]
                    found.setdefault(body_id, (frame, []))[1].append([[float(word) for word in j] for j in joints])
                frame += bodies > 0
            num_frames, bodies = read_skeleton(archive.extract(name, tmp_path))
            assert num_frames == frame and [body.id for body in bodies] == list(found)
            for body in bodies:
                assert body.start == found[body.id][0]
                np.testing.assert_array_equal(body.joints, np.array(found[body.id][1], dtype=np.float32))
