"""A real Keystone, from the distribution's packages, on loopback with sqlite.

  real-keystone.py FOLDER [SECONDS]    everything of it is in there; prints {"url": ..} when it serves; ends with its stdin

Tokens live for so many seconds (a day). User admin, password secret, in project admin, with role admin. Services other than itself are for others to register.
Started again with the same folder it is the same one, at the same address, with all that it was told.
"""
import errno
import json
import os
import pwd
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time
from configparser import RawConfigParser
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from wsgiref import simple_server

MANAGE = 'import sys; from keystone.cmd.manage import main; sys.argv[0] = "keystone-manage"; main()'

CONFIG = """
[DEFAULT]
log_file = {folder}/keystone.log
public_endpoint = {base}
[database]
connection = sqlite:///{folder}/keystone.sqlite
[identity]
# Passwords of nobody: the least that is allowed.
password_hash_rounds = 4
[token]
provider = fernet
expiration = {lifetime}
[cache]
# One process: what it remembers is never older than what it wrote.
enabled = true
backend = dogpile.cache.memory
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
"""


class Handler(simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass

    def address_string(self):
        return self.client_address[0]


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Each connection has a thread, so that one that is open and silent keeps nobody waiting."""
    request_queue_size = 128
    daemon_threads = True


def one_at_a_time(application):
    """All requests in one thread: connections to sqlite belong to the thread that made them, and it has one writer."""
    worker = ThreadPoolExecutor(max_workers=1)
    return lambda environ, start: worker.submit(lambda: list(application(environ, start))).result()


def manage(config, *args):
    command = [sys.executable, '-c', MANAGE, '--config-file', config, *args]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0:
        sys.exit(f'keystone-manage {args[0]} ended with {run.returncode}:\n{run.stdout[-2000:]}')


def listening(port):
    """Waits while somebody else has the port: for a moment that may be anybody's outgoing connection."""
    while True:
        try:
            return Server(('127.0.0.1', port), Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port == 0:
                raise
            time.sleep(0.1)


def again(config):
    """The server of a folder that has a Keystone already, and its address."""
    parser = RawConfigParser()
    parser.read(config)
    base = parser['DEFAULT']['public_endpoint']
    return listening(urlsplit(base).port), base


def first(folder, config, lifetime):
    """Makes a Keystone: its server and its address."""
    # The port is known, and nobody else's, before Keystone writes it down.
    server = listening(0)
    base = f'http://127.0.0.1:{server.server_port}/'
    with open(config, 'w') as file:
        file.write(CONFIG.format(folder=folder, base=base, lifetime=lifetime))
    for name in ('fernet', 'credential'):
        os.mkdir(os.path.join(folder, name), 0o700)
    manage(config, 'db_sync')
    # Keystone reads on one connection while it commits on another; of sqlite's ways only this one lets it.
    sqlite3.connect(os.path.join(folder, 'keystone.sqlite')).execute('PRAGMA journal_mode=WAL')
    user = pwd.getpwuid(os.getuid()).pw_name
    for setup in ('fernet_setup', 'credential_setup'):
        manage(config, setup, '--keystone-user', user, '--keystone-group', user)
    urls = [word for kind in ('public', 'internal', 'admin') for word in (f'--bootstrap-{kind}-url', f'{base}v3')]
    manage(config, 'bootstrap', '--bootstrap-password', 'secret', '--bootstrap-region-id', 'RegionOne', *urls)
    return server, base


def main():
    folder = os.path.abspath(sys.argv[1])
    config = os.path.join(folder, 'keystone.conf')
    server, base = again(config) if os.path.exists(config) else first(folder, config, int(sys.argv[2]) if len(sys.argv) > 2 else 86400)
    os.environ['OS_KEYSTONE_CONFIG_FILES'] = config
    # It parses these.
    del sys.argv[1:]
    from keystone.server.wsgi import initialize_public_application
    server.set_app(one_at_a_time(initialize_public_application()))
    print(json.dumps({'url': base}), flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()


main()
