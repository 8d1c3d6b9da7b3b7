"""Labels as texts, names of classes, and files without labels or without a test set."""

import pickle

import numpy as np
import pytest

import main_predict
import main_tune
from data.prepare.inspect import inspect_npz
from feeder.feeder_ntu import Feeder
from tests.runs import MAINS, read, same, weights
from util import checkpoint

WORDS = np.array(["wave", "bow", "jump high"])


def texts(arrays, words=WORDS, kind=str):
    return arrays | {f"y_{split}": words[arrays[f"y_{split}"].argmax(1)].astype(kind) for split in ("train", "test")}


@pytest.mark.parametrize("kind", ["U", "S", ">U20"])
def test_the_sorted_texts_are_the_classes(npz, arrays, kind):
    for split in ("train", "test"):
        data = Feeder(npz(texts(arrays, kind=kind)), split, window_size=8)
        assert data.class_names == data.metadata()["class_names"] == ["bow", "jump high", "wave"] and data.num_classes == 3
        assert [data.class_names[data[i][1]] for i in range(len(data))] == WORDS[arrays[f"y_{split}"].argmax(1)].tolist()


def test_both_splits_make_the_classes_and_a_column_is_no_one_hot(npz, arrays):
    path = npz(arrays | {"y_train": np.repeat(["b", "c"], 12)[:, None], "y_test": np.array(["a"] * 6 + [" c "] * 7)})
    assert Feeder(path).label.tolist() == [1] * 12 + [2] * 12
    assert Feeder(path, "test").label.tolist() == [0] * 6 + [2] * 7
    numbers = npz(arrays | {f"y_{k}": arrays[f"y_{k}"].argmax(1)[:, None] + 1 for k in ("train", "test")})
    assert Feeder(numbers).label.tolist() == (arrays["y_train"].argmax(1) + 1).tolist()


def test_numbers_as_texts_and_the_file_s_own_order(npz, arrays):
    assert Feeder(npz(texts(arrays, np.array(["10", "9", "-1"])))).class_names == ["-1", "9", "10"]
    data = Feeder(npz(texts(arrays) | {"class_names": np.array(["wave", "sit", "bow", "jump high"])}))
    assert data.class_names == ["wave", "sit", "bow", "jump high"] and data.num_classes == 4 and set(data.label) == {0, 2, 3}


def test_names_are_those_of_the_file_else_published_else_numbers(npz, arrays):
    own = Feeder(npz(arrays | {"class_names": np.array(["a", "b"])}))
    assert own.names_of_classes() == ["a", "b", "class 2"] and own.names_of_classes(1) == ["a"]
    assert [own.class_title(number) for number in (-1, 1, 2)] == ["no label", "class 1 (b)", "class 2"]
    ntu = {"x_train": np.ones((2, 6, 150), np.float32), "y_train": np.eye(60)[:2]}
    assert Feeder(npz(ntu, "NTU60_XSub.npz")).names_of_classes()[0] == "drink water"
    assert Feeder(npz(ntu, "mine.npz")).names_of_classes()[0] == "class 0"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"class_names": np.array(["wave", "bow"])}, "y_train: row 2 has the label 'jump high', which is not in class_names"),
        ({"y_test": np.arange(13) % 3}, "y_train and y_test are of different kinds: texts and numbers"),
        ({"y_train": np.array(["a", " "] * 12)}, "y_train: row 1 has the label ' ', which is empty"),
        ({"y_train": np.array(["a", "b\x1bc"] * 12)}, "y_train: row 1 has the label .* no text"),
        ({"y_train": np.array([["a", "b"]] * 24)}, r"y_train: shape \(24, 2\), type <U1; texts are \(N,\)"),
        ({"y_train": np.array(["a", None] * 12, object)}, r"'y_train.npy' .*never read; save .* y.astype\(str\)"),
    ],
)
def test_texts_that_are_no_labels(npz, arrays, change, message):
    with pytest.raises(ValueError, match=f"data.npz: .*{message}") as error:
        Feeder(npz(texts(arrays) | change))
    assert "\n" not in str(error.value)


