"""Draw skeletons: a pose, a sheet of frames, a film (GIF, MP4). Needs neither a display nor pyplot.

Sequences are (T, M, V, 3) in metres; x is drawn to the right and y upwards (`turned` brings them there). A body whose coordinates
are all zero in a frame is absent. Every person has its own colour: light on the left side of the body, dark on the right.
"""

import re
import shutil
import subprocess
import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator
from PIL import Image

from feeder.skeleton import split_side

LEFT, MIDDLE, RIGHT = 0, 1, 2
COLOURS = (  # of one person each: left, middle, right
    ("#4fa8e8", "#2f6fa8", "#173f6b"),
    ("#f5a34a", "#cf6a1c", "#8a3a08"),
    ("#5cc487", "#2f8f5b", "#135534"),
    ("#c792e0", "#8f56b0", "#552a72"),
)
GIF_FPS = 50  # largest number of pictures per second; viewers slow down faster GIFs
INK, PAPER, GRID = "#30343a", "#ffffff", "#e3e6ea"
# words that say which limb a joint belongs to, in the order in which limbs are listed
_LIMBS = (
    re.compile("spine|neck|head|nose|chest|torso|pelvis|hips"),
    re.compile("shoulder|collar|clavicle|arm|elbow|wrist|hand|humerus"),
    re.compile("hip|leg|thigh|knee|ankle|foot|toe|femur"),
)
# which axis, with which sign, points right, up and away from the viewer
UP = {"y": ((0, 1), (1, 1), (2, 1)), "-y": ((0, 1), (1, -1), (2, 1)), "z": ((0, 1), (2, 1), (1, 1))}
VIEWS = {"front": ((0, 1), (1, 1), (2, 1)), "side": ((2, -1), (1, 1), (0, 1))}


def turned(sequence, view="front", up="y"):
    """Turn a sequence (..., 3) so that the axis `up` (one of UP) becomes y, seen from the 'front' (along z) or the 'side' (along
    x; a person facing the camera then looks to the right).
    """
    for axes in (UP[up], VIEWS[view]):
        sequence = np.stack([sign * np.asarray(sequence)[..., axis] for axis, sign in axes], axis=-1)
    return sequence


def sides(joint_names):
    """(V,) LEFT, MIDDLE or RIGHT by the side in each joint's name."""
    return np.array([{"l": LEFT, "r": RIGHT, "": MIDDLE}[split_side(name)[0]] for name in joint_names], int)


def limbs(joint_names, parents=None):
    """[[joint, ...]]: all V joints by limb (spine with head, arms, legs).

    Joints are grouped by words in their names; a joint without such a word belongs to its parent's limb. If there are no such
    words at all, each chain of bones between two branchings is a limb. parents: (V,), as for `Body`.
    """
    count = len(joint_names)
    parents = np.arange(count) if parents is None else np.asarray(parents)
    kinds = [next((k for k, words in enumerate(_LIMBS) if words.search(str(n).lower())), None) for n in joint_names]
    named, side, found = any(kind is not None for kind in kinds), sides(joint_names), {}
    waiting = [(int(v), (0 if named else int(v), MIDDLE)) for v in np.flatnonzero(parents == np.arange(count))[::-1]]
    while waiting:  # from the root outwards, one branch after the other
        v, limb = waiting.pop()
        children = [int(c) for c in np.flatnonzero(parents == v) if c != v]
        if kinds[v] is not None:
            limb = (kinds[v], int(side[v]) if kinds[v] else MIDDLE)
        found.setdefault(limb, []).append(v)
        for child in reversed(children):
            waiting.append((child, limb if named or len(children) == 1 else (child, MIDDLE)))
    return [found[limb] for limb in sorted(found)]


class Body:
    """A body of V joints on a matplotlib Axes. bones: a LineCollection, a line per bone; dots: a PathCollection.

    parents: (V,) each joint's parent, a root is its own; None draws only dots. side: (V,) from `sides`; None draws in one colour.
    person: index into COLOURS.
    """

    def __init__(self, ax, num_joints, parents=None, side=None, person=0):
        parents = np.arange(num_joints) if parents is None else np.asarray(parents)
        side = np.full(num_joints, MIDDLE) if side is None else np.asarray(side)
        self.child = np.flatnonzero(parents != np.arange(num_joints))
        self.parent = parents[self.child]
        colours = np.array(COLOURS[person % len(COLOURS)])
        size = 8 if len(self.child) else 20  # points²; larger if there are no bones
        self.bones = LineCollection([], colors=colours[side[self.child]], linewidths=2.4, capstyle="round", zorder=2)
        self.dots = ax.scatter(np.zeros(num_joints), np.zeros(num_joints), s=size, c=colours[side], linewidths=0, zorder=3)
        ax.add_collection(self.bones, autolim=False)
        self.artists = self.bones, self.dots

    def move(self, joints):
        """Show (V, 3) joints; nothing if all are zero. Returns self."""
        joints = np.asarray(joints, dtype=np.float64)
        for artist in self.artists:
            artist.set_visible(bool(joints.any()))
        flat = joints[:, :2]
        self.bones.set_segments(np.stack([flat[self.parent], flat[self.child]], axis=1))
        self.dots.set_offsets(flat)
        return self


