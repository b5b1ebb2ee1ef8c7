"""All rules that apply to a cluster file."""

from __future__ import annotations

from search.cluster_check.aws import aws_findings
from search.cluster_check.cluster_file import ClusterFile, Finding
from search.cluster_check.kuberay import kuberay_findings
from search.cluster_check.local import local_findings
from search.cluster_check.rules import general_findings

OF_PROVIDER = {"aws": aws_findings, "local": local_findings}


def findings(cluster: ClusterFile) -> list[Finding]:
    """All that is wrong with a cluster file, in the order of its parts."""
    if cluster.is_kuberay:
        return kuberay_findings(cluster)
    of_provider = OF_PROVIDER.get(cluster.provider_type)
    return general_findings(cluster) + (of_provider(cluster) if of_provider is not None else [])
