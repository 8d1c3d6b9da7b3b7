"""Your own recordings: small folders with a table, an npz, labels in file names, and invalid input."""

import json
from pathlib import Path

import numpy as np
import pytest

from data.own import own_gendata as own
from data.prepare import custom_skeleton
from feeder.feeder_ntu import Feeder
from tests.data.helpers import joints, load, skipped

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "own" / "own_gendata.py"
TABLE = """name,label,split,group
walk_1,walk,train,anna
walk_2,walk,test,ben
jump_1,jump,train,anna
jump_2,jump,test,ben
"""
NAMES = ("walk_1", "walk_2", "jump_1", "jump_2")


@pytest.fixture
def raw(tmp_path):
    """A folder with four recordings of 4 joints, each of another kind and with 3 to 6 frames, and their table."""
    folder = tmp_path / "raw"
    folder.mkdir()
    np.save(folder / "walk_1.npy", joints(0, 3, 4, 3))
    np.savez(folder / "walk_2.npz", joints(1, 2, 4, 4, 3))  # two bodies
    np.savetxt(folder / "jump_1.csv", joints(2, 5, 12), delimiter=", ", fmt="%.18e")
    np.savetxt(folder / "jump_2.txt", joints(3, 6, 12), header="x1 y1 z1 x2", comments="", fmt="%.18e")
    (folder / "labels.csv").write_text(TABLE)
    return folder


def test_folder_with_a_table(raw, tmp_path):
    arrays = load(own.generate([raw], tmp_path))
    assert arrays["x_train"].shape == arrays["x_test"].shape == (2, 6, 2 * 4 * 3)
    assert arrays["name_train"].tolist() == ["walk_1", "jump_1"] and arrays["name_test"].tolist() == ["walk_2", "jump_2"]
    assert arrays["group_train"].tolist() == ["anna"] * 2 and arrays["group_test"].tolist() == ["ben"] * 2
    assert arrays["class_names"].tolist() == ["jump", "walk"]
    assert arrays["y_train"].tolist() == arrays["y_test"].tolist() == [[0, 1], [1, 0]]
    assert (arrays["num_joints"], arrays["num_bodies"], arrays["layout"]) == (4, 2, "") and "parents" not in arrays
    assert arrays["valid_frames_train"].tolist() == [3, 5] and arrays["valid_frames_test"].tolist() == [4, 6]
    given = {
        ("train", 0): joints(0, 3, 4, 3)[:, None],
        ("test", 0): joints(1, 2, 4, 4, 3).swapaxes(0, 1),
        ("train", 1): joints(2, 5, 12).reshape(5, 1, 4, 3),
        ("test", 1): joints(3, 6, 12).reshape(6, 1, 4, 3),
    }
    for (key, i), sequence in given.items():
        expected = np.zeros((6, 2, 4, 3), np.float32)
        expected[: len(sequence), : sequence.shape[1]] = sequence
        assert (arrays[f"x_{key}"][i] == expected.reshape(6, 24)).all()
    assert skipped(tmp_path) == []


def test_recordings_are_not_overwritten(tmp_path):
    """An npz of recordings called own.npz, in the folder for the result."""
    np.savez(tmp_path / "own.npz", walk=joints(0, 3, 4, 3))
    before = (tmp_path / "own.npz").read_bytes()
    with pytest.raises(ValueError, match="--out and --name: .*own.npz: is an input of this command, which it would overwrite"):
        own.generate([tmp_path / "own.npz"], tmp_path)
    assert (tmp_path / "own.npz").read_bytes() == before


def test_npz_with_a_table(raw, tmp_path):
    """An npz with an array per recording gives the same as the folder."""
    path = tmp_path / "all.npz"
    np.savez(path, walk_1=joints(0, 3, 4, 3), walk_2=joints(1, 2, 4, 4, 3), jump_1=joints(2, 5, 4, 3), jump_2=joints(3, 6, 4, 3))
    folder = load(own.generate([raw], tmp_path / "a"))
    one = load(own.generate([path], tmp_path / "b", table=raw / "labels.csv"))
    assert folder.keys() == one.keys() and all(np.array_equal(folder[key], one[key]) for key in one)