def test_texts_reach_every_result_and_eval_finds_classes_by_them(npz, arrays, options, tmp_path, capsys):
    names, path = ["bow", "jump high", "wave"], npz(texts(arrays))
    MAINS["finetune"].main(options("finetune", path, tmp_path / "tuned", "--epochs", 1, "--data_ratio", 0.5))
    assert "classes: 0 = 'bow', 1 = 'jump high', 2 = 'wave'" in capsys.readouterr().out
    rows = (tmp_path / "tuned/subset.csv").read_text().splitlines()
    assert rows[0] == "row,label,class_name,name" and rows[1].split(",")[2] == names[int(rows[1].split(",")[1])]
    assert checkpoint.load(tmp_path / "tuned/checkpoint-0.pth")["data"]["class_names"] == names
    MAINS["retrieval"].main(options("retrieval", path, tmp_path / "near", "--save_features", tmp_path / "features.npz"))
    with np.load(tmp_path / "features.npz") as file:
        assert file["class_names"].tolist() == names
    # two of three classes in another file: the numbers are those of the model, in a loader's workers and the report, too
    kept = arrays["y_test"].argmax(1) != 1  # without "bow", which is the model's class 0
    less = texts(arrays)
    less |= {key: value[kept] for key, value in less.items() if key.endswith("_test")}
    less["y_train"] = np.where(less["y_train"] == "bow", "wave", less["y_train"])

    def evaluate(data):
        words = ["--eval", tmp_path / "tuned/checkpoint-0.pth", "--data_path", data, "--output_dir", tmp_path / "eval"]
        MAINS["finetune"].main(list(map(str, [*words, "--device", "cpu", "--num_workers", 1])))

    evaluate(npz(less, "less.npz"))
    with np.load(tmp_path / "tuned/scores.npz") as whole, np.load(tmp_path / "eval/scores.npz") as part:
        np.testing.assert_allclose(part["scores"], whole["scores"][kept], atol=1e-6)
        assert part["label"].tolist() == whole["label"][kept].tolist() and 0 not in part["label"]
        assert part["class_names"].tolist() == whole["class_names"].tolist() == names
    assert read(tmp_path / "eval")["last"]["test_samples"] == kept.sum()
    assert "No skeletons to show" not in (tmp_path / "eval/report.html").read_text()
    with pytest.raises(ValueError, match="other.npz: has the class 'run', which is none of the 3 of .*checkpoint-0.pth: 'bow'"):
        evaluate(npz(less | {"y_test": np.array(["run"] * kept.sum())}, "other.npz"))


def test_eval_finds_classes_of_numbers_by_class_names(npz, arrays, options, tmp_path):
    """own_gendata.py writes one-hot labels and class_names: of a file with fewer classes the numbers are others."""
    names = ["bow", "run", "wave"]
    path = npz(arrays | {"class_names": np.array(names)})
    MAINS["finetune"].main(options("finetune", path, tmp_path / "tuned", "--epochs", 1))

    def evaluate(**change):
        words = ["--eval", tmp_path / "tuned/checkpoint-0.pth", "--output_dir", tmp_path / "eval"]
        MAINS["finetune"].main(options("finetune", npz(arrays | change, "other.npz"), tmp_path / "eval", *words[:2]))
        return read(tmp_path / "eval")["last"]["test_acc1"], np.load(tmp_path / "eval/scores.npz")["label"]

    order = [2, 0, 1]  # the same labels, numbered otherwise
    turned = {f"y_{split}": arrays[f"y_{split}"][:, order] for split in ("train", "test")}
    accuracy, labels = evaluate(**turned, class_names=np.array(names)[order])
    assert accuracy == read(tmp_path / "tuned")["last"]["test_acc1"]
    assert labels.tolist() == arrays["y_test"].argmax(1).tolist()
    with pytest.raises(
        ValueError, match="'sit', which is none of the 3 of .*checkpoint-0.pth: 'bow', .*; without class_names in"
    ):
        evaluate(class_names=np.array(["bow", "run", "sit"]))
    assert evaluate()[0] == accuracy  # without names, by number


def test_joints_of_a_checkpoint_are_told_by_name(npz, arrays, options, tmp_path, capfd):
    """As many joints in another order would be judged without a word."""
    names = ["hip", "spine", "head", "left hand", "right hand"]
    path = npz(arrays | {"joint_names": np.array(names)})
    MAINS["pretrain"].main(options("pretrain", path, tmp_path / "pre", "--epochs", 1))
    MAINS["finetune"].main(options("finetune", path, tmp_path / "tuned", "--epochs", 1))
    for stage, *words in (
        ("retrieval", "--finetune", tmp_path / "pre/checkpoint-0.pth"),
        ("finetune", "--eval", tmp_path / "tuned/checkpoint-0.pth"),
    ):
        turned = npz(arrays | {"joint_names": np.array([*names[:3], names[4], names[3]])}, "turned.npz")
        with pytest.raises(
            ValueError, match="turned.npz: the joints are in another order .*: joint 3 is 'right hand', that of .*'left"
        ):
            MAINS[stage].main(options(stage, turned, tmp_path / "refused", *words))
        other = npz(arrays | {"joint_names": np.array([*names[:4], "Hand R"])}, "other.npz")
        MAINS[stage].main(options(stage, other, tmp_path / stage, *words))
        assert "warning: " in (said := capfd.readouterr().err) and "joint 4 is 'Hand R'" in said
        MAINS[stage].main(options(stage, npz(arrays, "unnamed.npz"), tmp_path / f"{stage} unnamed", *words))
        assert "other names" not in capfd.readouterr().err


