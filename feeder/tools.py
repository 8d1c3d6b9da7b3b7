"""Crop, resize, rotate, scale, mirror, bone and velocity.

Skeletons are (..., C, T, V, M): coordinates, frames, joints, bodies, with any leading batch dimensions, numpy or torch, on any
device. `rng` is numpy's global generator, a `numpy.random.RandomState`, or feeder.batch's `Draws`, for N samples at once.
"""

import functools

import numpy as np
import torch


def crop_bounds(valid_frame_num, p_interval, min_frames=64, rng=np.random):
    """begin and end (exclusive) of a crop of the first `valid_frame_num` frames; that may be (N,), for N crops.

    p_interval [p]: the central share p (evaluation). [p0, p1]: a share drawn from U(p0, p1), but at least min_frames frames if
    there are as many, at a random position (training).
    """
    p_interval = np.atleast_1d(p_interval)
    if len(p_interval) == 1:
        bias = np.floor((1 - p_interval[0]) * valid_frame_num / 2).astype(int)
        return bias, valid_frame_num - bias
    p = rng.rand(1)[0] * (p_interval[1] - p_interval[0]) + p_interval[0]
    length = np.minimum(np.maximum(np.floor(valid_frame_num * p).astype(int), min_frames), valid_frame_num)
    begin = rng.randint(0, valid_frame_num - length + 1)
    return begin, begin + length


def frame_pairs(frames, window):
    """Linear interpolation from `frames` (a number or (N,)) to `window` frames: for each of these the frame before it, the frame
    after it, and the weight of the latter, three tensors (window,) or (N, window). As with align_corners=False.
    """
    frames = torch.as_tensor(frames).unsqueeze(-1)
    position = (torch.arange(window, device=frames.device, dtype=torch.float32) + 0.5) * (frames / window) - 0.5
    position = torch.minimum(position.clamp(min=0), frames - 1)
    low = position.long()
    return low, torch.minimum(low + 1, frames - 1), position - low


def resize_time(data, window):
    """(..., C, T, V, M) -> (..., C, window, V, M): linear interpolation in time, align_corners=False, no antialias."""
    if data.shape[-3] == window:
        return data
    low, high, weight = (t.to(data.device) for t in frame_pairs(data.shape[-3], window))
    return torch.lerp(data.index_select(-3, low), data.index_select(-3, high), weight[:, None, None].to(data.dtype))


def resize_flat(flat, first, frames, window):
    """Resize N sequences at once as `resize_time` does: rows first[i] to first[i] + frames[i] of flat (R, F) -> (N, window, F).

    first, frames: (N,) int64 on the device of flat.
    """
    low, high, weight = frame_pairs(frames, window)
    before, after = (flat.index_select(0, (first[:, None] + row).flatten()) for row in (low, high))
    return torch.lerp(before, after, weight.reshape(-1, 1)).view(len(frames), window, -1)


def valid_crop_resize(data, valid_frame_num, p_interval, window, min_frames=64, rng=np.random):
    """Crop the valid frames and resize the crop: (C, T, V, M) -> (C, window, V, M), numpy in numpy out.

    See `crop_bounds` for p_interval. Raises ValueError if there is no valid frame.
    """
    if valid_frame_num < 1:
        raise ValueError("a sequence without a valid frame cannot be cropped")
    begin, end = crop_bounds(valid_frame_num, p_interval, min_frames, rng)
    tensor = torch.as_tensor(data)[..., begin:end, :, :]
    return _like(data, resize_time(tensor, window))


def concatenate_crops(sequences, begin, length):
    """Concatenate frames begin[i] to begin[i] + length[i] of N sequences (T_i, M·V·3), for `resize_crops`. Returns three tensors:
    frames (R, M·V·3), the first row of each crop (N,), and length (N,)."""
    frames = np.concatenate([s[b : b + n] for s, b, n in zip(sequences, begin, length, strict=True)])
    return tuple(map(torch.from_numpy, (frames, np.cumsum(length) - length, length)))