def draw_bodies(ax, bodies, parents=None, side=None):
    """Draw all bodies (M, V, 3) of a frame onto an Axes: [Body]."""
    return [Body(ax, len(joints), parents, side, person).move(joints) for person, joints in enumerate(bodies)]


def contact_sheet(sequence, parents=None, side=None, title="", fps=30, count=10, frames=None, unit="metres"):
    """A Figure with `count` frames of a sequence side by side, from the first to the last, on equal axes.

    sequence: (T, M, V, 3). fps: frames per second. frames: (T,) their numbers, if not 0 .. T − 1. unit: of the coordinates, for
    the axes. parents, side: as of a `Body`.
    Raises ValueError if there is no body in it.
    """
    sequence, numbers = _checked(sequence), np.arange(len(sequence)) if frames is None else frames
    chosen = np.unique(np.linspace(0, len(sequence) - 1, count).round().astype(int))
    across, up = limits(sequence)
    shape = np.ptp(across) / np.ptp(up)
    columns = len(chosen) if shape < 0.9 else -(-len(chosen) // 2)  # two rows for wide bodies
    rows = -(-len(chosen) // columns)
    height = min(3.2, 15 / columns / shape)
    size = max(4.0, columns * height * shape + 1.0), rows * (height + 0.4) + 0.9
    figure = Figure(figsize=size, facecolor=PAPER, layout="compressed")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(h_pad=0.1)
    fit(figure.suptitle(title, color=INK, fontsize=13, fontweight="bold", parse_math=False))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, t in zip(panels, chosen, strict=False):
        prepare(ax, across, up)
        ax.set_title(f"frame {numbers[t]} · {numbers[t] / fps:.2f} s", color=INK, fontsize=9)
        draw_bodies(ax, sequence[t], parents, side)
    for ax in panels[len(chosen) :]:
        ax.set_axis_off()
    figure.supylabel(unit, color=INK, fontsize=8)
    legend(figure, body_entries(sequence, side), loc="outside lower center")
    return figure


def animate(sequence, parents, path, side=None, title="", fps=30, frames=None, unit="metres"):
    """Write a sequence (T, M, V, 3) as a GIF that loops and lasts as long as the sequence at `fps`.

    There is a picture per frame, or above GIF_FPS one for every second, third, ... frame. path: of a file, or an open binary one.
    Other arguments as in `contact_sheet`.
    """
    numbers = np.arange(len(sequence)) if frames is None else frames
    chosen = np.arange(0, len(sequence), int(np.ceil(fps / GIF_FPS)))
    clock = [f"frame {n} · {n / fps:.2f} s" for n in numbers]
    ends = np.round(np.append(chosen[1:], len(sequence)) * 100 / fps).astype(int) * 10  # a GIF counts in hundredths of a second
    durations = np.maximum(np.diff(ends, prepend=0), 1000 // GIF_FPS).tolist()
    save_gif(path, film(sequence, parents, side, title, clock, chosen, unit=unit), durations)


def film(sequence, parents=None, side=None, title="", clock=None, chosen=None, overlay=None, unit="metres"):
    """Yields an RGB picture (PIL) of each frame in `chosen`, by default of all, of a sequence (T, M, V, 3).

    title: one or two lines, the first larger. clock: T texts that stand above the frames. overlay(ax, bodies) -> (artists, step)
    puts more onto the Axes or changes how the bodies look, and adds its own legend; step(t) then brings these artists to frame t.
    Other arguments as in `contact_sheet`.

    Unlike matplotlib's writers, which draw the whole figure for every frame, this draws only what moves, in a fifth of the time.
    """
    sequence = _checked(sequence)
    across, up = limits(sequence)
    width = float(np.clip(4.6 * np.ptp(across) / np.ptp(up) + 0.9, 5.4, 9.0))
    figure = Figure(figsize=(width, 5.6), dpi=100, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_axes((0.12, 0.12, 0.85, 0.67))
    prepare(ax, across, up)
    ax.tick_params(labelsize=11)
    ax.set_ylabel(unit, color=INK, fontsize=12)
    first, _, second = title.partition("\n")
    first = textwrap.wrap(first, 46, max_lines=2, placeholder=" …") or [""]
    style = {"x": 0.5, "ha": "center", "va": "top", "color": INK, "parse_math": False}
    fit(figure.text(y=0.99, s="\n".join(first), fontsize=13, fontweight="bold", **style))
    fit(figure.text(y=0.975 - 0.04 * len(first), s=second, fontsize=11, **style))
    time = figure.text(0.5, 0.835, "", ha="center", color=INK, fontsize=13)
    style = {"linewidth": 6, "solid_capstyle": "butt"}
    figure.add_artist(Line2D([0.12, 0.97], [0.81, 0.81], color=GRID, **style))
    progress = figure.add_artist(Line2D([], [], color=COLOURS[0][1], **style))
    bodies = [Body(ax, sequence.shape[2], parents, side, person) for person in range(sequence.shape[1])]
    artists, step = overlay(ax, bodies) if overlay else ((), lambda t: None)
    if not overlay:
        legend(figure, body_entries(sequence, side), fontsize=12)
    changing = [time, progress, *(artist for body in bodies for artist in body.artists), *artists]
    for artist in changing:
        artist.set_animated(True)
    canvas.draw()  # the background, once; a frame copies it and draws only what changes
    background = canvas.copy_from_bbox(figure.bbox)
    for t in range(len(sequence)) if chosen is None else chosen:
        canvas.restore_region(background)
        time.set_text(clock[t] if clock else f"frame {t}")
        progress.set_data([0.12, 0.12 + 0.85 * (t + 1) / len(sequence)], [0.81, 0.81])
        for body, joints in zip(bodies, sequence[t], strict=True):
            body.move(joints)
        step(t)
        for artist in changing:
            figure.draw_artist(artist)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def save_gif(path, pictures, durations):
    """Write RGB pictures as a GIF that loops. durations: milliseconds, one number or one for each picture."""
    pictures = list(pictures)
    # one palette, from a few of the pictures, so that colours do not flicker
    some = np.concatenate([np.asarray(picture) for picture in pictures[:: -(-len(pictures) // 8)]])
    palette = Image.fromarray(some).quantize(method=Image.Quantize.FASTOCTREE)
    first, *others = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    first.save(path, "GIF", save_all=True, append_images=others, duration=durations, loop=0)


def has_ffmpeg():
    """Whether `save_mp4` can work."""
    return shutil.which("ffmpeg") is not None


def save_mp4(path, gif):
    """Write a GIF as an MP4 (H.264) with ffmpeg. Raises OSError with its last line if that fails."""
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white", "-pix_fmt", "yuv420p"]  # players want this
    command = ["ffmpeg", "-loglevel", "error", "-y", "-i", str(gif), *even, "-movflags", "+faststart", "-f", "mp4", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise OSError(f"{path}: ffmpeg failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")


def _checked(sequence):
    """The sequence as floats; coordinates that are not finite become NaN and are not drawn."""
    sequence = np.where(np.isfinite(sequence), sequence, np.nan).astype(np.float64)
    if np.isnan(sequence[_present(sequence)]).all():
        raise ValueError("there is no body in the sequence")
    return sequence


def _present(sequence):
    """(T, M) bool: which bodies are there in which frames."""
    return sequence.any(axis=(2, 3))


def limits(sequence):
    """((left, right), (bottom, top)) in metres around all bodies of a sequence, with a margin and a minimum aspect ratio."""
    seen = sequence[_present(sequence)][..., :2].reshape(-1, 2)
    low, high = np.nanmin(seen, axis=0), np.nanmax(seen, axis=0)
    half = 0.56 * (high - low) + 1e-3
    half = np.maximum(half, (0.5, 0.3) * half[::-1])
    return tuple(zip((low + high) / 2 - half, (low + high) / 2 + half, strict=True))


def prepare(ax, across, up):
    """Equal axes with these limits and a grid."""
    ax.set(xlim=across, ylim=up, aspect="equal", facecolor=PAPER, axisbelow=True)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MultipleLocator(grid_step(across, up)))
    ax.grid(color=GRID, linewidth=0.8)
    ax.tick_params(colors=INK, labelsize=8, length=0)
    ax.spines[:].set_visible(False)


def grid_step(across, up):
    """Distance of grid lines in metres: a power of 2 times 0.5."""
    return next(step for step in (0.5 * 2.0**k for k in range(-20, 200)) if max(np.ptp(across) / 8, np.ptp(up) / 6) < step)


def fit(text):
    """Shrink a text that is wider than its figure."""
    room = 0.92 * text.figure.bbox.width / max(1, text.get_window_extent().width)
    text.set_fontsize(text.get_fontsize() * min(1, room))


def body_entries(sequence, side):
    """Legend entries for persons and sides of the body; none if there is only one colour."""
    there = np.flatnonzero(_present(sequence).any(axis=0))
    names = {LEFT: "left", RIGHT: "right"} if side is not None and np.ptp(side) else {MIDDLE: "body"}
    entries = {
        f"{name} {person + 1}" if len(there) > 1 else name: {"color": COLOURS[person % len(COLOURS)][which], "linewidth": 3}
        for person in there
        for which, name in names.items()
    }
    return entries if len(entries) > 1 else {}


def legend(figure, entries, loc="lower center", **style):
    """A legend in one row, if there are entries: {text: Line2D keywords}."""
    if entries:
        lines = [Line2D([], [], **look) for look in entries.values()]
        style = {"ncols": len(entries), "fontsize": 9, "labelcolor": INK, "frameon": False, "handlelength": 1.4} | style
        figure.legend(lines, list(entries), loc=loc, columnspacing=1.2, handletextpad=0.5, **style)
