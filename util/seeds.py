"""Runs that differ in nothing but their seeds: which ones belong together, their mean and spread."""

import statistics

from util.results import settings_text


def description(result):
    """A result's method and what else is not as the data set's configuration has it."""
    method, differing = result.method()
    return ", ".join(filter(None, (method, settings_text(differing))))


def mixed_precision(result):
    """Whether the run or the pre-training it judges was computed in 16 bits."""
    return bool(result.options.get("enable_amp") or result.encoder.get("enable_amp"))


def protocol(result):
    """What results have in common that differ in seed alone, to group them by."""
    return result["stage"], result["dataset"], description(result), mixed_precision(result)


def without_doubles(results):
    """Results that differ in seed, subset or encoder from others of their settings, and [(result, the one that it doubles)]."""
    first, doubles = {}, []
    for result in results:
        key = *protocol(result), result["seed"], str(result.get("subset_seed")), result.encoder.get("sha256")
        if first.setdefault(key, result) is not result:
            doubles.append((result, first[key]))
    return list(first.values()), doubles


def mean_and_deviation(values):
    """(mean, standard deviation with n - 1), None for what so few values do not have."""
    return (statistics.mean(values) if values else None), (statistics.stdev(values) if len(values) > 1 else None)


def other_readout(results):
    """(name, mean, standard deviation) of the read-out beside the headline, Nones where not all runs have it."""
    for name in ("mean", "per_joint"):
        values = [result["last"].get(f"test_acc1_{name}") for result in results]
        if values and None not in values:
            return name, *mean_and_deviation(values)
    return None, None, None


def spread(values):
    """'68.4 ± 4.1 (65.5, 71.3)': mean, standard deviation and each value; one value alone as it is; '' for none."""
    each = ", ".join(f"{value:.1f}" for value in values)
    return f"{number(*mean_and_deviation(values))} ({each})" if len(values) > 1 else each


def number(mean, deviation=None, digits=1):
    """'84.7 ± 0.2', '84.7' or ''."""
    return ("" if mean is None else f"{mean:.{digits}f}") + ("" if deviation is None else f" ± {deviation:.{digits}f}")