def resize_crops(flat, first, length, window, num_bodies, num_joints):
    """Crops, rows first[i] to first[i] + length[i] of flat (R, M·V·3), resized to `window` frames: (N, C, window, V, M)."""
    x = resize_flat(flat, first, length, window)
    return x.view(len(x), window, num_bodies, num_joints, 3).permute(0, 4, 1, 3, 2)


def stream(data, parents=None, vel=False):
    """Joints (..., C, T, V, M) -> joints or, with parents (V,), bones; with vel, their frame differences."""
    data = data if parents is None else bone(data, parents)
    return velocity(data) if vel else data


def rotation_matrix(angles):
    """R = Rz·Ry·Rx of three angles in radians (..., 3) -> (..., 3, 3) float32 (signs as in the published code)."""
    (cx, cy, cz), (sx, sy, sz) = (np.moveaxis(f(angles), -1, 0) for f in (np.cos, np.sin))
    one, zero = np.ones_like(cx), np.zeros_like(cx)
    rx = _matrix([[one, zero, zero], [zero, cx, sx], [zero, -sx, cx]])
    ry = _matrix([[cy, zero, -sy], [zero, one, zero], [sy, zero, cy]])
    rz = _matrix([[cz, sz, zero], [-sz, cz, zero], [zero, zero, one]])
    return torch.from_numpy((rz @ ry @ rx).astype(np.float32))


def _matrix(rows):
    return np.stack([np.stack(row, -1) for row in rows], -2)


def apply_maps(data, maps):
    """x' = A·x: data (..., C, T, V, M), maps A (3, 3) or one for each sequence, (..., 3, 3)."""
    return transform_points(data, maps[..., None, None, None])


def transform_points(data, maps):
    """x' = A·x for each point of data (..., C, T, V, M), with matrices A (..., C, C, T, V, M), where T, V and M may be 1.

    Written as a sum, since autocast and TF32 would round the inputs of a matrix product, here coordinates, by millimetres.
    """
    terms = (maps[..., j, :, :, :] * data[..., j : j + 1, :, :, :] for j in range(data.shape[-4]))
    return functools.reduce(torch.add, terms)


def rotate(data, angles):
    """Rotate all of data (..., C, T, V, M) by three angles in radians."""
    tensor = torch.as_tensor(data)
    return _like(data, apply_maps(tensor, rotation_matrix(np.asarray(angles, dtype=np.float64)).to(tensor)))


def random_angles(theta=0.3, rng=np.random):
    """Three angles from U(-theta, theta) radians, (3,) or (N, 3); theta is one number or one for each of the axes x, y, z."""
    return rng.uniform(-1, 1, 3).T * np.broadcast_to(theta, 3)


def random_factors(scale, rng=np.random):
    """A factor for each of the axes x, y, z from U(1 - scale, 1 + scale), (3,) or (N, 3)."""
    return 1 + rng.uniform(-scale, scale, 3).T


def random_rot(data, theta=0.3, rng=np.random):
    """Rotate by `random_angles`."""
    return rotate(data, random_angles(theta, rng))


def mirror(data, opposite):
    """Mirror image in the plane x = 0: (..., C, T, V, M) -> the same shape. opposite: (V,) the joint on the other side of the
    body for each joint (feeder.skeleton.opposite_joints)."""
    mirrored = _tensor(data)[..., opposite, :]
    mirrored[..., :1, :, :, :] *= -1
    return _like(data, mirrored)


def bone(data, parents):
    """Every joint relative to its parent: (..., C, T, V, M) -> the same shape. parents: (V,) joint indices."""
    return data - data[..., parents, :]


def velocity(data):
    """x[t+1] − x[t], zero in the last frame: (..., C, T, V, M) -> the same shape."""
    tensor = _tensor(data)
    out = torch.zeros_like(tensor)
    out[..., :-1, :, :] = tensor[..., 1:, :, :] - tensor[..., :-1, :, :]
    return _like(data, out)


def _tensor(data):
    return torch.from_numpy(data) if isinstance(data, np.ndarray) else data  # as_tensor would fix the device of a traced program


def _like(data, tensor):
    return tensor.numpy() if isinstance(data, np.ndarray) else tensor
