"""The skeleton of your own recordings: joint names and parents, of a layout, a file, or the recordings themselves."""

import json
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from data.prepare.parallel import naming
from feeder import skeleton
from util.validation import one_line


@dataclass
class CustomSkeleton:
    """layout: of feeder.skeleton, or ''; joint_names: (V,) or None; parents: (V,) int64, the root is its own parent, or None.
    certain: whether the joints have this order is not to be checked."""

    layout: str = ""
    joint_names: np.ndarray | None = None
    parents: np.ndarray | None = None
    certain: bool = False

    def num_joints(self):
        """V, or None if neither parents nor names are known."""
        array = self.parents if self.parents is not None else self.joint_names
        return None if array is None else len(array)


def layout_skeleton(layout):
    """The `CustomSkeleton` of a layout in feeder.skeleton."""
    # without a spine the bones are longer than the shortest that connect the joints, which therefore say nothing of their order
    certain = layout not in skeleton.KINECTS
    return CustomSkeleton(layout, np.array(skeleton.joint_names(layout)), skeleton.parents(layout), certain)


def custom_skeleton(joint_names, parents, where):
    """A `CustomSkeleton` from joint_names and parents, each perhaps None.

    parents: number (from 0) or name of each joint's parent; -1 or itself for the root. Raises ValueError, beginning with `where`,
    if they are invalid or of different lengths.
    """
    names = None if joint_names is None else np.array([str(name) for name in joint_names])
    if parents is not None:
        listed = [] if names is None else names.tolist()
        parents = [listed.index(parent) if parent in listed else parent for parent in np.asarray(parents, object).tolist()]
        if not parents or not all(type(parent) is int for parent in parents):
            raise ValueError(f"{where}: parents has to be a list of the number or name of each joint's parent")
        with naming(where):
            parents = skeleton.tree([i if parent == -1 else parent for i, parent in enumerate(parents)], len(parents))
        if names is not None and len(names) != len(parents):
            raise ValueError(f"{where}: {len(names)} joint_names but {len(parents)} parents")
    return CustomSkeleton("", names, parents)


def with_midpoints(skeleton, midpoints):
    """A `CustomSkeleton` with the joints of `ArrayFormat.midpoints` behind its own. Each hangs on the nearest joint from which
    both of its pair hang, so that left and right stay alike."""
    if not midpoints:
        return skeleton
    names, parents = skeleton.joint_names, skeleton.parents
    if names is not None:
        names = np.array([*map(str, names), *(name for name, *_ in midpoints)])
        if len(set(names)) < len(names):
            raise ValueError(f"--midpoints: two joints have one name, {str(Counter(names).most_common(1)[0][0])!r}")
    if parents is not None:
        parents = np.array([*parents, *(_common_ancestor(parents, *pair) for _, *pair in midpoints)])
    return replace(skeleton, layout="", joint_names=names, parents=parents)


def _common_ancestor(parents, one, other):
    """The nearest joint from which two joints hang, perhaps one of them; parents: (V,)."""
    if max(one, other) >= len(parents):
        raise ValueError(f"--midpoints: {len(parents)} joints, no joint {max(one, other)}, from 0")
    above = [one]
    while parents[above[-1]] != above[-1]:
        above.append(int(parents[above[-1]]))
    while other not in above and parents[other] != other:
        other = int(parents[other])
    return other if other in above else above[-1]


def compare_names(names, other, where, what):
    """Compare `names` (V,) or None, those of a file, with those of the `CustomSkeleton` other, without case and separators.
    Raises ValueError if they are in another order; prints a warning if they are others. where, what: the two, for the message.
    """
    if names is None or other.joint_names is None or len(names) != len(other.joint_names):
        return
    theirs, ours = ([skeleton.split_side(name) for name in some] for some in (names, other.joint_names))
    if theirs == ours:
        return
    v = next(v for v, pair in enumerate(zip(theirs, ours, strict=True)) if pair[0] != pair[1])
    differ = f"joint {v} is {str(names[v])!r}, that of {what} is {str(other.joint_names[v])!r}"
    if sorted(theirs) == sorted(ours):
        hint = "give --joint_order, or accept it with --no_checks"
        raise ValueError(f"{where}: are in another order than those of {what}: {differ}; {hint}")
    print(f"warning: {where}: {differ}; those of {what} are taken", file=sys.stderr)


def read_skeleton_file(path):
    """The `CustomSkeleton` of a YAML or JSON file of parents, perhaps joint_names. Raises FileNotFoundError or ValueError."""
    if not (path := Path(path)).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: neither YAML nor JSON ({one_line(error)[:100]})") from error
    if not isinstance(content, dict) or not isinstance(content.get("parents"), list):
        raise ValueError(f"{path}: needs a list 'parents', and may have a list 'joint_names'")
    if not isinstance(content.get("joint_names", []), list):
        raise ValueError(f"{path}: joint_names is not a list")
    if unknown := content.keys() - {"parents", "joint_names"}:
        raise ValueError(f"{path}: unknown key {sorted(map(str, unknown))[0]!r}; the keys are joint_names and parents")
    return custom_skeleton(content.get("joint_names"), content["parents"], path)
