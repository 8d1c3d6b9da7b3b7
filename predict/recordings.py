"""What an encoder of hubconf.py takes: batches, as the Feeder makes them, or a single recording."""

import numpy as np
import torch

from data.prepare import axes, transforms
from feeder import units
from predict import load_model
from util import console


class ToBatch:
    """Hook before an encoder's forward: one recording (T, V, 3) or (M, T, V, 3) of any length becomes a batch of one; a batch
    (N, 3, T, V, M) stays one. A class, not a closure, so that the encoder can be pickled.

    options, data: of predict.load_model, those the encoder was trained with. any_bodies: a batch may have another number of
    bodies than the training data. Calling it raises ValueError, which names the expected shapes, for x of any other shape.
    """

    def __init__(self, options, data, any_bodies=False):
        self.options, self.data, self.any_bodies = options, data, any_bodies

    def __call__(self, module, inputs):
        x = torch.as_tensor(inputs[0])
        if x.ndim == 5:
            return (self.checked(x).float(),)
        data, device = self.data, next(module.parameters()).device
        try:
            most = data.num_bodies or axes.MOST_BODIES
            persons = axes.guess(x.detach().cpu().numpy(), data.num_joints, most, flat=False)
        except ValueError as error:
            raise ValueError(f"x has shape {tuple(x.shape)} ({error}); {self.wanted()}") from error
        if len(persons) > most:
            bodies = "1 body" if most == 1 else f"{most} bodies"
            raise ValueError(
                f"x has shape {tuple(x.shape)}, {len(persons)} bodies, and the model knows {bodies}; of several recordings give "
                "one at a time"
            )
        chosen = transforms.most_moving(transforms.drop_empty(persons), data.num_bodies or len(persons))  # (m, T, V, 3)
        for doubt in self.doubts(chosen):
            console.warn_once(f"warning: x {doubt}; main_predict.py prepares recordings as the training data were prepared")
        of_recording = load_model.TrainingData(data.num_joints, data.num_bodies or len(chosen), data.parent_joints)
        row = transforms.fill_bodies(transforms.row(chosen), len(chosen), of_recording.num_bodies, data.second_body)
        absent = 3 * data.num_joints * of_recording.num_bodies - row.shape[1]
        row = np.pad(row, ((0, 0), (0, absent)))
        return (load_model.make_batch([row], self.options, of_recording, device),)

    def doubts(self, bodies):
        """Yield in words what shows that bodies (M, T, V, 3) were not prepared as the training data were."""
        data = self.data
        if data.min_max:
            if np.abs(bodies).max() > 1 + 1e-4:
                yield "is not scaled to -1 .. 1"
        elif units.doubt_likeness(size := units.body_size(bodies), data.body_size, 1.0):
            yield f"has a body of {size:.3g} m, the training data have bodies of {data.body_size:.3g} m"
        elif data.center not in (None, -1) and np.abs(bodies[0, 0, data.center]).max() > 1e-3:
            yield f"does not have joint {data.center} of its first frame at the origin"

    def checked(self, x):
        """x, a batch. Raises ValueError for a shape that the encoder does not take."""
        shape = (3, self.options.num_frames, self.data.num_joints)
        if x.shape[1:4] != shape or self.fixed_bodies() not in (None, x.shape[4]):
            raise ValueError(f"x has shape {tuple(x.shape)}; {self.wanted()}")
        return x

    def fixed_bodies(self):
        """The number of bodies that a batch must have; None: any."""
        return None if self.any_bodies else self.data.num_bodies

    def wanted(self):
        """The expected shapes, for a message."""
        v = self.data.num_joints
        batch = f"(N, 3, {self.options.num_frames}, {v}, {self.fixed_bodies() or 'M'})"
        return f"x is {batch}, as the Feeder makes it, or one recording (T, {v}, 3) or (M, T, {v}, 3)"
