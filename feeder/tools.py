"""Crop, resize, rotate, bone and velocity.

Skeletons are (..., C, T, V, M): coordinates, frames, joints, bodies, with any leading batch dimensions, numpy or torch, on any
device. `rng` is numpy's global generator or a `numpy.random.RandomState`.
"""

import numpy as np
import torch


def crop_bounds(valid_frame_num, p_interval, min_frames=64, rng=np.random):
    """First and last+1 frame of a crop of the first `valid_frame_num` frames.

    p_interval with one value p: the central share p (evaluation). With two, [p0, p1]: a share drawn from U(p0, p1), at least
    min_frames frames where there are as many, from a random beginning (training).
    """
    p_interval = np.atleast_1d(p_interval)
    if len(p_interval) == 1:
        bias = int((1 - p_interval[0]) * valid_frame_num / 2)
        return bias, valid_frame_num - bias
    p = rng.rand(1)[0] * (p_interval[1] - p_interval[0]) + p_interval[0]
    length = min(max(int(np.floor(valid_frame_num * p)), min_frames), valid_frame_num)
    begin = rng.randint(0, valid_frame_num - length + 1)
    return begin, begin + length


def resize_time(data, window):
    """(..., C, T, V, M) -> (..., C, window, V, M): linear interpolation in time, align_corners=False, no antialias."""
    frames = data.shape[-3]
    if frames == window:
        return data
    position = (torch.arange(window, device=data.device, dtype=torch.float32) + 0.5) * (frames / window) - 0.5
    position = position.clamp(0, frames - 1)
    low = position.long()
    high = (low + 1).clamp(max=frames - 1)
    weight = (position - low)[:, None, None].to(data.dtype)
    return torch.lerp(data.index_select(-3, low), data.index_select(-3, high), weight)


def valid_crop_resize(data, valid_frame_num, p_interval, window, min_frames=64, rng=np.random):
    """Crop the valid frames and resize the crop: (C, T, V, M) -> (C, window, V, M), numpy in numpy out.

    See `crop_bounds` for p_interval. Raises ValueError if there is no valid frame.
    """
    if valid_frame_num < 1:
        raise ValueError("a sequence without a valid frame cannot be cropped")
    begin, end = crop_bounds(valid_frame_num, p_interval, min_frames, rng)
    tensor = torch.as_tensor(data)[..., begin:end, :, :]
    return _like(data, resize_time(tensor, window))


def rotation_matrix(angles):
    """R = Rz·Ry·Rx of three angles in radians, (3, 3) float32 (signs as in the published code)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    rx = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    ry = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    rz = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    return torch.from_numpy((rz @ ry @ rx).astype(np.float32))


def rotate(data, angles):
    """x' = R·x with the same rotation for the whole (C, T, V, M) sequence."""
    tensor = torch.as_tensor(data)
    rotation = rotation_matrix(np.asarray(angles, dtype=np.float64)).to(tensor)
    return _like(data, torch.einsum("ij,...jtvm->...itvm", rotation, tensor))


def random_rot(data, theta=0.3, rng=np.random):
    """Rotate by three angles from U(-theta, theta) radians; theta is one number or one for each of the axes x, y, z."""
    return rotate(data, rng.uniform(-1, 1, 3) * np.broadcast_to(theta, 3))


def bone(data, parents):
    """Every joint relative to its parent: (..., C, T, V, M) -> the same shape. parents: (V,) joint indices."""
    return data - data[..., parents, :]


def velocity(data):
    """x[t+1] − x[t], zero in the last frame: (..., C, T, V, M) -> the same shape."""
    tensor = torch.as_tensor(data)
    out = torch.zeros_like(tensor)
    out[..., :-1, :, :] = tensor[..., 1:, :, :] - tensor[..., :-1, :, :]
    return _like(data, out)


def _like(data, tensor):
    return tensor.numpy() if isinstance(data, np.ndarray) else tensor
