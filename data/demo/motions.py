"""The invented actions: one short program per NTU action, which adds moves to the score of each person.

Programs are for right-handed people of 1.70 m; times in seconds, positions in metres, frequencies in Hz.
Every target, duration and frequency varies between performances and performers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data.demo.body import CHANNELS

# ---- one person ------------------------------------------------------------------------------------------------------
# a program adds moves to the score of the actor (and the partner) and returns the time at the end of the action


def hand_waving(a, rng):
    up = a.to(0, 0.5, hand_r=(0.30, rng.uniform(0.08, 0.28), -0.2), elbow_r=0.3)
    arm, hand = {"hand_r": (0.09, 0.02, 0), "wrist_r": 0.35}, {"wrist_r": 0.6, "hand_r": (0.03, 0, 0.05)}
    wave = arm if rng.random() < 0.7 else hand
    down = a.swing(up - 0.1, rng.integers(2, 5), rng.uniform(1.8, 3.2), **wave)
    return a.rest(down, 0.5, "hand_r", "elbow_r")


def salute(a, rng):
    up = a.to(0, 0.4, hand_r=(0.20, 0.17, -0.13), elbow_r=0.8, wrist_r=0.7, lean=-0.05)
    return a.rest(up + rng.uniform(0.2, 0.9), 0.45, "hand_r", "elbow_r", "wrist_r", "lean")


def phone_call(a, rng):
    via = a.to(0, 0.35, hand_r=(0.16, -0.2, -0.25)) if rng.random() < 0.6 else 0
    up = a.to(via, 0.45, hand_r=(0.19, 0.09, -0.09), elbow_r=0.1, wrist_r=0.4, nod=0.1, tilt=0.05)
    hold = a.swing(up, 1, rng.uniform(0.8, 1.6), turn=0.1, hand_r=(0, 0.01, 0.01))
    return a.rest(hold, 0.5, "hand_r", "wrist_r", "nod") if rng.random() < 0.5 else hold + 0.1


def drink_water(a, rng):
    via = a.to(0, 0.35, hand_r=(0.15, -0.22, -0.28)) if rng.random() < 0.6 else 0
    up = a.to(via, 0.45, hand_r=(0.13, 0.07, -0.20), elbow_r=0.35, wrist_r=0.3)
    back = a.to(up - 0.1, 0.3, nod=-0.3, hand_r=(0.12, 0.12, -0.18), elbow_r=0.6)
    hold = back + rng.uniform(0.1, 0.5)
    a.rest(hold, 0.3, "nod")
    return a.rest(hold, 0.5, "hand_r", "elbow_r", "wrist_r") if rng.random() < 0.8 else hold + 0.1


def pointing(a, rng):
    up = a.to(0, 0.45, hand_r=(rng.uniform(0.05, 0.4), rng.uniform(-0.1, 0.15), -0.5), twist=rng.uniform(-0.1, 0.3))
    return a.rest(up + rng.uniform(0.2, 0.8), 0.5, "hand_r", "twist")


def hands_together(a, rng, frequency, part):
    """Both hands meet before the chest; part: amplitude with which they move apart (clapping) or along each other (rubbing)."""
    height = rng.uniform(-0.3, -0.05)
    up = a.to(0, 0.45, hand_r=(0.07, height, -0.28), hand_l=(-0.07, height, -0.28), wrist_r=0.3, wrist_l=0.3)
    end = a.swing(up - 0.1, rng.integers(3, 7), frequency, hand_r=part, hand_l=np.negative(part))
    return a.rest(end, 0.5, "hand_r", "hand_l", "wrist_r", "wrist_l") if rng.random() < 0.7 else end + 0.1


def clapping(a, rng):
    return hands_together(a, rng, rng.uniform(2.2, 4.0), (rng.uniform(0.03, 0.08), 0.01, 0))


def rub_hands(a, rng):
    return hands_together(a, rng, rng.uniform(2.0, 3.6), (0.01, rng.uniform(0.02, 0.05), rng.uniform(0.02, 0.05)))


SEATED = {"root": (0, -0.34, 0.26), "lean": 0.12, "hand_r": (0.15, -0.40, -0.22), "hand_l": (-0.15, -0.40, -0.22)}
BENT = {"root": (0, -0.20, 0.20), "lean": 0.65}


def sitting_down(a, rng):
    look = a.to(0, 0.3, turn=rng.choice((-0.6, 0.6)), twist=0.1) - 0.2 if rng.random() < 0.4 else 0
    bent = a.to(look, 0.5, hand_r=(0.18, -0.36, -0.2), hand_l=(-0.18, -0.36, -0.2), turn=0, **BENT)
    seated = a.to(bent - 0.1, 0.6, **SEATED)
    if rng.random() < 0.25:  # settles by leaning forward and back again
        seated = a.to(a.to(seated, 0.3, lean=0.4), 0.3, lean=0.1)
    return seated


def standing_up(a, rng):
    a.begin(**SEATED)
    if rng.random() < 0.25:  # arrives in the seat first
        a.begin(**BENT)
        a.to(-0.3, 0.5, **SEATED)
    bent = a.to(0.1, 0.5, **BENT)
    return a.to(bent - 0.1, 0.6, root=0, lean=0, hand_r=CHANNELS["hand_r"], hand_l=CHANNELS["hand_l"])


def pickup(a, rng):
    if rng.random() < 0.5:  # from the knees
        root, lean = (0, rng.uniform(-0.4, -0.28), 0.18), rng.uniform(0.5, 0.9)
        down = a.to(0, 0.6, root=root, lean=lean, nod=0.2, hand_r=(0.17, -0.36, -0.36), foot_l=(0, 0, 0.1))
    else:  # from the hips
        lean, hands = rng.uniform(0.9, 1.35), {"hand_r": (0.15, -0.25, -0.42), "hand_l": (-0.2, -0.35, -0.2)}
        down = a.to(0, 0.6, root=(0, -0.10, 0.16), lean=lean, nod=0.3, **hands)
    up = down + rng.uniform(0, 0.25)
    a.rest(up, 0.6, "root", "lean", "hand_l", "nod")
    return a.to(up, 0.6, hand_r=(0.2, rng.uniform(-0.48, -0.2), -0.2))


def kick(a, rng, height):
    back = a.to(0, 0.35, foot_r=(-0.02, 0.12, 0.25), root=(-0.05, -0.02, 0), lean=0.12, hand_l=(-0.25, -0.42, -0.15))
    out = a.to(back, 0.25, foot_r=(-0.08, height, rng.uniform(-0.6, -0.35)), toe_r=0.3, lean=-0.12, hand_r=(0.3, -0.42, 0.12))
    return a.rest(out + 0.05, 0.45, "foot_r", "root", "toe_r", "lean", "hand_l", "hand_r")


def kicking(a, rng):
    return kick(a, rng, rng.uniform(0.03, 0.35))


def hopping(a, rng):
    up = a.to(0, 0.35, foot_l=(0.05, rng.uniform(0.12, 0.3), 0.2), root=(0.06, -0.03, 0))
    lift, hands = (0, rng.uniform(0.04, 0.09), 0), {"hand_r": (0.02, 0.06, 0), "hand_l": (-0.02, 0.06, 0)}
    lifts = {"root": lift, "foot_r": lift, "foot_l": lift}
    end = a.swing(up - 0.1, rng.integers(2, 5), rng.uniform(1.8, 2.8), bounce=True, **lifts, **hands)
    return a.rest(end - 0.05, 0.35, "foot_l", "root")


def jump_up(a, rng):
    arms = rng.uniform(-0.4, 0.1)
    for k in range(rng.integers(1, 3)):
        down = a.to(0.8 * k, 0.35, root=(0, -0.16, 0.05), lean=0.35, hand_r=(0.25, -0.45, 0.03), hand_l=(-0.25, -0.45, 0.03))
        a.to(down, 0.3, root=0, lean=0, hand_r=(0.25, arms, -0.3), hand_l=(-0.25, arms, -0.3))
        lift = (0, rng.uniform(0.1, 0.22), 0)
        land = a.swing(down + 0.15, 1, 2.6, bounce=True, root=lift, foot_r=lift, foot_l=lift)
    return a.rest(land - 0.1, 0.4, "hand_r", "hand_l")


# ---- two people: actor a, partner b; `gap` is the distance of their pelvises in metres -------------------------------


def punching(a, rng, b, gap):
    guard = a.to(0, 0.35, hand_r=(0.2, -0.2, -0.15), hand_l=(-0.15, -0.2, -0.2), twist=-0.3) if rng.random() < 0.6 else 0.1
    for _ in range(rng.integers(1, 3)):
        hit = a.to(guard, 0.22, hand_r=(0.02, rng.uniform(-0.1, 0.12), -0.55), twist=0.35, lean=0.18)
        guard = a.to(hit, 0.3, hand_r=(0.2, -0.2, -0.15), twist=-0.1, lean=0.05)
    b.to(hit - 0.12, 0.25, lean=rng.uniform(-0.35, -0.1), twist=rng.uniform(-0.3, 0.3), root=(0, -0.02, rng.uniform(0.02, 0.15)))
    b.rest(hit + 0.3, 0.5, "lean", "twist", "root")
    return a.rest(guard, 0.4, "hand_r", "hand_l", "twist", "lean")


def handshaking(a, rng, b, gap):
    height, z = rng.uniform(-0.3, -0.2), -gap / 2 + 0.05
    late = rng.uniform(0, 0.2)
    a.to(0, 0.45, hand_r=(0.02, height, z), lean=0.1)
    up = b.to(late, 0.45, hand_r=(0.02, height, z), lean=0.1)
    count, frequency = rng.integers(1, 4), rng.uniform(2.0, 3.0)
    for one in (a, b):
        end = one.swing(up - 0.05, count, frequency, hand_r=(0, 0.045, 0.01))
        one.rest(end, 0.45, "hand_r", "lean")
    return end + 0.45


def pat_on_back(a, rng, b, gap):
    up = a.to(0, 0.45, hand_r=(0.1, rng.uniform(-0.15, 0.05), -gap + 0.12), lean=0.08)
    end = a.swing(up - 0.05, rng.integers(1, 4), rng.uniform(1.8, 3.2), hand_r=(0.01, 0.03, 0.07))
    if rng.random() < 0.5:
        b.to(up + 0.1, 0.4, turn=rng.choice((-0.7, 0.7)), twist=rng.uniform(-0.2, 0.2))
    return a.rest(end, 0.45, "hand_r", "lean")


def hugging(a, rng, b, gap):
    for one, z in ((a, -gap * 0.3), (b, -gap * 0.25)):
        one.step(0, z=z)
        up = one.to(0.3, 0.5, hand_r=(0.08, 0.0, -0.38), hand_l=(-0.1, -0.12, -0.36), elbow_r=0.5, elbow_l=0.5, lean=0.15)
        hold = one.rest(up + 0.5, 0.5, "hand_r", "hand_l", "elbow_r", "elbow_l", "lean")
    return hold


def kicking_other(a, rng, b, gap):
    end = kick(a, rng, rng.uniform(0.25, 0.5))
    b.to(0.5, 0.3, root=(0, -0.05, 0.1), lean=rng.uniform(0.1, 0.4), hand_r=(0.12, -0.35, -0.25), hand_l=(-0.12, -0.35, -0.25))
    b.rest(0.95, 0.5, "root", "lean", "hand_r", "hand_l")
    return end


@dataclass(frozen=True)
class Action:
    """number: of the NTU action, A<number>. gap and partner are for actions of two people."""

    number: int
    name: str
    program: Callable
    gap: float = 0.0  # 0: one person
    partner: float = np.pi  # heading of the partner against the actor's, radians


# --actions N uses the first N; the first four include similar actions, one that starts seated, and one of two people
ACTIONS = (
    Action(23, "hand waving", hand_waving),
    Action(8, "sitting down", sitting_down),
    Action(50, "punching other person", punching, gap=0.80),
    Action(1, "drink water", drink_water),
    Action(9, "standing up", standing_up),
    Action(58, "handshaking", handshaking, gap=0.95),
    Action(10, "clapping", clapping),
    Action(6, "pickup", pickup),
    Action(28, "make a phone call", phone_call),
    Action(34, "rub two hands together", rub_hands),
    Action(53, "pat on back of other person", pat_on_back, gap=0.60, partner=0.0),
    Action(38, "salute", salute),
    Action(24, "kicking something", kicking),
    Action(26, "hopping", hopping),
    Action(27, "jump up", jump_up),
    Action(31, "pointing to something", pointing),
    Action(55, "hugging other person", hugging, gap=0.90),
    Action(51, "kicking other person", kicking_other, gap=1.0),
)


# ---- distractions ----------------------------------------------------------------------------------------------------


def distraction(score, rng, begin):
    """Add one small movement that belongs to no class, from `begin` on, with a hand that the action does not use."""
    name, sign = (("hand_l", -1), ("hand_r", 1))[int(rng.random() < 0.5)]
    busy = name in (move[0] for move in score.moves)
    kind = rng.integers(2) if busy or score.start["root"][1] else rng.integers(6)
    if kind == 0:  # shifts the weight
        score.push(begin, 0.5, rng.uniform(0.2, 0.8), root=(rng.choice((-0.07, 0.07)), -0.02, 0), tilt=rng.uniform(-0.1, 0.1))
    elif kind == 1:  # looks around
        score.push(begin, 0.4, rng.uniform(0.1, 0.6), turn=rng.uniform(-0.9, 0.9), twist=rng.uniform(-0.2, 0.2))
    elif kind == 2:  # scratches head, cheek or arm
        score.to(begin, 0.4, **{name: (sign * 0.14, rng.uniform(-0.15, 0.2), -0.13)})
        score.rest(score.swing(begin + 0.4, 2, 3.5, **{name: (0.01, 0.03, 0)}), 0.4, name)
    elif kind == 3:  # takes a step
        score.step(begin, *rng.uniform(-0.15, 0.15, 2))
    elif kind == 4:  # hand to the hip or pocket
        score.to(begin, 0.5, **{name: (sign * 0.2, -0.36, 0.04), f"elbow_{name[-1]}": 0.6})
    else:  # swings an arm
        score.swing(begin, 1, 0.9, **{name: (sign * 0.03, 0.03, 0.12)})
