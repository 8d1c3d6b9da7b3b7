"""Grouping runs that differ only in their seed, and their mean and standard deviation."""

import statistics

from util.options import READOUTS
from util.results import settings_text


def description(result):
    """A result's method, and the settings that differ from the data set's configuration."""
    method, differing = result.method()
    return ", ".join(filter(None, (method, settings_text(differing))))


def mixed_precision(result):
    """Whether the run or its encoder's pre-training used --enable_amp."""
    return bool(result.options.get("enable_amp") or result.encoder.get("enable_amp"))


def group_key(result):
    """The same for results that differ only in their seed."""
    return result["stage"], result["dataset"], description(result), mixed_precision(result)


def without_doubles(results):
    """(results without repetitions, [(repetition, the result that it repeats)]): same settings, seed, subset and encoder."""
    first, doubles = {}, []
    for result in results:
        key = *group_key(result), result["seed"], str(result.get("subset_seed")), result.encoder.get("sha256")
        if first.setdefault(key, result) is not result:
            doubles.append((result, first[key]))
    return list(first.values()), doubles


def mean_and_deviation(values):
    """(mean, standard deviation with n - 1); None where there are too few values."""
    return (statistics.mean(values) if values else None), (statistics.stdev(values) if len(values) > 1 else None)


def other_readouts(results):
    """{name: (mean, standard deviation)} of the read-outs beside the headline that all runs have."""
    values = {name: [result["last"].get(f"test_acc1_{name}") for result in results] for name in READOUTS}
    return {name: mean_and_deviation(each) for name, each in values.items() if each and None not in each}


def spread(values):
    """'68.4 ± 4.1 (65.5, 71.3)': mean, standard deviation and each value; only the value if there is one; '' for none."""
    each = ", ".join(f"{value:.1f}" for value in values)
    return f"{number(*mean_and_deviation(values))} ({each})" if len(values) > 1 else each


def number(mean, deviation=None, digits=1):
    """'84.7 ± 0.2', '84.7' or ''."""
    return ("" if mean is None else f"{mean:.{digits}f}") + ("" if deviation is None else f" ± {deviation:.{digits}f}")
