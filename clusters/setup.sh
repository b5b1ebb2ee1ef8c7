#!/usr/bin/env bash
# Prepares a node before Ray starts on it: shared storage, Python packages, environment. May be repeated.
#
#   setup.sh FOLDER           storage that is mounted on every node under this path
#   setup.sh SERVER:/EXPORT   storage that is mounted here, at /shared (NFS, such as Amazon EFS)
set -euo pipefail

fail() { echo "setup.sh: $*" >&2; exit 1; }

storage=${1:?setup.sh: name the shared storage, a FOLDER or SERVER:/EXPORT}
here=$HOME/ser-search
clusters=$here/clusters

# ~/.bashrc returns early in shells that are not interactive, so its first line it is.
line=". $clusters/environment.sh"
grep -qxF "$line" ~/.bashrc 2>/dev/null || { echo "$line"; cat ~/.bashrc 2>/dev/null || true; } >~/.bashrc.new
[ ! -e ~/.bashrc.new ] || mv ~/.bashrc.new ~/.bashrc
chmod 600 ~/.ray/auth_token || fail "no token in ~/.ray: ray get-auth-token --generate, and file_mounts must name it"

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }

folder=$storage
if [[ $storage == *:/* ]]; then
  folder=/shared
  mountpoint -q "$folder" || need mount.nfs4 nfs-common # in a container, the machine has mounted it
fi
if ! command -v ray >/dev/null && [ ! -x "$here/.venv/bin/ray" ]; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
fi
if ((${#missing[@]})); then
  sudo apt-get -qq update
  sudo DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}"
fi

if [[ $storage == *:/* ]] && ! mountpoint -q "$folder"; then
  sudo mkdir -p "$folder"
  # hard: a server that is away for a while makes readers and writers wait instead of fail
  options=nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,_netdev,nofail
  grep -qF " $folder nfs4 " /etc/fstab || echo "$storage $folder nfs4 $options 0 0" | sudo tee -a /etc/fstab >/dev/null
  sudo mount "$folder" || fail "$storage cannot be mounted; do its network and security group let this node in (port 2049)?"
  sudo chmod 1777 "$folder"
fi
[ -d "$folder" ] && [ -w "$folder" ] || fail "$folder on $(hostname) is not a folder that can be written; all nodes need it"

# An image that has the packages already needs nothing here: see "prepared image" in cluster.yaml.
if ! command -v ray >/dev/null && [ ! -x "$here/.venv/bin/ray" ]; then
  python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "Python 3.11 to 3.13 is needed; $(hostname) has $(python3 --version)"
  python3 -m venv "$here/.venv"
  "$here/.venv/bin/python" -m pip install --disable-pip-version-check --quiet --editable "$here[cluster]"
fi
