"""The installed `openstack` program, started once for many commands.

argv[1] is the program's path. Its interpreter runs this file, imports once what the program's commands import, and says `ready`.
Each line on stdin is then a command, {"line": words as a shell splits them, "env": its whole environment}; a fork of this process
runs the program's own text with it, and one line of JSON says how it ended: {"exit", "out", "err"}.

What a command pays for when it is started alone is the imports and what is read of the installed packages, and nothing else is kept
from one to the next.
"""
import gc
import importlib
import json
import os
import runpy
import shlex
import sys
from importlib.metadata import entry_points

PROGRAM = sys.argv[1]
# As they are when the program starts alone: the client takes its name from the one, and finds modules by the other.
sys.argv = [PROGRAM]
sys.path[0] = os.path.dirname(PROGRAM)

# Where the client looks for commands of security groups and what they stand on, for formats, and for ways to log in.
GROUPS = (
    'openstack.cli', 'openstack.cli.base', 'openstack.common', 'openstack.network.v2', 'openstack.compute.v2',
    'openstack.identity.v3', 'openstack.image.v2', 'openstack.volume.v3', 'openstack.object_store.v1', 'openstack.extension',
    'cliff.formatter.list', 'cliff.formatter.show', 'keystoneauth1.plugin',
)


def warm():
    """Imports what commands import. What cannot be imported is for the command that needs it to say."""
    import stevedore
    importlib.import_module('openstackclient.shell')
    importlib.import_module('openstack.connection')
    found = entry_points()
    for group in GROUPS:
        # Fills its cache of entry points, which it reads from files for each new process.
        stevedore.ExtensionManager(group)
        for entry in found.select(group=group) if hasattr(found, 'select') else found.get(group, ()):
            try:
                entry.load()
            except Exception:
                pass
    try:
        # Which package each module is of: read from the files of all that are installed, for two thirds of a command's time.
        importlib.import_module('cliff.command')._get_distributions_by_modules()
    except Exception:
        pass
    gc.collect()
    gc.freeze()


def become(line, env, out, err):
    """In the fork: turns into the program, as a shell would have started it."""
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.argv = [PROGRAM, *shlex.split(line)[1:]]
    try:
        runpy.run_path(PROGRAM, run_name='__main__')
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        # Nothing is taken down piece by piece: that would touch, and so copy, all that was imported.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)


def text(descriptor):
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, encoding='utf-8', errors='replace') as file:
        return file.read()


def main():
    warm()
    print('ready', flush=True)
    for request in sys.stdin:
        command = json.loads(request)
        out, err = os.memfd_create('out'), os.memfd_create('err')
        child = os.fork()
        if child == 0:
            become(command['line'], command['env'], out, err)
            return
        _, status = os.waitpid(child, 0)
        print(json.dumps({'exit': os.waitstatus_to_exitcode(status), 'out': text(out), 'err': text(err)}), flush=True)


main()
