"""Slurm on throw-away hosts: a controller on `head`, and `worker1`, `worker2` as its nodes."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.machines import Hosts, await_true, hosts_up

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
NODES = ("worker1", "worker2")

CONFIG = """\
ClusterName=test
SlurmctldHost=head
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
StateSaveLocation=/tmp/slurmctld
SlurmdSpoolDir=/tmp/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/tmp/slurmctld.log
SlurmdLogFile=/tmp/slurmd.log
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName=worker[1-2] CPUs=2 RealMemory=8000
PartitionName=spot Nodes=ALL Default=YES PriorityTier=1 GraceTime=300
PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""
"""Without control groups, which a container seldom has; jobs of `urgent` take the nodes of those in `spot`."""

MUNGED = (
    "mkdir -p /run/munge && munged --force --key-file={key} --socket=/run/munge/munge.socket.2 "
    "--pid-file=/run/munge/munged.pid --seed-file=/run/munge/seed --log-file=/tmp/munged.log"
)


@dataclass(frozen=True)
class Slurm:
    """A Slurm cluster that is up. Its daemons end with their hosts."""

    hosts: Hosts

    def on_head(self, command: str, *, check: bool = True) -> str:
        return self.hosts.run("head", command, check=check)

    def submit(self, *words: str) -> str:
        """Submit a job -> its number."""
        shown = self.on_head(shlex.join(["sbatch", *words]))
        found = re.fullmatch(r"Submitted batch job (\d+)", shown.strip())
        assert found, shown
        return found[1]

    def fact(self, job: str, name: str) -> str:
        """What `scontrol show job` says of a job: JobState, Restarts, Reason …"""
        found = re.search(rf"\b{name}=(\S*)", self.on_head(f"scontrol show job {job}"))
        return found[1] if found else ""


@contextmanager
def slurm_up(folder: Path) -> Iterator[Slurm]:
    """A controller and two idle nodes; skips the test where Slurm is not installed, or no hosts can be made."""
    if missing := [name for name in PROGRAMS if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]:
        pytest.skip(f"missing {', '.join(missing)}: apt-get install slurm-wlm munge")
    with hosts_up(folder, 1 + len(NODES)) as hosts:
        (hosts.shared / "slurm.conf").write_text(CONFIG, encoding="utf-8")
        (hosts.shared / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", encoding="utf-8")  # looks for nothing
        key = hosts.shared / "munge.key"
        key.touch(mode=0o400)
        key.write_bytes(secrets.token_bytes(128))
        hosts.environment["SLURM_CONF"] = str(hosts.shared / "slurm.conf")
        for name in ("head", *NODES):
            hosts.run(name, MUNGED.format(key=key))
        hosts.run("head", "mkdir -p /tmp/slurmctld && slurmctld")
        for name in NODES:
            hosts.run(name, "mkdir -p /tmp/slurmd && slurmd")
        made = Slurm(hosts)
        await_true("both nodes are idle", lambda: made.on_head("sinfo -h -p spot -o '%D %t'").strip() == "2 idle", 60)
        yield made
