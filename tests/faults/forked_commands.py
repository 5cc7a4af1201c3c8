"""Run imageport in forked processes, so that many of them cost little. Used by ``test_kill_at_random_moments``.

Each line on standard input is a list of arguments as JSON. The command runs in a child; its process id is printed at
once, and its exit status (negative: the signal that ended it) when it is over.
"""

import json
import os
import sys

from imageport.cli import app, run  # noqa: F401 - what the children need is imported once
from imageport.importing import runner  # noqa: F401

for line in sys.stdin:
    arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        sys.argv = ["imageport", *arguments]
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1):
            os.dup2(null, number)
        app.main()
        os._exit(0)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
