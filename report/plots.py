"""Drawing skeletons: a pose, a sheet of frames side by side, a moving stick figure. Needs no screen and no pyplot.

What a model hides, predicts and looks at is drawn in pictures.py.

Sequences are (T, M, V, 3) in metres; x is drawn to the right and y upwards (`turned` brings them there). A body whose coordinates
are all zero in a frame is absent. Every person has a colour of its own: light on the left side, dark on the right, in between in
the middle.
"""

import re
import shutil
import subprocess

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator
from PIL import Image

LEFT, MIDDLE, RIGHT = 0, 1, 2
COLOURS = (  # of one person each: left, middle, right
    ("#4fa8e8", "#2f6fa8", "#173f6b"),
    ("#f5a34a", "#cf6a1c", "#8a3a08"),
    ("#5cc487", "#2f8f5b", "#135534"),
    ("#c792e0", "#8f56b0", "#552a72"),
)
GIF_FPS = 50  # the most pictures per second; viewers slow down what is faster
INK, PAPER, GRID = "#30343a", "#ffffff", "#e3e6ea"
_SIDE = {LEFT: re.compile(r"(^|[^a-z])(l|left)([^a-z]|$)|left"), RIGHT: re.compile(r"(^|[^a-z])(r|right)([^a-z]|$)|right")}
# what becomes right, up and away from the viewer: axis and sign
UP = {"y": ((0, 1), (1, 1), (2, 1)), "-y": ((0, 1), (1, -1), (2, 1)), "z": ((0, 1), (2, 1), (1, 1))}
VIEWS = {"front": ((0, 1), (1, 1), (2, 1)), "side": ((2, -1), (1, 1), (0, 1))}


def turned(sequence, view="front", up="y"):
    """A sequence (..., 3) with the axis `up` (one of UP) as y, seen from the 'front', along z, or from the 'side', along x.

    Seen from the side, somebody who faces the camera looks to the right.
    """
    for axes in (UP[up], VIEWS[view]):
        sequence = np.stack([sign * np.asarray(sequence)[..., axis] for axis, sign in axes], axis=-1)
    return sequence


def sides(joint_names):
    """(V,) LEFT, MIDDLE or RIGHT by the word left or right, or a letter l or r standing alone, in each joint's name."""
    found = [next((side for side, word in _SIDE.items() if word.search(str(name).lower())), MIDDLE) for name in joint_names]
    return np.array(found, int)


def draw_skeleton(ax, joints, parents=None, side=None, person=0):
    """Draw one body onto a matplotlib Axes; returns the `Body`, which can be moved to other joints.

    joints: (V, 3) metres. parents: (V,) the joint each joint hangs on, a root naming itself; without them only dots are drawn.
    side: (V,) from `sides`; without it the body is of one colour. person: which of COLOURS.
    """
    joints = np.asarray(joints)
    return Body(ax, len(joints), parents, side, person).move(joints)


class Body:
    """A body of V joints on an Axes: `bones` is a LineCollection, a line per bone; `dots` a PathCollection, a dot per joint.

    Raises ValueError unless parents and side have a fitting value for each joint.
    """

    def __init__(self, ax, num_joints, parents=None, side=None, person=0):
        parents = np.arange(num_joints) if parents is None else np.asarray(parents)
        if parents.shape != (num_joints,) or not np.isin(parents, np.arange(num_joints)).all():
            raise ValueError(
                f"parents {parents.tolist()}: needs one of 0..{num_joints - 1} for each of {num_joints} joints; "
                "a root names itself"
            )
        side = np.full(num_joints, MIDDLE) if side is None else np.asarray(side)
        if side.shape != (num_joints,):
            raise ValueError(f"side has shape {side.shape} for {num_joints} joints")
        self.child = np.flatnonzero(parents != np.arange(num_joints))
        self.parent = parents[self.child]
        colours = np.array(COLOURS[person % len(COLOURS)])
        size = 8 if len(self.child) else 20  # points²; without bones the dots are all there is
        self.bones = LineCollection([], colors=colours[side[self.child]], linewidths=2.4, capstyle="round", zorder=2)
        self.dots = ax.scatter(np.zeros(num_joints), np.zeros(num_joints), s=size, c=colours[side], linewidths=0, zorder=3)
        ax.add_collection(self.bones, autolim=False)

    @property
    def artists(self):
        """What is drawn, from back to front."""
        return self.bones, self.dots

    def move(self, joints):
        """Show (V, 3) joints; nothing if all are zero. Returns self."""
        joints = np.asarray(joints, dtype=np.float64)
        for artist in self.artists:
            artist.set_visible(bool(joints.any()))
        flat = joints[:, :2]
        self.bones.set_segments(np.stack([flat[self.parent], flat[self.child]], axis=1))
        self.dots.set_offsets(flat)
        return self


