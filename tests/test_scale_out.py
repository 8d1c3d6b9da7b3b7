"""Several nodes, simulated on this machine over loopback: the same numbers as on one, and what happens when a part is lost."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import ROOT, descendants, free_port, group, run_main, run_python, wait_for_epochs
from tests.runs import assert_same_end

EPOCHS = 30
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
HERE = {
    "OMP_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
    "PYTHON": sys.executable,
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # see scripts/slurm.sh
}


@pytest.fixture
def launch():
    """launch(command, ...) -> the running process; what is left of it after the test is killed."""
    processes = []

    def start(command, **environment):
        how = dict(cwd=ROOT, env=os.environ | HERE | environment, start_new_session=True, text=True)
        words = list(map(str, command))
        processes.append(subprocess.Popen(words, **how, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        return processes[-1]

    yield start
    kill(*processes)


def kill(*processes):
    """Those that still run, with all below them; returns how many these are."""
    running = [process for process in processes if process.poll() is None]
    for process in running:
        for pid in (*descendants(process.pid), process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    return len(running)


def ranks(process):
    """{rank: process number} of the mains that torchrun has started below `process`."""
    found = {}
    for pid in descendants(process.pid):
        try:
            words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if b"main_pretrain.py" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found |= {int(word[5:]): pid for word in words if word.startswith(b"RANK=")}
        except OSError:  # it has just ended
            pass
    return found


def nodes(number, processes, *more):
    """Words of torchrun for `number` nodes with `processes` each."""
    place = f"--rdzv_backend c10d --rdzv_id test --rdzv_endpoint 127.0.0.1:{free_port()} --local_addr 127.0.0.1".split()
    return [*TORCHRUN, "--nnodes", number, "--nproc_per_node", processes, *place, *more]


def wait(*processes):
    """Exit codes; the test fails with what was printed if they do not end."""
    deadline = time.monotonic() + 200
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    late = kill(*processes)
    printed = "\n".join(process.communicate()[0] for process in processes)
    assert not late, printed
    return [process.returncode for process in processes], printed


@pytest.fixture(scope="module")
def main(invented, options):
    """main(folder, ...) -> words of a pre-training of two ranks, two samples each."""

    def words(folder, *more):
        line = options("pretrain", invented, folder, "--batch_size", 2, "--epochs", EPOCHS, "--save_freq", 100, *more)
        return ["main_pretrain.py", *line]

    return words


@pytest.fixture(scope="module")
def one_node(main, fork, tmp_path_factory):
    """one_node(epochs=EPOCHS) -> folder of an undisturbed run in two processes of one machine, without torchrun."""
    done = {}

    def run(epochs=EPOCHS):
        if epochs not in done:
            done[epochs] = tmp_path_factory.mktemp("one_node")
            line = main(done[epochs], "--epochs", epochs)[1:]
            both = [fork(run_main, "pretrain", line, HERE | environment) for environment in group(2)]
            for process in both:
                process.join(200)
            assert [process.exitcode for process in both] == [0, 0]
        return done[epochs]

    return run


def test_two_nodes_are_two_processes(main, one_node, fork, tmp_path):
    """torchrun in two forks, the mains that it starts in processes of their own."""
    words = [*map(str, nodes(2, 1)[1:]), *main(tmp_path, "--epochs", 2)]
    printed = [tmp_path / name for name in "ab"]
    both = [fork(run_python, words, ROOT, HERE, file, file.with_suffix(".err")) for file in printed]
    for process in both:
        process.join(200)
    text = "".join(file.read_text() + file.with_suffix(".err").read_text() for file in printed)
    assert [process.exitcode for process in both] == [0, 0], text
    assert "pretrain: 2 process(es) on cpu" in text
    assert_same_end(one_node(2), tmp_path, epochs=2)


def test_ranks_that_see_different_folders_do_not_mix_their_runs(main, one_node, fork, tmp_path):
    """As on two nodes with an output folder of the same name, each on its own disk."""
    folders = one_node(2), tmp_path / "empty"
    both = []
    for folder, environment in zip(folders, group(2), strict=True):
        file = tmp_path / environment["RANK"]
        line = main(folder, "--epochs", 4, "--resume", "auto")
        both.append(fork(run_python, line, ROOT, HERE | environment, file, file.with_suffix(".err")))
    for process in both:
        process.join(200)
    text = (tmp_path / "0.err").read_text()
    assert [process.exitcode for process in both] == [2, 2], text
    assert "error: resume auto: the processes find different checkpoints (2 epochs and 0 steps, none); " in text
    assert not (folders[0] / "checkpoint-3.pth").exists() and not (folders[1] / "checkpoint-last.pth").exists()


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_rank_is_killed_and_all_start_again(lost, main, one_node, launch, tmp_path):
    """Twice, as --max_restarts allows: the run goes on by itself and ends with the weights of an undisturbed one."""
    words = [*nodes(2, 1, "--max_restarts", 2, "--monitor_interval", 0.1), *main(tmp_path, "--resume", "auto")]
    both = launch(words), launch(words)
    for after in (4, 12):
        wait_for_epochs(after, tmp_path, *both)
        os.kill((ranks(both[0]) | ranks(both[1]))[lost], signal.SIGKILL)
        while lost in (ranks(both[0]) | ranks(both[1])):
            time.sleep(0.01)
    codes, printed = wait(*both)
    assert codes == [0, 0], printed
    assert printed.count("resuming ") == 2 and re.search(r"resuming .*checkpoint-(last|previous).pth after \d+ epochs", printed)
    assert_same_end(one_node(), tmp_path, EPOCHS)


@pytest.mark.slow
def test_torchrun_is_asked_to_stop(main, one_node, launch, tmp_path):
    """It passes SIGTERM on to its ranks, which save; started again, they go on."""
    words = [*nodes(1, 2), *main(tmp_path, "--resume", "auto")]
    first = launch(words)
    wait_for_epochs(5, tmp_path, first)
    first.send_signal(signal.SIGTERM)
    (code,), printed = wait(first)
    assert code == 1 and "; saved, --resume auto goes on there" in printed, printed
    codes, printed = wait(launch(words))
    assert codes == [0] and "resuming " in printed, printed
    assert_same_end(one_node(), tmp_path, EPOCHS)


SRUN = """#!/usr/bin/env bash
# srun --nodes N ... bash -c SCRIPT ...: the command on N nodes, here processes; signals go on to them, as srun does it
nodes=$2
echo "$SRUN_CPUS_PER_TASK cores, $TORCH_ELASTIC_SHUTDOWN_TIMEOUT s to save"
while [ "$1" != bash ]; do shift; done
for ((i = 0; i < nodes; i++)); do "$@" & tasks+=($!); done
trap 'kill -USR1 "${tasks[@]}"' USR1
for task in "${tasks[@]}"; do
    until wait "$task"; code=$?; ! kill -0 "$task" 2>/dev/null; do :; done
    [ "$code" -le "${status:-0}" ] || status=$code