def test_units_center_and_skeleton(raw, tmp_path):
    skeleton = tmp_path / "skeleton.yaml"
    skeleton.write_text("joint_names: [hip, chest, head, hand]\nparents: [-1, hip, chest, 1]\n")
    path = own.generate([raw], tmp_path, unit=0.01, center="chest", joints_file=skeleton)
    arrays = load(path)
    assert arrays["parents"].tolist() == [0, 0, 1, 1] and arrays["joint_names"].tolist() == ["hip", "chest", "head", "hand"]
    for key, i, body, shape in (("train", 0, 0, (3, 4, 3)), ("test", 0, 1, (2, 4, 4, 3))):
        given = joints(body, *shape).reshape(-1, shape[-3], 4, 3)
        for t in range(shape[-3]):
            for m in range(len(given)):
                expected = 0.01 * given[m, t] - 0.01 * given[0, 0, 1]
                assert np.allclose(arrays[f"x_{key}"][i, t, 12 * m : 12 * m + 12], expected.ravel(), atol=1e-8)
    bone = Feeder(path, "test", [1.0], window_size=6, bone=True)[1][0]
    plain = Feeder(path, "test", [1.0], window_size=6)[1][0]
    assert (bone[:, :, 3] == plain[:, :, 3] - plain[:, :, 1]).all() and not bone[:, :, 0].any()


def test_two_dimensions_absent_bodies_and_empty_frames(raw, tmp_path):
    for seed, name in enumerate(NAMES):
        for file in raw.glob(f"{name}.*"):
            file.unlink()
        array = joints(seed, 2, 5, 4, 2)
        array[0] = 0  # a body that is never there
        array[:, 3] = 0  # a frame without anybody
        np.save(raw / f"{name}.npy", array)
    arrays = load(own.generate([raw], tmp_path, center="0"))
    assert arrays["num_bodies"] == 1 and arrays["x_train"].shape == (2, 4, 12)
    given = joints(0, 2, 5, 4, 2)[1, [0, 1, 2, 4]]
    x = arrays["x_train"][0].reshape(4, 4, 3)
    assert np.allclose(x[..., :2], given - given[0, 0], atol=1e-6) and not x[..., 2].any()


def test_numbers_as_labels_are_numbered_without_gaps(raw, tmp_path, capsys):
    (raw / "labels.csv").write_text("name,label,split\nwalk_1,10,train\nwalk_2,9,test\njump_1,9,train\njump_2,2,train\n")
    arrays = load(own.generate([raw], tmp_path))
    assert arrays["class_names"].tolist() == ["2", "9", "10"]
    assert arrays["y_train"].argmax(1).tolist() == [2, 1, 0] and arrays["y_test"].argmax(1).tolist() == [1]
    assert arrays["group_train"].tolist() == ["walk_1", "jump_1", "jump_2"]  # no group: everybody alone
    out = capsys.readouterr().out
    assert "0 = '2', 1 = '9', 2 = '10'" in out and "test has no recording of 2 classes: 2, 10" in out


def test_test_groups_instead_of_a_split(raw, tmp_path):
    (raw / "labels.csv").write_text(TABLE.replace("split", "day"))
    arrays = load(own.generate([raw], tmp_path, test_groups=["anna"]))
    assert arrays["name_test"].tolist() == ["walk_1", "jump_1"] and arrays["name_train"].tolist() == ["walk_2", "jump_2"]
    arrays = load(own.generate([raw], tmp_path, test_groups=["test"], group_key="day", label_keys=["label", "group"]))
    assert arrays["class_names"].tolist() == ["jump anna", "jump ben", "walk anna", "walk ben"]
    with pytest.raises(ValueError, match="--test_groups eve: no recording is of this group; there are anna, ben"):
        own.generate([raw], tmp_path, test_groups=["eve", "anna"])


@pytest.fixture
def many(tmp_path):
    """30 recordings in the folder many, a third of them jumps, of 5 people: 'walk_anna_3.npy'."""
    (tmp_path / "many").mkdir()
    for i in range(30):
        np.save(tmp_path / f"many/{['walk', 'walk', 'jump'][i % 3]}_{'abcde'[i % 5] * 3}_{i}.npy", joints(i, 4, 4, 3))
    return tmp_path / "many"


