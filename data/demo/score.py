"""A score: the moves of one person, added by the programs of motions.py and rendered to the channels of body.py.

Times in seconds, positions in metres, angles in radians, frequencies in Hz.
"""

import numpy as np

from data.demo.body import CHANNELS

# amplitude with which each channel sways while a person stands idle; drawn in this order
TRUNK_SWAY = {"root": (0.012, 0.002, 0.012), "lean": 0.03, "tilt": 0.02, "twist": 0.05, "nod": 0.06, "turn": 0.1}
SWAY = TRUNK_SWAY | {"hand_l": 0.014, "hand_r": 0.014, "elbow_l": 0.06, "elbow_r": 0.06}


class Score:
    """Moves of one person, which may overlap: rendering adds them up.

    pace scales every duration, size every oscillation; waver (metres or radians) is the noise of every target."""

    def __init__(self, rng, pace=1.0, size=1.0, waver=0.035):
        self.rng, self.pace, self.size, self.waver = rng, pace, size, waver
        self.start = {name: np.array(value, float) for name, value in CHANNELS.items()}
        self.last = {name: value.copy() for name, value in self.start.items()}
        self.moves, self.swings = [], []

    def begin(self, **pose):
        """Change the resting pose."""
        for name, value in pose.items():
            self.start[name][:] = value
            self.last[name] = self.start[name].copy()

    def to(self, begin, duration, **targets):
        """Move channels to `targets` from time `begin` on; returns the time at the end (all times before scaling by pace)."""
        for name, target in targets.items():
            target = np.asarray(target, float) + self.rng.normal(0, self.waver, len(self.start[name]))
            late, longer = self.rng.uniform(-0.06, 0.06), np.exp(self.rng.normal(0, 0.15))
            self.moves.append((name, begin + late, duration * longer, target - self.last[name]))
            self.last[name] = target
        return begin + duration

    def rest(self, begin, duration, *names):
        """Move channels back to the resting pose."""
        return self.to(begin, duration, **{name: self.start[name] for name in names})

    def swing(self, begin, count, frequency, bounce=False, **amplitudes):
        """Add `count` oscillations, positive ones with `bounce`; returns the time at their end."""
        phase = 0 if bounce else self.rng.uniform(-0.5, 0.5)
        for name, amplitude in amplitudes.items():
            amplitude = np.asarray(amplitude, float) * self.size * np.exp(self.rng.normal(0, 0.2))
            self.swings.append((name, begin, count / frequency, frequency, phase, amplitude, bounce))
        return begin + count / frequency

    def push(self, begin, duration, hold=None, **changes):
        """Add `changes` to channels, and subtract them again after `hold` seconds if given."""
        for name, change in changes.items():
            self.moves.append((name, begin, duration, np.asarray(change, float)))
            if hold is not None:
                self.moves.append((name, begin + duration + hold, duration, -np.asarray(change, float)))

    def step(self, begin, x=0.0, z=0.0):
        """One step of both feet by (x, z), the nearer foot first."""
        self.push(begin, 0.55, root=(x, 0, z))
        for name, delay in (("foot_r", 0), ("foot_l", 0.25)) if x >= 0 else (("foot_l", 0), ("foot_r", 0.25)):
            self.push(begin + delay, 0.3, **{name: (x, 0, z)})
            self.swings.append((name, begin + delay, 0.3, 1 / 0.3, 0, np.array([0, 0.07, 0]), True))

    def sway(self, strength):
        """Add a slow idle movement over all time: three sines of random direction and phase per channel."""
        for name, size in SWAY.items():
            for _ in range(3):
                amplitude = strength * np.asarray(size) * self.rng.normal(0, 0.5, len(self.start[name]))
                self.swings.append((name, -100, 200, self.rng.uniform(0.15, 1.1), self.rng.random(), amplitude, False))

    def render(self, time):
        """{channel: (T, size)} at `time` (T,) seconds."""
        time = time / self.pace
        values = {name: np.tile(value, (len(time), 1)) for name, value in self.start.items()}
        for name, begin, duration, change in self.moves:
            s = np.clip((time - begin) / duration, 0, 1)[:, None]
            values[name] += change * (s**3 * (10 - 15 * s + 6 * s**2))  # minimum jerk
        for name, begin, duration, frequency, phase, amplitude, bounce in self.swings:
            s = np.clip((time - begin) / duration, 0, 1)
            wave = np.sin(2 * np.pi * (frequency * (time - begin) + phase))
            wave = np.abs(np.sin(np.pi * frequency * (time - begin))) if bounce else wave
            values[name] += (wave * np.minimum(1, 6 * np.minimum(s, 1 - s)))[:, None] * amplitude
        return values
