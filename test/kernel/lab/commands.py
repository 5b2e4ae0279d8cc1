"""Runs programs for the kernel tier in the namespace that it was started in, for a test process whose own fork takes longer than most of them.

Standard input: one JSON object a line of `id`, `argv`, `input`, `env` (beside our own); standard output: one of `id`, `exitCode` (-1 for
a program that is not there, or was ended by a signal), `stdout`, `stderr` when a program has ended, and one of `id` alone whenever it says
something on its standard error. Programs run side by side. What still runs when standard input ends is ended.
"""
import json
import os
import subprocess
import sys
import threading

lock = threading.Lock()
running = set()


def say(**answer):
    with lock:
        print(json.dumps(answer), flush=True)


def run(id, argv, input, env):
    said = []

    def listen(end):
        with os.fdopen(end, 'rb', buffering=0) as stream:
            while chunk := stream.read(65536):
                said.append(chunk)
                say(id=id)

    here, there = os.pipe()
    listener = threading.Thread(target=listen, args=(here,))
    listener.start()
    try:
        child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=there, env={**os.environ, **env}
        )
    except OSError as error:
        os.close(there)
        listener.join()
        say(id=id, exitCode=-1, stdout='', stderr=str(error))
        return
    os.close(there)
    running.add(child)
    printed, _ = child.communicate(input.encode())
    listener.join()
    running.discard(child)
    say(
        id=id,
        exitCode=max(child.returncode, -1),
        stdout=printed.decode(errors='replace'),
        stderr=b''.join(said).decode(errors='replace'),
    )


for line in sys.stdin:
    threading.Thread(target=run, kwargs=json.loads(line), daemon=True).start()
for child in list(running):
    child.kill()