def test_a_test_set_is_drawn_at_random_of_every_class_alike(many, tmp_path, capsys):
    options = {"label_pattern": "(?P<label>[a-z]+)_", "test_ratio": 0.2}
    first = load(own.generate([many], tmp_path, **options))
    assert "6 of 30 recordings drawn for testing (seed 0): one by one" in (out := capsys.readouterr().out)
    assert "note: a person may be in both sets" in out
    assert sorted([*first["name_train"], *first["name_test"]]) == sorted(file.stem for file in many.iterdir())
    assert [sum(name.startswith(what) for name in first["name_test"]) for what in ("walk", "jump")] == [4, 2]
    again, other = (load(own.generate([many], tmp_path, split_seed=seed, **options)) for seed in (0, 1))
    assert again["name_test"].tolist() == first["name_test"].tolist() != other["name_test"].tolist()
    for ratio in (0.1, 0.3, 0.4, 0.45, 0.5):
        arrays = load(own.generate([many], tmp_path, **options | {"test_ratio": ratio}))
        assert abs(len(arrays["name_test"]) - 30 * ratio) <= 1
    with pytest.raises(ValueError, match="--test_ratio 0.5: needs two groups, and two recordings of a class"):
        own.generate([many / "jump_ccc_2.npy"], tmp_path, label_pattern="(?P<label>jump)", test_ratio=0.5)