def test_main_predict_compares_the_joints_of_an_npz(npz, arrays, options, tmp_path, capfd):
    """A prepared npz and a flat one: left and right exchanged, in names and arrays, were answered without a word."""
    names = np.array(["hip", "spine", "head", "left hand", "right hand"])
    MAINS["finetune"].main(options("finetune", npz(arrays | {"joint_names": names}), tmp_path / "tuned", "--epochs", 1))
    flat = {"joints": np.random.default_rng(0).normal(size=(40, 5, 3)), "offset": np.array([0, 20, 40])}
    for name, content in (("prepared", arrays), ("flat", flat)):
        path = npz(content | {"joint_names": names[[0, 1, 2, 4, 3]]}, f"{name}.npz")
        words = ["--checkpoint", tmp_path / "tuned/checkpoint-0.pth", path, "--output", tmp_path / "answers.csv"]
        with pytest.raises(SystemExit):
            main_predict.main([*map(str, words), "--device", "cpu"])
        said = (
            f"{name}.npz: the joints are in another order than in training: joint 3 is 'right hand', that of the model is 'left"
        )
        assert said in capfd.readouterr().err and not (tmp_path / "answers.csv").exists()


def test_coordinates_prepared_otherwise_are_pointed_out(npz, arrays, options, tmp_path, capfd):
    prepared = {"center": 0, "body_frame": np.array([0, 1, 2, 3]), "min_max": 1}
    MAINS["pretrain"].main(options("pretrain", npz(arrays | prepared), tmp_path / "pre", "--epochs", 1))
    for change, warned in ((prepared, False), ({"center": 0}, True)):
        path = npz(arrays | change, "other.npz")
        MAINS["retrieval"].main(options("retrieval", path, tmp_path / "out", "--finetune", tmp_path / "pre/checkpoint-0.pth"))
        said = capfd.readouterr().err
        assert ("was prepared otherwise than the training data: its body_frame is None, that of" in said) == warned
        assert ("its min_max is None" in said) == warned and "its center" not in said


def test_an_encoder_whose_training_did_not_end_is_pointed_out(npz, arrays, options, tmp_path, capfd):
    path, last = npz(arrays), tmp_path / "pre/checkpoint-last.pth"
    MAINS["pretrain"].main(options("pretrain", path, tmp_path / "pre", "--epochs", 2))
    content = checkpoint.load(last)
    for epoch, warned in ((1, False), (0, True)):
        checkpoint.save(last, content | {"epoch": epoch})
        MAINS["retrieval"].main(options("retrieval", path, tmp_path / "out", "--finetune", last))
        line = "checkpoint-last.pth: is of a run that was stopped, or still goes on, after 1 of 2 epochs"
        assert (line in capfd.readouterr().err) == warned


def test_people_of_the_training_are_not_held_out_afterwards(npz, arrays, options, tmp_path):
    path = npz(arrays | {"group_train": np.array([f"P{i % 3}" for i in range(len(arrays["x_train"]))])})
    MAINS["finetune"].main(options("finetune", path, tmp_path / "tuned", "--epochs", 1, "--val_groups", 1))
    words = ["--eval", tmp_path / "tuned/checkpoint-0.pth", "--val_groups"]
    MAINS["finetune"].main(options("finetune", path, tmp_path / "out", *words, 1))
    for name in (path, path.parent / ".." / path.parent.name / path.name):
        with pytest.raises(
            ValueError, match="was trained with --val_groups 1; among the 2 groups held out now are people of its"
        ):
            MAINS["finetune"].main(options("finetune", name, tmp_path / "out", *words, 2))


