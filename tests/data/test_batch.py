import os

import pytest

from data.prepare import batch


@pytest.mark.parametrize("workers", [1, 2])
def test_results_in_order_and_errors_collected(tmp_path, workers):
    skipped = batch.Skipped()
    items = [str(i) if i % 10 else "x" for i in range(50)]
    done = list(batch.each(int, items, "counting", skipped, workers))
    assert done == [(item, int(item)) for item in items if item != "x"]
    assert len(skipped.reasons) == 5 and "invalid literal for int() with base 10: 'x'" in skipped.reasons[0]
    skipped.write(tmp_path / "new" / "skipped.txt")
    assert (tmp_path / "new" / "skipped.txt").read_text().splitlines() == skipped.reasons


@pytest.mark.parametrize("workers", [1, 2])
def test_strict_stops_at_the_first_error(workers):
    done = []
    with pytest.raises(ValueError, match="'x'"):
        done.extend(batch.each(int, ["1"] * 40 + ["x"] * 9, "counting", batch.Skipped(strict=True), workers))
    assert done == [("1", 1)] * 40


def test_a_killed_worker_is_one_line():
    with pytest.raises(ChildProcessError, match="reading: a worker was killed, .*; try --workers 1"):
        list(batch.each(os._exit, [9] * 40, "reading", batch.Skipped(), workers=2))


def test_number_of_workers():
    with pytest.raises(ValueError, match="--workers 0: at least 1"):
        list(batch.each(int, ["1"], "counting", batch.Skipped(), workers=0))