def test_recordings_that_are_all_for_training_need_no_test_set(raw, tmp_path, capsys):
    (raw / "labels.csv").write_text("name,label,split\nwalk_1,walk,train\njump_1,jump,train\n")
    arrays = load(own.generate([raw], tmp_path))
    assert arrays["y_train"].argmax(1).tolist() == [1, 0] and not {"x_test", "y_test"} & arrays.keys()
    assert "note: no recording is for testing" in capsys.readouterr().out
    (raw / "labels.csv").write_text("name,label,split\nwalk_1,walk,train\nwalk_2,walk,test\n")
    (raw / "walk_2.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="no usable recording is for test"):
        own.generate([raw], tmp_path)


def test_the_smaller_side_is_for_testing(tmp_path):
    (tmp_path / "many").mkdir()
    for i in range(20):
        np.save(tmp_path / f"many/walk_{'a' if i < 17 else 'b'}_{i}.npy", joints(i, 4, 4, 3))
    for seed in range(6):
        pattern = "(?P<label>walk)_(?P<group>.)"
        arrays = load(own.generate([tmp_path / "many"], tmp_path, label_pattern=pattern, test_ratio=0.2, split_seed=seed))
        assert set(arrays["group_test"]) == {"b"}


def test_people_and_pieces_of_a_recording_are_drawn_whole(many, tmp_path, capsys):
    pattern = "(?P<label>[a-z]+)_(?P<subject>[a-e])"
    arrays = load(own.generate([many], tmp_path, label_pattern=pattern, test_ratio=0.4))
    people = [set(arrays[f"group_{split}"]) for split in ("train", "test")]
    assert [len(them) for them in people] == [3, 2] and not people[0] & people[1] and len(arrays["name_test"]) == 12
    assert f"(seed 0): subject {', '.join(sorted(people[1]))}\n" in (out := capsys.readouterr().out) and "note" not in out
    arrays = load(own.generate([many], tmp_path, label_pattern="(?P<label>[a-z]+)", test_ratio=0.2, window=2))
    assert len(arrays["name_test"]) == 12 and len(set(arrays["group_test"])) == 6
    assert "note: a person may be in both sets" in capsys.readouterr().out
    half = "(?P<label>[a-z]+)_(?P<group>aaa)?"  # some have no group, so that each of them is one
    arrays = load(own.generate([many], tmp_path, label_pattern=half, test_ratio=0.2, window=2))
    whole = [{name.removesuffix("_0_2").removesuffix("_2_4") for name in arrays[f"name_{split}"]} for split in ("train", "test")]
    assert not whole[0] & whole[1] and sum(map(len, whole)) == 30
    arrays = load(own.generate([many], tmp_path, test_ratio=0.2))  # also without labels
    assert (len(arrays["x_train"]), len(arrays["x_test"])) == (24, 6) and "y_test" not in arrays
    with pytest.raises(ValueError, match="has a field 'split' already; leave out --test_ratio"):
        own.generate([many], tmp_path, label_pattern="(?P<label>[a-z]+)_(?P<split>[a-e])", test_ratio=0.2)


BAD_FILES = {
    "other.npy": (joints(9, 5, 3, 3), "3 joints x 3 coordinates, most have 4 x 3"),
    "flat.npy": (joints(9, 5, 12), "5 x 12 of type float64 instead of numbers"),
    "nan.npy": (np.full((5, 4, 3), np.nan), "frame 0, joint 0 has a coordinate that is not a finite number"),
    "zero.npy": (np.zeros((5, 4, 3)), "all coordinates are zero"),
    "none.npy": (np.zeros((0, 4, 3)), "empty|not a complete npy"),
    "text.npy": (np.full((5, 4, 3), "x"), "of type <U1 instead of numbers"),
    "cut.npy": (
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000, 3), }",
        "complete npy",
    ),
    "empty.npy": (b"", "not a complete npy"),
    "junk.npz": (b"PK\3\4junk", "not a complete npz"),
    "empty.csv": (b"\n\n", "has no row of numbers"),
    "short.csv": (b"1,2,3\n1,2\n", "line 2: 2 numbers instead of 3 as in the lines above"),
    "word.csv": (b"1,2,3\n\n1,2,fish\n", "line 3: 'fish' is not a number"),
    "four.txt": (b"1 2 3 4\n", "4 numbers per row instead of bodies x joints x coordinates = 1 x 1 x 3; --row"),
    "binary.txt": (bytes(range(256)), "no row of numbers|not a number"),
}
BAD_ROWS = {
    "nobody,walk,train,eve": "'nobody' is not in ",
    "walk_1,walk,test,eve": "'walk_1' is already in line 2",
    "walk_1.npy,walk,test,eve": "'walk_1.npy' is already in line 2",
    "twice,walk,train,eve": "'twice' is ambiguous: ",
    "../raw/walk_1,walk,train,eve": "'../raw/walk_1' is not a path below ",
    "/etc/passwd,walk,train,eve": "'/etc/passwd' is not a path below ",
    ",walk,train,eve": "the name is empty",
    "spare_1,walk,val,eve": "split 'val' is neither train nor test",
    "spare_2,walk,,eve": "split is missing",
    "spare_3,,train,eve": "'spare_3': has no label",
    "spare_4,walk,train": "not 4 values",
    "spare_5,walk,train,eve,more": "not 4 values",
}


def test_frames_whose_coordinates_add_up_to_0_are_frames(tmp_path):
    (tmp_path / "raw").mkdir()
    x = np.random.default_rng(0).integers(1, 900, (30, 4, 3)) / 1024
    x[::3, 0] -= x[::3].sum(1)  # of every third
    np.save(tmp_path / "raw/a.npy", x)
    arrays = load(own.generate([tmp_path / "raw"], tmp_path, checks=False))
    assert not arrays["x_train"][0, ::3].sum(1).any() and arrays["valid_frames_train"].tolist() == [30]


