"""config/paper.yaml."""

import re
from collections import defaultdict

from util.results import PAPER


def test_published_numbers(shared):
    """paper.yaml against the table the numbers were taken from, row by row."""
    published = defaultdict(list)
    for line in shared("spec/paper_tables.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 8 and re.search(r"\d\.\d", cells[2]):  # a cell holds one number, or those of several rows
            columns = [cell.split("/") for cell in cells[2:] if cell not in ("", "-")]
            for numbers in zip(*columns, strict=True):
                published[cells[0].split(" ")[0]].append([float(number) for number in numbers if number != "-"])
    wanted = [published["1"], published["2,3"], published["5"][::2], published["5"][1::2]]
    wanted += [published[table] for table in ("6", "7", "8", "9", "10a", "10b")]
    ours = {
        source: [[[n for n in row[source] if n] for row in table["rows"] if source in row] for table in PAPER["tables"]]
        for source in ("paper", "release")
    }
    assert ours["paper"][: len(wanted)] == wanted and sum(ours["release"], []) == published["release"]
