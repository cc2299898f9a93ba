"""Become Envoy, as nobody's child: `python detach.py ENVOY ARGUMENT...`, in the folder of the gateway.

Envoy asks the kernel to be ended when its parent dies. So it must not have one that can: this process forks, ends, and
what is left waits until it was given to the system's first process, and only then becomes Envoy. It imports nothing of mlctl,
since it is started where a deployment waits for it.
"""

import json
import os
import resource
import sys
import time


def main(command: list[str]) -> None:
    """Fork, wait for the parent's end, and execute the command."""
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    os.setsid()
    while os.getppid() == parent:
        time.sleep(0.001)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = most if most != resource.RLIM_INFINITY else 1_048_576
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))  # each connection is a file, and the usual limit is 1024
    temporary = f".process.{os.getpid()}"
    with open(temporary, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
        json.dump({"pid": os.getpid(), "started": time.time()}, stream)
    os.replace(temporary, "process.json")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