@pytest.mark.filterwarnings("error")  # of numpy
def test_unusable_rows_and_files_are_one_line_each(raw, tmp_path):
    good = load(own.generate([raw], tmp_path))
    for name, (content, _) in BAD_FILES.items():
        if isinstance(content, bytes):
            (raw / name).write_bytes(content)
        else:
            np.save(raw / name, content)
    for name in ("spare_1", "spare_2", "spare_3", "spare_4", "spare_5", "twice"):
        np.save(raw / f"{name}.npy", joints(5, 3, 4, 3))
    np.save(raw / "objects.npy", np.array([{}, None]), allow_pickle=True)
    (raw / "twice.csv").write_text("1,2,3\n")
    rows = [f"{name},walk,train,eve" for name in (*BAD_FILES, "objects.npy")]
    (raw / "labels.csv").write_text(TABLE + "\n".join([*BAD_ROWS, *rows]))
    again = load(own.generate([raw], tmp_path))
    assert all(np.array_equal(good[key], again[key]) for key in good)
    lines = skipped(tmp_path)
    assert all(line.startswith(str(raw)) for line in lines) and len(set(lines)) == len(lines)
    for reason in BAD_ROWS.values():
        assert any(reason in line for line in lines), reason
    for name, (_, reason) in BAD_FILES.items():
        (line,) = (line for line in lines if line.startswith(f"{raw / name}: "))
        assert any(part in line for part in reason.split("|")), line
    assert any(line.startswith(f"{raw / 'objects.npy'}: not a complete npy file of numbers") for line in lines)
    assert sum("has no usable row in" in line for line in lines) == 4  # spare_4, spare_5, both of 'twice'
    with pytest.raises(ValueError, match="has no usable row in|not 4 values"):
        own.generate([raw], tmp_path, strict=True)
    listed = (tmp_path / "raw_data/own_skipped.txt").read_text()  # stays when another set is made in the same folder
    own.generate([raw], tmp_path, name="other")
    assert (tmp_path / "raw_data/own_skipped.txt").read_text() == listed != ""
    assert (tmp_path / "raw_data/other_skipped.txt").read_text() == listed


@pytest.mark.parametrize(
    "table, reason",
    [
        ("", "the first line has to name the columns"),
        ("name,name,label\nwalk_1,a,b\n", "the first line has to name the columns, each once"),
        ("name,label,split\n", "no recording can be used"),
        ("name,split\nwalk_1,train\n", "no field 'label'; there are name, split"),
        ('name,label,split\n"walk_1,walk,train\n', "not a CSV file"),
        (b"name,label\n\xff\xfe,1\n", "not a CSV file"),
    ],
)
def test_tables_that_cannot_be_used(raw, tmp_path, table, reason):
    (raw / "labels.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(ValueError, match=reason) as error:
        own.generate([raw], tmp_path)
    assert str(error.value).startswith(str(raw)) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "content, reason",
    [
        ("[1, 2", "neither YAML nor JSON"),
        ("[1, 2]", "needs a list 'parents'"),
        ("parents: [0, 0, 0, 0]\njoint_names: 4", "joint_names is not a list"),
        ("parents: []", "parents has to be a list"),
        ("parents: [-1, knee, 0, 0]", "parents has to be a list of the number or name"),
        ("parents: [-1, 2, 1, 0]", "leads joint 1 around in a circle"),
        ("parents: [-1, 0, 1, 1]\njoint_names: [a, b]", "2 joint_names but 4 parents"),
        ("parents: [-1, 0, 1, 1]\njoints: [a, b]", "unknown key 'joints'"),
        ("parents: [-1, 0, 1]", "no recording can be used; the first: .*4 joints, the skeleton has 3"),
    ],
)
def test_skeletons_that_cannot_be_used(raw, tmp_path, content, reason):
    (tmp_path / "skeleton.yaml").write_text(content)
    with pytest.raises(ValueError, match=reason):
        own.generate([raw], tmp_path, joints_file=tmp_path / "skeleton.yaml")