def contact_sheet(sequence, parents=None, side=None, title="", fps=30, count=10, frames=None):
    """A Figure with `count` frames of a sequence side by side, from the first to the last, on equal axes in metres.

    sequence: (T, M, V, 3). fps: frames per second. frames: (T,) numbers to call them by, if not 0 .. T − 1.
    parents, side: as in `draw_skeleton`. Raises ValueError if there is no body in it.
    """
    sequence, numbers = _checked(sequence), np.arange(len(sequence)) if frames is None else frames
    shown = np.unique(np.linspace(0, len(sequence) - 1, count).round().astype(int))
    (left, right), (bottom, top) = limits(sequence)
    shape = (right - left) / (top - bottom)
    columns = len(shown) if shape < 0.9 else -(-len(shown) // 2)
    rows = -(-len(shown) // columns)
    height = min(3.2, 15 / columns / shape)
    size = max(4.0, columns * height * shape + 1.0), rows * (height + 0.4) + 0.9
    figure = Figure(figsize=size, facecolor=PAPER, layout="compressed")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(h_pad=0.1)
    fit(figure.suptitle(title, color=INK, fontsize=13, fontweight="bold", parse_math=False))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, t in zip(panels, shown, strict=False):
        prepare(ax, (left, right), (bottom, top))
        ax.set_title(f"frame {numbers[t]} · {numbers[t] / fps:.2f} s", color=INK, fontsize=9)
        for person, joints in enumerate(sequence[t]):
            draw_skeleton(ax, joints, parents, side, person)
    for ax in panels[len(shown) :]:
        ax.set_axis_off()
    for ax in panels[max(0, len(shown) - columns) : len(shown)]:
        ax.set_xlabel("metres", color=INK, fontsize=8)
        ax.tick_params(labelbottom=True)
    for ax in panels[::columns]:
        ax.set_ylabel("metres", color=INK, fontsize=8)
    _legend(figure, sequence, side)
    return figure


def animate(sequence, parents, path, side=None, title="", fps=30, frames=None):
    """Write a sequence (T, M, V, 3) as a GIF that loops and lasts as long as the sequence at `fps`.

    There is a picture per frame, or above GIF_FPS one for every second, third, ... frame. path: of a file, or an open binary one.
    Other arguments as in `contact_sheet`.
    """
    numbers = np.arange(len(sequence)) if frames is None else frames
    shown = np.arange(0, len(sequence), int(np.ceil(fps / GIF_FPS)))
    clock = [f"frame {n} · {n / fps:.2f} s" for n in numbers]
    pictures = moving(sequence, parents, side, title, clock, shown)
    ends = np.round(np.append(shown[1:], len(sequence)) * 100 / fps).astype(int) * 10  # a GIF counts in hundredths of a second
    save_gif(path, pictures, np.maximum(np.diff(ends, prepend=0), 1000 // GIF_FPS).tolist(), np.ravel(COLOURS))


def moving(sequence, parents, side=None, title="", clock=None, shown=None, overlay=None):
    """Yields an RGB picture (PIL) of each frame in `shown`, by default of all, of a sequence (T, M, V, 3).

    clock: T texts that stand above the frames. overlay(ax, bodies) -> (artists, step) puts more onto the Axes or changes how the
    bodies look, and explains it itself; step(t) then brings these artists to frame t. Other arguments as in `contact_sheet`.
    """
    sequence = _checked(sequence)
    across, up = limits(sequence)
    shape = np.ptp(across) / np.ptp(up)
    figure = Figure(figsize=(float(np.clip(4.6 * shape + 0.9, 4.2, 9.0)), 5.6), dpi=80, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_axes((0.12, 0.11, 0.85, 0.73))
    prepare(ax, across, up)
    ax.set_ylabel("metres", color=INK, fontsize=9)
    fit(figure.text(0.5, 0.98, title, ha="center", va="top", color=INK, fontsize=11, fontweight="bold", parse_math=False))
    time = figure.text(0.5, 0.86, "", ha="center", color=INK, fontsize=10)
    bodies = [Body(ax, sequence.shape[2], parents, side, person) for person in range(sequence.shape[1])]
    artists, step = overlay(ax, bodies) if overlay else ((), None)
    if not overlay:
        _legend(figure, sequence, side)
    changing = [time, *(artist for body in bodies for artist in body.artists), *artists]
    for artist in changing:
        artist.set_animated(True)
    canvas.draw()  # once; a frame then copies it and draws only what changes
    paper = canvas.copy_from_bbox(figure.bbox)
    for t in range(len(sequence)) if shown is None else shown:
        canvas.restore_region(paper)
        time.set_text(clock[t] if clock else f"frame {t}")
        for body, joints in zip(bodies, sequence[t], strict=True):
            body.move(joints)
        if step:
            step(t)
        for artist in changing:
            figure.draw_artist(artist)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def save_gif(path, pictures, durations, colours):
    """Write RGB pictures as a GIF that loops.

    durations: milliseconds, one number or one for each; colours: '#rrggbb', what is in use beside the ink.
    """
    palette = _palette(colours)
    first, *others = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    first.save(path, "GIF", save_all=True, append_images=others, duration=durations, loop=0)


def has_ffmpeg():
    """Whether `save_mp4` can work."""
    return shutil.which("ffmpeg") is not None


def save_mp4(path, pictures, fps):
    """Write RGB pictures of one size as an MP4 (H.264) with ffmpeg. Raises OSError with its last line if that fails."""
    pictures = iter(pictures)
    first = next(pictures)
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{first.width}x{first.height}", "-r", str(fps), "-i", "-"]
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white", "-pix_fmt", "yuv420p"]  # players want this
    command = ["ffmpeg", "-loglevel", "error", "-y", *source, *even, "-movflags", "+faststart", "-f", "mp4", str(path)]
    done = subprocess.run(command, input=b"".join(p.tobytes() for p in (first, *pictures)), capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip() or "no message"
        raise OSError(f"{path}: ffmpeg failed: {reason.splitlines()[-1]}")


def _checked(sequence):
    """The sequence as floats; coordinates that are not finite become NaN and are not drawn."""
    sequence = np.asarray(sequence, dtype=np.float64)
    if sequence.ndim != 4 or sequence.shape[3] != 3:
        raise ValueError(f"a sequence of shape {sequence.shape} cannot be drawn; it has to be (T, M, V, 3)")
    sequence = np.where(np.isfinite(sequence), sequence, np.nan)
    if np.isnan(sequence[_present(sequence)]).all():
        raise ValueError("there is no body in the sequence")
    return sequence


def _present(sequence):
    """(T, M) bool: which bodies are there in which frames."""
    return sequence.any(axis=(2, 3))


def limits(sequence):
    """((left, right), (bottom, top)) in metres around all bodies of a sequence, with a margin, and never very narrow or flat."""
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
    for spine in ax.spines.values():
        spine.set_visible(False)


def grid_step(across, up):
    """Half a metre, or coarser or finer where that is too much or too little."""
    return next(step for step in (0.5 * 2.0**k for k in range(-20, 200)) if max(np.ptp(across) / 8, np.ptp(up) / 6) < step)


def fit(text):
    """Make a text smaller that is wider than its figure."""
    room = 0.96 * text.figure.bbox.width / max(1, text.get_window_extent().width)
    text.set_fontsize(text.get_fontsize() * min(1, room))


def who(sequence, side):
    """[(text, colour)] that say which colour is whose, and which side of the body; none if there is nothing to tell apart."""
    there = np.flatnonzero(_present(sequence).any(axis=0))
    names = {LEFT: "left", RIGHT: "right"} if side is not None and np.ptp(side) else {MIDDLE: "body"}
    entries = [
        (f"{name} {person + 1}" if len(there) > 1 else name, COLOURS[person % len(COLOURS)][which])
        for person in there
        for which, name in names.items()
    ]
    return entries if len(entries) > 1 else []


def _legend(figure, sequence, side):
    entries = who(sequence, side)
    if entries:
        lines = [Line2D([], [], color=colour, linewidth=3) for _, colour in entries]
        place = "outside lower center" if figure.get_layout_engine() else "lower center"
        figure.legend(
            lines,
            [text for text, _ in entries],
            loc=place,
            ncols=len(entries),
            fontsize=8,
            labelcolor=INK,
            frameon=False,
            handlelength=1.2,
            columnspacing=1.2,
        )


def _palette(colours):
    """A picture with the palette of a GIF: the ink and every colour in use, in steps to the paper's white."""
    colours = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (INK, *colours)])
    steps = np.linspace(1, 0.08, 254 // len(colours))[:, None, None]
    shades = (255 + steps * (colours - 255)).round().reshape(-1, 3)
    shades = shades[shades.min(axis=1) < 240]  # lighter ones would be taken for the paper
    grid = [int(GRID[i : i + 2], 16) for i in (1, 3, 5)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([[[255, 255, 255], grid], shades]).astype(np.uint8).tobytes())
    return palette
