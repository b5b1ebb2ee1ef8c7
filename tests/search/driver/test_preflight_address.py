"""A cluster that is not where it is said to be."""

from __future__ import annotations

import re
import socket

import pytest

from search.driver.preflight import check_cluster
from ser_core.config import ConfigError


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379", "127.0.0.1:99999", "a..b:1"])
def test_an_address_at_which_nothing_listens_is_refused_at_once(address: str) -> None:
    """Ray itself would look for it for minutes."""
    with pytest.raises(ConfigError, match=f"nothing answers at {re.escape(address)}"):
        check_cluster(address)


@pytest.mark.parametrize("address", [None, "auto", "local"])
def test_other_addresses_are_for_ray_to_judge(address: str | None) -> None:
    check_cluster(address)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "[::1]")])
def test_an_address_that_answers_is_taken(family: socket.AddressFamily, host: str) -> None:
    try:
        listening = socket.create_server((host.strip("[]"), 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with listening:
        check_cluster(f"{host}:{listening.getsockname()[1]}")