@pytest.mark.parametrize(
    "words, reason",
    [
        (["nothing"], "nothing: no such folder or npz file"),
        (["raw", "--labels", "no.csv"], "no.csv: no such file"),
        (["raw", "raw"], "only flat npz files (with an array 'offset') can be several"),
        ([str(SCRIPT), "--labels", "raw/labels.csv"], "own_gendata.py: ends in none of .npy, "),
        (["raw", "--joints", "no.yaml"], "no.yaml: no such file"),
        (["raw", "--center", "4"], "--center 4: use a number 0..3"),
        (["raw", "--layout", "coco17"], "4 joints, the skeleton has 17"),
        (["raw", "--unit", "inch"], "'inch' is none of m, cm, mm"),
        (["raw", "--scale", "0"], "'0' is not a number above 0"),
        (["raw", "--scale", "2", "--unit", "mm"], "not allowed with argument"),
        (["raw", "--raw", "raw"], "name all after one --raw, or all without it"),
        (["raw", "--label_pattern", "("], "--label_pattern (: not a regular expression"),
        (["raw", "--label_pattern", "a"], "--label_pattern a: needs a group (?P<label>...)"),
        (["raw", "--label_pattern", "(?P<label>fish)"], "matches none of 4 files; the first is 'jump_1.csv'"),
        (["raw", "--joint_order", "a"], "'a' is not a list of whole numbers"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(words, reason, raw, tmp_path, command):
    done = command([SCRIPT, *words, "--out", "out"], tmp_path)
    assert done.returncode == 2 and reason in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr, done.stderr
    assert not list((tmp_path / "out").glob("*.npz"))


def test_without_labels_everything_is_for_training(raw, tmp_path, capsys):
    labelled = load(own.generate([raw], tmp_path))
    (raw / "labels.csv").unlink()
    (raw / "walk_3.npy").mkdir()  # not a file
    (raw / "jump_1.txt").write_bytes((raw / "jump_1.csv").read_bytes())
    arrays = load(own.generate([raw], tmp_path / "all"))
    assert "everything is for training, without labels" in capsys.readouterr().out
    assert arrays["name_train"].tolist() == ["jump_1.csv", "jump_1.txt", "jump_2", "walk_1", "walk_2"]
    assert not {"y_train", "x_test", "class_names"} & arrays.keys()
    assert (arrays["x_train"][[3, 0]] == labelled["x_train"]).all() and (arrays["x_train"][[4, 2]] == labelled["x_test"]).all()


def test_suffixes_in_capitals(raw, tmp_path):
    before = load(own.generate([raw], tmp_path))
    for file in raw.glob("[jw]*.*"):
        file.rename(file.with_suffix(file.suffix.upper()))
    after = load(own.generate([raw], tmp_path))
    assert before.keys() == after.keys() and all(np.array_equal(before[key], after[key]) for key in before)


def test_a_folder_of_nothing_but_a_table(tmp_path):
    (folder := tmp_path / "empty").mkdir()
    (folder / "labels.csv").write_text("name,label\n")
    with pytest.raises(ValueError, match=f"^{folder}: no recording can be used$"):
        own.generate([folder], tmp_path, label_pattern="(?P<label>a)_(?P<group>b)", test_groups=["b"])


def test_skeleton_as_json(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps({"parents": [1, -1, "a"], "joint_names": ["a", "b", "c"]}))
    assert custom_skeleton.read_skeleton_file(tmp_path / "s.json").parents.tolist() == [1, 1, 0]


def test_long_recordings_are_cut(tmp_path):
    """The pieces of a recording are its frames in order, with its label and split, and a group of their own."""
    raw, lengths = tmp_path / "raw", {"a": 25, "b": 10, "c": 31}
    whole = {name: joints(i, length, 4, 3) for i, (name, length) in enumerate(lengths.items())}
    raw.mkdir()
    for name, array in whole.items():
        np.save(raw / f"{name}.npy", array)
    (raw / "labels.csv").write_text("name,label,split\na,x,train\nb,y,train\nc,x,test\n")
    arrays = load(own.generate([raw], tmp_path / "out", window=10))
    assert arrays["name_train"].tolist() == ["a_0_8", "a_8_16", "a_16_25", "b"] and arrays["x_train"].shape == (4, 10, 12)
    assert arrays["group_train"].tolist() == ["a", "a", "a", "b"] and arrays["y_train"].argmax(1).tolist() == [0, 0, 0, 1]
    for split, name in (("train", "a"), ("train", "b"), ("test", "c")):
        rows = [i for i, piece in enumerate(arrays[f"name_{split}"]) if piece.startswith(name)]
        frames = [arrays[f"x_{split}"][i, : arrays[f"valid_frames_{split}"][i]] for i in rows]
        assert np.array_equal(np.concatenate(frames), whole[name].reshape(lengths[name], 12).astype(np.float32))
    np.save(raw / "b.npy", np.zeros((10, 12)))
    own.generate([raw], tmp_path / "out", window=10)
    (line,) = skipped(tmp_path / "out")
    assert line.startswith(f"{raw / 'b.npy'}: ")