done
exit "${status:-0}"
"""
SCONTROL = """#!/usr/bin/env bash
if [ "$1" = show ]; then printf '127.0.0.1\n127.0.0.2\n'; else echo "$@" >> "$(dirname "$0")/calls"; fi
"""


@pytest.fixture
def slurm(tmp_path):
    """Environment of a job on two nodes with one process each, with stand-ins for srun and scontrol."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return {
        "PATH": f"{path.parent}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "77",
        "SLURM_NNODES": "2",
        "SLURM_CPUS_PER_TASK": "3",
        "GPUS": "1",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_SUBMIT_DIR": str(ROOT),
        "PORT": str(free_port()),
    }


@pytest.mark.slow
def test_a_slurm_job_is_warned_queues_again_and_ends(main, one_node, launch, slurm, tmp_path):
    words = ["bash", "scripts/slurm.sh", *main(tmp_path / "out")]
    first = launch(words, **slurm)
    wait_for_epochs(5, tmp_path / "out", first)
    first.send_signal(signal.SIGUSR1)  # to the batch script alone, as --signal=B:USR1@120 has it
    (code,), printed = wait(first)
    assert code == 1 and "; saved, --resume auto goes on there" in printed and "3 cores, 110 s to save" in printed, printed
    assert (tmp_path / "bin/calls").read_text() == "requeue 77\n"
    (code,), printed = wait(launch(words, **slurm))
    assert code == 0 and "resuming " in printed, printed
    assert (tmp_path / "bin/calls").read_text() == "requeue 77\n"  # not once more
    assert_same_end(one_node(), tmp_path / "out", EPOCHS)


def dry_run(*words, **environment):
    environment = {"PATH": os.environ["PATH"], "DRY_RUN": "1", "PYTHON": "python", **environment}
    return subprocess.run(["bash", "scripts/slurm.sh", *words], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_what_a_slurm_job_starts():
    assert subprocess.run(["bash", "-n", "scripts/slurm.sh"], cwd=ROOT).returncode == 0
    done = dry_run("main_finetune.py", "--dataset", "ntu60_xsub", SLURM_JOB_ID="20007", SLURM_NNODES="4", GPUS="2")
    words = shlex.split(done.stdout)
    assert done.returncode == 0 and words[0] == "srun" and words[words.index("--nodes") + 1] == "4"
    torchrun = words[words.index("torch.distributed.run") :]
    value = {key: torchrun[torchrun.index(f"--{key}") + 1] for key in ("nnodes", "nproc_per_node", "rdzv_id", "rdzv_endpoint")}
    assert value == {"nnodes": "4", "nproc_per_node": "2", "rdzv_id": "20007", "rdzv_endpoint": "FIRST_NODE:20007"}
    assert torchrun[torchrun.index("main_finetune.py") :] == "main_finetune.py --resume auto --dataset ntu60_xsub".split()
    assert "--resume" not in dry_run("main_retrieval.py").stdout  # it has nothing to go on from


@pytest.mark.parametrize(
    "words, environment, message",
    [
        ((), {}, "first argument '': name a main"),
        (("--dataset", "ucla"), {}, "first argument '--dataset': name a main"),
        (("main_absent.py",), {}, "main_absent.py is not in .*; run sbatch in the root of the repository"),
        (("main_pretrain.py",), {"DRY_RUN": "0"}, "not in a SLURM job; sbatch scripts/slurm.sh main_pretrain.py"),
    ],
)
def test_mistakes_of_a_slurm_job(words, environment, message):
    done = dry_run(*words, **environment)
    assert done.returncode == 2 and re.fullmatch(f"error: {message}.*\n", done.stderr) and not done.stdout