def test_an_encoder_that_has_seen_the_people_held_out_is_pointed_out(npz, arrays, options, tmp_path, capfd):
    path = npz(arrays | {"group_train": np.array([f"P{i % 4}" for i in range(len(arrays["x_train"]))])})
    MAINS["pretrain"].main(options("pretrain", path, tmp_path / "pre", "--epochs", 1, "--val_groups", 2))
    encoder = tmp_path / "pre/checkpoint-0.pth"
    tuned = ["--views", 2, "--effective_batch_size", 8, "--batch_size", 8, "--predictor_dim", 8, "--warmup_epochs", 0]
    main_tune.main(
        options("retrieval", path, tmp_path / "tuned", "--finetune", encoder, "--epochs", 1, "--val_groups", 1, *tuned)
    )
    for run, groups, warned in (("pre", 2, ""), ("pre", 3, "2"), ("tuned", 1, ""), ("tuned", 2, "1"), ("pre", 0, "")):
        words = ["--finetune", tmp_path / run / "checkpoint-0.pth", "--val_groups", groups]
        capfd.readouterr()
        MAINS["retrieval"].main(options("retrieval", path, tmp_path / "out", *words))
        said = capfd.readouterr().err
        assert ("so that it has seen sequences" in said) == bool(warned)
        assert f"was trained with --val_groups {warned}, " in said or not warned


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint64, np.int32])
def test_class_numbers_of_any_integer_type(npz, arrays, kind):
    """-1, where there is no label, must not wrap around."""
    labels = {f"y_{split}": arrays[f"y_{split}"].argmax(1) for split in ("train", "test")}
    feeder = Feeder(npz(arrays | {name: y.astype(kind) for name, y in labels.items()}), "train")
    assert feeder.num_classes == 3 and feeder.label.tolist() == labels["y_train"].tolist()


def test_a_test_set_of_the_class_1_in_one_column(npz, arrays):
    """Columns (N, 1) are one-hot, of a single class, only if they are 1 in both splits."""
    train, test = arrays["y_train"].argmax(1)[:, None], np.ones((len(arrays["y_test"]), 1), int)
    assert (Feeder(npz(arrays | {"y_train": train, "y_test": test}), "test").label == 1).all()
    assert (Feeder(npz(arrays | {"y_train": np.ones_like(train), "y_test": test}), "test").label == 0).all()


def test_an_evaluation_on_other_data_has_a_folder_of_its_own(npz, arrays, options, tmp_path):
    """The result of the second would take the place of the first."""
    MAINS["finetune"].main(options("finetune", npz(arrays, "mine.npz"), tmp_path / "tuned", "--epochs", 1))
    for name in ("mine", "other"):
        words = options("finetune", npz(arrays, f"{name}.npz"), "", "--eval", tmp_path / "tuned/checkpoint-0.pth")
        at = words.index("--output_dir")
        MAINS["finetune"].main(words[:at] + words[at + 2 :])
    assert read(tmp_path / "tuned/checkpoint-0-eval")["data_path"].endswith("mine.npz")
    assert read(tmp_path / "tuned/checkpoint-0-eval-other")["data_path"].endswith("other.npz")


def test_renumbered_classes_go_along_to_a_worker(npz, arrays):
    data = Feeder(npz(texts(arrays)))
    data.renumber_classes(["wave", "jump high", "bow", "sit"])
    again = pickle.loads(pickle.dumps(data))
    assert again.label.tolist() == data.label.tolist() == [(0, 2, 1)[i] for i in arrays["y_train"].argmax(1)]


def test_pretraining_needs_x_train_alone(npz, arrays, options, tmp_path):
    groups, more = {"group_train": arrays["y_train"].argmax(1)}, ("--val_groups", 2, "--data_ratio", 0.5)
    path = npz({"x_train": arrays["x_train"], "num_joints": 5, "num_bodies": 1} | groups)
    for name, data, workers in (("out", path, 1), ("all", npz(arrays | groups, "all.npz"), 0)):
        MAINS["pretrain"].main(options("pretrain", data, tmp_path / name, "--epochs", 1, "--num_workers", workers, *more))
    assert same(*(weights(tmp_path / name / "checkpoint-0.pth") for name in ("out", "all")))
    assert any("no labels" in line for line in inspect_npz(path)[0])


@pytest.mark.parametrize(
    "stage, absent, message",
    [
        ("linprobe", "y_train", "it has .*the labels to learn from; only main_pretrain"),
        ("finetune", "y_test", "it has .*; these are the labels that answers are compared with"),
        ("finetune", "x_test", ".* judged by; only main_pretrain.py, and --val_groups, do without"),
        ("retrieval", "y_train", ""),
    ],
)
def test_other_stages_say_what_they_lack(npz, arrays, options, tmp_path, stage, absent, message):
    arrays.pop(absent)
    with pytest.raises(ValueError, match=f"data.npz: no array '{absent}'; {message}") as error:
        MAINS[stage].main(options(stage, npz(arrays), tmp_path / "out"))
    assert "\n" not in str(error.value)


def test_held_out_groups_do_without_a_test_set(npz, arrays, options, tmp_path):
    arrays = {key: value for key, value in arrays.items() if not key.endswith("_test")} | {"group_train": np.arange(24) // 3}
    MAINS["linprobe"].main(options("linprobe", npz(arrays), tmp_path / "out", "--epochs", 1, "--val_groups", 2))
    assert read(tmp_path / "out")["evaluated_on"] == "validation"
