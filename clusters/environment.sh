# Environment of every node: ~/.bashrc reads it, so that it holds for Ray's own processes and for all that `ray exec`,
# `ray submit`, `ray attach` and `ray job submit` run.

# The code that `ray up` copied, before any that an image was made with.
export PYTHONPATH="$HOME/ser-search${PYTHONPATH:+:$PYTHONPATH}"
if [ -d "$HOME/ser-search/.venv/bin" ]; then export PATH="$HOME/ser-search/.venv/bin:$PATH"; fi

# All nodes and clients show the token in ~/.ray/auth_token. Without this line a head that has the file asks for the
# token, nobody shows it, and no worker joins, while `ray up` ends with success.
export RAY_AUTH_MODE=token

# A dead node is noticed after about 10 s, instead of a minute, and its trials go on elsewhere. The head reads these.
export RAY_health_check_period_ms=1000
export RAY_health_check_timeout_ms=2000
export RAY_health_check_failure_threshold=3
